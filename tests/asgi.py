"""Requests to the ASGI handler, sent as a server sends them, many at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from asgiref.testing import ApplicationCommunicator
from django.core.handlers.asgi import ASGIHandler

Communicator: Any = ApplicationCommunicator
_PATIENCE = 120


async def ask(path: str, headers: Mapping[str, str]) -> tuple[int, Any]:
    """Send a GET; return the status and the JSON of the answer."""
    named = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    place, _, query = path.partition("?")
    asked = {"path": place, "query_string": query.encode()}
    scope = {"type": "http", "method": "GET", **asked, "headers": named, "client": None}
    app: Any = Communicator(ASGIHandler(), {**scope, "http_version": "1.1", "server": ("test", 80)})
    await app.send_input({"type": "http.request", "body": b"", "more_body": False})
    start = await app.receive_output(_PATIENCE)
    body = await app.receive_output(_PATIENCE)
    await app.wait(_PATIENCE)
    return start["status"], json.loads(body["body"])


def ask_at_once(path: str, callers: Sequence[Mapping[str, str]]) -> list[tuple[int, Any]]:
    """Send a GET with each of these headers, all before the first is answered; return the answers in order."""

    async def main() -> list[tuple[int, Any]]:
        return await asyncio.gather(*(ask(path, headers) for headers in callers))

    return asyncio.run(main())
