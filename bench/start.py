"""How long `make run` takes to say that Daybook is ready: from a bare copy of the checkout, and a second time.

The first start makes the virtual environment (packages come from the package manager's cache, where it has them),
a PostgreSQL server, tables, two tenants, and plays their four weeks by HTTP; the second finds all of it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from time import perf_counter

from bench.base import Bench, Figure

ROOT = Path(__file__).resolve().parent.parent
READY = "Daybook is ready."
PATIENCE = 600
# What this process has set for a server of its own, or been told of one.
_OURS = ("DATABASE_URL", "SECRET_KEY", "ALLOWED_HOSTS", "DJANGO_SETTINGS_MODULE", "LOG_LEVEL", "VIRTUAL_ENV", "MAKE")


def run(_bench: Bench) -> list[Figure]:
    """Copy the checkout, start it twice, remove it."""
    with tempfile.TemporaryDirectory(prefix="daybook-start-") as folder:
        Path(folder).chmod(0o755)
        copy = copied(ROOT, Path(folder) / "daybook")
        first, second = started(copy), started(copy)
    return [
        Figure("make run from a bare checkout", first, "s", 90, "to the line that says it is ready"),
        Figure("second start", second, "s", 8),
    ]


def copied(source: Path, target: Path) -> Path:
    """Copy a checkout without what commands have made in it; return the copy."""
    made = shutil.ignore_patterns(".git", ".venv", "var", "__pycache__", ".*_cache", ".hypothesis", ".coverage*")
    shutil.copytree(source, target, ignore=made)
    return target


def started(folder: Path) -> float:
    """Return the seconds that `make run` takes to be ready, and end it by Ctrl-C. Raises RuntimeError if it fails."""
    # Where this process ignores Ctrl-C, in the background of a script, what it starts would ignore it too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    began = perf_counter()
    with subprocess.Popen(
        ["make", "run"],  # noqa: S607 - whichever make the user has
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        watch = threading.Timer(PATIENCE, _end, [process, signal.SIGKILL])
        watch.start()
        try:
            taken = _until_ready(process, began)
            _end(process, signal.SIGINT)
            process.communicate()
        finally:
            watch.cancel()
            _end(process, signal.SIGKILL)
    return taken


def _environment() -> dict[str, str]:
    """Return this environment without what is this process's own, and with a port that is free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not any(ours in name for ours in _OURS)}
    return {**kept, "PORT": str(port)}


def _until_ready(process: subprocess.Popen[str], began: float) -> float:
    """Return how many seconds after `began` it said so."""
    assert process.stdout is not None
    lines = ["nothing was said"]
    for line in process.stdout:
        if line.startswith(READY):
            return perf_counter() - began
        lines.append(line.strip())
    raise RuntimeError(f"`make run` ended before it was ready: {lines[-1]}")


def _end(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a signal to all that was started, if it still runs."""
    if process.poll() is None:
        os.killpg(process.pid, number)
