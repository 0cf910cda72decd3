"""Servers that tests really start: `manage.py demo` as a process, in a folder and on a port of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent
READY = "Daybook is ready."
_PATIENCE = 180.0
_OURS = ("DATABASE_URL", "MIGRATION_DATABASE_URL", "SUPERUSER_DATABASE_URL", "SECRET_KEY", "ALLOWED_HOSTS", "LOG_LEVEL")


def free_port() -> int:
    """Return a port that nobody uses now."""
    with closing(socket.create_server(("127.0.0.1", 0))) as found:
        return int(found.getsockname()[1])


def processes(word: str) -> list[int]:
    """Return the running processes that have a word in their command or environment. Zombies have neither."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if word.encode() in (path / "cmdline").read_bytes() + (path / "environ").read_bytes():
                found.append(int(path.name))
    return found


class Demo:
    """`manage.py demo` in a process group of its own; leaving the context ends all that is left of it."""

    def __init__(self, port: int, folder: Path | None = None) -> None:
        # A short path that every user may enter, as the sockets of PostgreSQL need.
        self.folder = folder or Path(tempfile.mkdtemp(prefix="daybook-demo-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.port = port
        kept = {name: value for name, value in os.environ.items() if name not in _OURS}
        self.environment = {**kept, "DAYBOOK_VAR": str(self.folder), "PORT": str(port)}
        self.process: subprocess.Popen[bytes]

    def start(self, *arguments: str) -> Self:
        """Start it; its output goes to a file."""
        with (self.folder / "output").open("wb") as output:
            command = [sys.executable, "manage.py", "demo", *arguments]
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, process_group=0,
            )  # fmt: skip
        return self

    def wait(self, text: str = READY) -> float:
        """Wait until it has printed a text; return the seconds it took."""
        began = time.monotonic()
        while text not in self.output():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() - began < _PATIENCE, self.output()
            time.sleep(0.05)
        return time.monotonic() - began

    def output(self) -> str:
        """Return what it has printed."""
        return (self.folder / "output").read_text(encoding="utf-8")

    def document(self) -> dict[str, Any]:
        """Return what `demo.json` says."""
        found: dict[str, Any] = json.loads((self.folder / "demo.json").read_text(encoding="utf-8"))
        return found

    def interrupt(self, sign: int = signal.SIGINT) -> int:
        """Press Ctrl-C (all of the group gets it) and return the exit status."""
        os.killpg(self.process.pid, sign)
        return self.process.wait(60)

    def left(self) -> list[int]:
        """Return its processes that still run."""
        return processes(str(self.folder))

    def kill(self) -> None:
        """Kill all of it, the database too, as a power cut would."""
        began = time.monotonic()
        # Again and again: one may have been started between the look and the kill, and dying takes a moment.
        while (found := self.left()) and time.monotonic() - began < _PATIENCE:
            for process in found:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.01)
        self.process.wait(60)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
