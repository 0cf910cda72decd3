"""A server process, and clients that keep their connections."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 60


@contextmanager
def served(**environment: str) -> Iterator[int]:
    """Run `manage.py serve` on the database of this process; the port. It is ended at the end."""
    with closing(socket.create_server(("127.0.0.1", 0))) as found:
        port = found.getsockname()[1]
    # Request lines are written, as in production, but nobody reads them.
    env = {**os.environ, "LOG_LEVEL": "INFO", "PORT": str(port), **environment}
    env.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, "manage.py", "serve"]
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await(port)
        yield port
    finally:
        process.terminate()
        process.wait(_PATIENCE)


def _await(port: int) -> None:
    began = perf_counter()
    while True:
        try:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
            client.request("GET", "/readyz", headers={"Host": "localhost"})
            if client.getresponse().status == http.client.OK:
                return
        except OSError:
            if perf_counter() - began > _PATIENCE:
                raise
        time.sleep(0.05)


class Client:
    """One kept connection of a key."""

    def __init__(self, port: int, key: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
        self._headers = {"Host": "acme.localhost", "Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def connect(self) -> None:
        """Open a fresh connection."""
        self._connection.close()
        self._connection.connect()
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """Return the status and the body of an answer."""
        self._connection.request(method, path, body, {**self._headers, **headers})
        answer = self._connection.getresponse()
        return answer.status, answer.read()


def together(clients: list[Client], work: Callable[[Client, Any], object], items: Sequence[Any]) -> float:
    """Give each client its share of the items at the same time; return the seconds of all.

    Connections are made before: the server closes one that is idle for some seconds.
    """
    for client in clients:
        client.connect()
    start = threading.Barrier(len(clients) + 1)

    def run(number: int) -> None:
        start.wait()
        for item in items[number :: len(clients)]:
            work(clients[number], item)

    with ThreadPoolExecutor(len(clients)) as pool:
        running = [pool.submit(run, number) for number in range(len(clients))]
        start.wait()
        began = perf_counter()
        for one in running:
            one.result()
        return perf_counter() - began
