"""The server, `manage.py serve` in a process of its own on a clone of the world: what clients from outside meet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import psycopg
from clones import copied
from psycopg.conninfo import make_conninfo
from servers import ROOT, free_port
from world import World

_PATIENCE = 60.0
_STAYS_OUT = ("MIGRATION_DATABASE_URL", "SUPERUSER_DATABASE_URL", "WEB_CONCURRENCY")


@dataclass(frozen=True)
class Running:
    """A server that runs, and the world behind it."""

    world: World
    port: int
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def url(self) -> str:
        """The platform's host, on which a key is enough: not every resolver knows `acme.localhost`."""
        return f"http://localhost:{self.port}"

    @property
    def keys(self) -> Mapping[str, str]:
        """The world's keys: `acme.admin`, `globex.read`, `sam`."""
        return self.world.keys

    def host(self, slug: str) -> str:
        """Return a tenant's own host, for those who find it (curl does)."""
        return f"http://{slug}.localhost:{self.port}"


@contextmanager
def running(superuser: psycopg.Connection[Any], template: str, log: Path, **environment: str) -> Iterator[Running]:
    """Serve a clone of a database for the time of the block; what the server says goes to `log`."""
    with copied(superuser, template) as world:
        port = free_port()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "serve"],
                cwd=ROOT, env=_environment(world, port) | environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, process_group=0,
            )  # fmt: skip
        try:
            _wait(port, process, log)
            yield Running(world, port, process)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _environment(world: World, port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _STAYS_OUT}
    url = os.environ["DATABASE_URL"]
    # The same login, but in the clone.
    there = url.replace("/world?", f"/{world.database}?", 1)
    assert there != url, make_conninfo(url, password="...")
    return {**kept, "DATABASE_URL": there, "PORT": str(port), "LOG_LEVEL": "WARNING", "POOL_MAX": "8"}


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    began = time.monotonic()
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() - began < _PATIENCE, log.read_text()
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except URLError:
            time.sleep(0.05)
