"""Log lines of requests of two tenants at once: each says its own request's tenant, actor and id."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import structlog
from django.db import connections
from django.test import override_settings
from world import World

from config import logs

SLUGS = ("acme", "globex")
_THREADS, _REQUESTS = 8, 32
_LINES_OF_A_VIEW = 4


@contextmanager
def listening() -> Iterator[list[dict[str, Any]]]:
    """Log as the application does; fill the list with the lines at the end."""
    written, lines = io.StringIO(), list[dict[str, Any]]()
    _configure("INFO", written)
    try:
        yield lines
    finally:
        _configure("CRITICAL", sys.stderr)
        lines.extend(json.loads(line) for line in written.getvalue().splitlines())


def _configure(level: str, stream: Any) -> None:
    logs.configure(level=level)
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:
            handler.setStream(stream)


def lines_of_many(world: World) -> list[dict[str, Any]]:
    """Ask for both tenants at once, by ids that say which; return the lines that have such an id."""

    def ask(number: int) -> int:
        slug = SLUGS[number % 2]
        headers = {"authorization": f"Bearer {world.keys[f'{slug}.read']}", "x-request-id": f"{slug}-{number}"}
        try:
            return int(world.api(slug).client.get("/logged", headers=headers).status_code)
        finally:
            connections.close_all()

    with listening() as lines, override_settings(TENANT_URLCONF="trying_urls"), ThreadPoolExecutor(_THREADS) as pool:
        assert set(pool.map(ask, range(_REQUESTS))) == {200}
    return [line for line in lines if line["event"] != "request" or "/logged" in line["path"]]


def test_each_line_says_its_own_requests_tenant_and_actor(world: World) -> None:
    lines = lines_of_many(world)
    assert len(lines) == _REQUESTS * (_LINES_OF_A_VIEW + 1)
    assert all(line["request_id"].startswith(f"{line['tenant']}-") for line in lines)
    assert {len({line["actor"] for line in lines if line["tenant"] == slug}) for slug in SLUGS} == {1}
    assert len({line["actor"] for line in lines}) == len(SLUGS)


def test_control_with_one_context_for_all_threads_lines_say_anothers_id(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared: dict[str, Any] = {}

    @contextmanager
    def bound(**said: Any) -> Iterator[None]:
        shared.update(said)
        yield

    monkeypatch.setattr(structlog.contextvars, "bound_contextvars", bound)
    monkeypatch.setattr(structlog.contextvars, "merge_contextvars", lambda _logger, _method, event: {**shared, **event})
    lines = lines_of_many(world)
    assert any(not line["request_id"].startswith(f"{line['tenant']}-") for line in lines)
