"""A proxy that loses answers: it passes a request on, and then says 503 as if the server had gone away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

_PASSED_ON = ("authorization", "content-type", "idempotency-key", "user-agent")


class Losing:
    """How many answers are still to be lost, and what was sent."""

    def __init__(self, target: str) -> None:
        self.target, self.to_lose = target, 0
        self.keys: list[str | None] = []
        self.url = ""

    def pass_on(self, handler: BaseHTTPRequestHandler, method: str) -> None:
        """Pass a request on, and its answer back unless it is to be lost."""
        length = int(handler.headers.get("Content-Length", 0))
        headers = {name: value for name, value in handler.headers.items() if name.lower() in _PASSED_ON}
        self.keys.append(handler.headers.get("Idempotency-Key"))
        answer = httpx.request(method, self.target + handler.path, content=handler.rfile.read(length), headers=headers)
        lost = self.to_lose > 0
        self.to_lose -= lost
        body = b'{"message": "Gone."}' if lost else answer.content
        handler.send_response(503 if lost else answer.status_code)
        handler.send_header("Retry-After", "0")
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


@contextmanager
def losing(target: str) -> Iterator[Losing]:
    """Run the proxy for the time of the block."""
    state = Losing(target)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.pass_on(self, "GET")

        def do_POST(self) -> None:
            state.pass_on(self, "POST")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
