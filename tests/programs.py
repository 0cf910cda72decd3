"""Programs that serve a page by the server of the product, without Django's start-up: for tests of the server alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Serves a page until it is told to stop, as `manage.py serve` does, without Django's start-up.
SERVER = """
import sys
sys.path.insert(0, sys.argv[1])
import config.typing_settings, os
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
import django; django.setup()
from config import server
server._Server.load = lambda self: page
def page(environ, start):
    from django.conf import settings
    from django.db import connections
    rights = [name for name in os.environ if name.startswith(("MIGRATION", "SUPERUSER"))]
    answer = " ".join(["ok", *rights, *(set(settings.DATABASES) | set(connections)) - {"default"}]).encode()
    start("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]
server.serve(server.bind(int(sys.argv[2])), lambda: print("ready", flush=True))
print("ended", flush=True)
"""


@contextmanager
def serving(code: str, port: int) -> Iterator[subprocess.Popen[str]]:
    """Run a program that serves, as a process of its own group, which is killed after some minutes."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(ROOT), str(port)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0,
    )  # fmt: skip
    watch = threading.Timer(240, process.kill)
    watch.start()
    try:
        yield process
    finally:
        watch.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()


def lines(process: subprocess.Popen[str], number: int) -> list[str]:
    """Return the next lines that a process says."""
    assert process.stdout is not None
    return [process.stdout.readline() for _ in range(number)]
