"""Servers of their own for the tests of the embedded PostgreSQL: started, asked, killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from config import embedded

    Start = Callable[..., embedded.Server]


FAST = {"fsync": "off", "shared_buffers": "16MB", "max_connections": "20"}
ROOT = Path(__file__).parents[1]


def temporary(prefix: str) -> Path:
    """Make a folder that every user may enter (pytest's own are the caller's alone), in memory where there is room."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=memory())).resolve()
    folder.chmod(0o755)
    return folder


def memory() -> Path | None:
    """Return a folder in memory with room for a server: databases are made and dropped there in no time."""
    folder = Path("/dev/shm")  # noqa: S108
    roomy = folder.is_dir() and shutil.disk_usage(folder).free > 3_000_000_000
    return folder if roomy and may_run_programs(folder) else None


def may_run_programs(folder: Path) -> bool:
    """Tell whether the file system is not mounted noexec."""
    return os.access(folder, os.W_OK) and not os.statvfs(folder).f_flag & os.ST_NOEXEC


def copy(made: Path, folder: Path) -> None:
    """Copy a folder with its owners."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["/bin/cp", "-a", str(made), str(folder)], check=True)


def ask(server: embedded.Server, query: str) -> list[str]:
    """Return the first column of a query asked as the superuser, as text."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        return [str(row[0]) for row in cursor] if cursor.description else []


def kill(server: embedded.Server) -> None:
    """Kill the server and all its processes at once, as a crash of the machine would."""
    others = [int(pid) for pid in ask(server, "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")]
    for pid in (server.pid, *others):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    while lives(server.pid):
        time.sleep(0.01)


def lives(pid: int) -> bool:
    """Tell whether a process is there and not a zombie."""
    listed = subprocess.run(["/bin/ps", "-o", "stat=", "-p", str(pid)], check=False, capture_output=True, text=True)
    return listed.stdout.strip()[:1] not in {"", "Z"}


def elsewhere(folder: Path) -> subprocess.Popen[str]:
    """Start the server from another process, which says `<started> <pid>` and stays until its input ends."""
    code = (
        "import sys; from pathlib import Path; from config import embedded\n"
        f"server = embedded.start(Path(sys.argv[1]), settings={FAST!r})\n"
        "print(server.started, server.pid, flush=True); sys.stdin.read(); embedded.stop(server)"
    )
    command = [sys.executable, "-c", code, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def said(process: subprocess.Popen[str]) -> tuple[bool, int]:
    """Return what `elsewhere` printed."""
    assert process.stdout is not None
    started, pid = process.stdout.readline().split()
    return started == "True", int(pid)


def one_line(error: pytest.ExceptionInfo[embedded.EmbeddedError]) -> str:
    """Return the message, which is one line."""
    message = str(error.value)
    assert len(message.splitlines()) == 1
    return message
