"""An export of a large trail over HTTP, from a server process of its own: its pace, and the most memory that it holds.

`--events N` says how many entries the trail has. The trail is filled by SQL, and read by a client on loopback.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter, sleep

from bench import fill
from bench.base import Bench, Figure

ROOT = Path(__file__).resolve().parents[2]
PATH = "/api/v1/audit-logs/export"
# 40,000 entries a second; and MB of the one process that serves.
PACE, MEMORY = 25.0, 150.0
# Slower forms read a filtered part alone.
OTHERS = ("csv", "parquet", "ocsf", "cloudevents", "ecs")
PART = "&action=created"
_CHUNK = 1024 * 1024
_READY_WITHIN = 30.0


@dataclass(frozen=True)
class Server:
    """A server of one process: where it listens, and the process that answers."""

    port: int
    worker: int

    def memory(self) -> float:
        """Return the most memory that the process has held, in MB."""
        status = Path(f"/proc/{self.worker}/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def run(bench: Bench) -> list[Figure]:
    """Fill the trail unless it is, and export it in each form."""
    held = _entries(bench)
    if held < bench.events:
        print(f"  writing {bench.events:,} entries", flush=True)
        fill.fill(bench, bench.events - held)
    key = _key(bench)
    with served() as server:
        plain = _figures(server, key, "jsonl", "")
        memory = server.memory()
        packed = _figures(server, key, "jsonl", "&compress=gzip")
        others = [figure for form in OTHERS for figure in _figures(server, key, form, PART, aim=None)]
        return [
            *plain,
            Figure("jsonl: memory of the server process", memory, "MB", MEMORY),
            *packed,
            *others,
            Figure("all forms: memory of the server process", server.memory(), "MB", note="pyarrow is loaded by then"),
        ]


def _entries(bench: Bench) -> int:
    with bench.admin() as admin:
        row = admin.execute(f"SELECT count(*) FROM {bench.acme.schema_name}.audit_log".encode()).fetchone()
    return int(row[0]) if row else 0


def _key(bench: Bench) -> str:
    from tenants import apikeys  # noqa: PLC0415 - Django is set up by now
    from tenants.context import SYSTEM, platform_scope  # noqa: PLC0415

    with platform_scope(actor=SYSTEM):
        return apikeys.issue(name="export", tenant=bench.acme, scopes=["admin"])[1]


def _figures(server: Server, key: str, form: str, more: str, aim: float | None = PACE) -> list[Figure]:
    began = perf_counter()
    size, lines = 0, 0
    for part in _read(server, key, f"{PATH}?format={form}{more}"):
        size += len(part)
        lines += part.count(b"\n")
    took = perf_counter() - began
    name = f"{form}{more.replace('&', ', ')}"
    if form == "parquet" or "gzip" in more:
        return [Figure(f"{name}: {size / 1e6:.0f} MB in", took, "s")]
    note = f"{lines:,} lines, {lines / took:,.0f} a second, {size / took / 1e6:.0f} MB a second"
    return [Figure(f"{name}: an entry", took / max(1, lines) * 1e6, "µs", aim, note)]


def _read(server: Server, key: str, path: str) -> Iterator[bytes]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=120)
    connection.request("GET", path, headers={"Host": "acme.localhost", "Authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    while part := answer.read(_CHUNK):
        yield part
    connection.close()


@contextmanager
def served() -> Iterator[Server]:
    """Start a server of one process, and stop it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PORT": str(port), "HOST": "127.0.0.1", "WEB_CONCURRENCY": "1"}
    command = [sys.executable, "manage.py", "serve"]
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        try:
            yield Server(port, _worker(process, port))
        finally:
            process.send_signal(signal.SIGTERM)


def _worker(process: subprocess.Popen[bytes], port: int) -> int:
    """Return the process that answers, once it does. Raises TimeoutError, RuntimeError."""
    until = perf_counter() + _READY_WITHIN
    while perf_counter() < until:
        if process.poll() is not None:
            raise RuntimeError("The server ended before it answered.")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
        if children and _answers(port):
            return int(children[0])
        sleep(0.1)
    raise TimeoutError(f"The server did not answer within {_READY_WITHIN:.0f} s.")


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz", headers={"Host": "localhost"})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
