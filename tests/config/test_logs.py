"""Each log line is one JSON object that says for whom, by whom and in which request."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

import pytest
import structlog
from world import World

from config import logs

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Log as the application does, with a text in place of standard error; return the lines so far."""
    written = io.StringIO()
    monkeypatch.setattr(logs.PoolTrouble, "reason", "")
    configure("INFO", written)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    configure("CRITICAL", sys.stderr)


def configure(level: str, stream: TextIO) -> None:
    logs.configure(level=level)
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:
            handler.setStream(stream)


@pytest.fixture
def broken(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose database is down."""
    from clones import close_pool
    from django.db import connections

    connections.close_all()
    close_pool()
    found = connections["default"].settings_dict
    monkeypatch.setitem(found, "HOST", "127.0.0.1")
    monkeypatch.setitem(found, "PORT", "1")
    monkeypatch.setitem(found["OPTIONS"]["pool"], "timeout", 0.5)
    yield world
    close_pool()


def test_a_line_in_a_scope_names_tenant_actor_and_request(world: World, lines: Lines) -> None:
    alice = world.person("alice")
    with world.scope("acme", "alice", request_id="r-1"):
        structlog.get_logger("test").warning("hello", number=1)
    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    expected = {"event": "hello", "number": 1, "level": "warning", "tenant": "acme", "request_id": "r-1"}
    assert line == {**expected, "actor": f"user:{alice.pk}"}


def test_a_line_of_the_standard_library_looks_the_same(world: World, lines: Lines) -> None:
    with world.platform("sam"):
        logging.getLogger("some.library").error("went %s", "wrong")
    (line,) = lines()
    assert (line["event"], line["level"], line["tenant"]) == ("went wrong", "error", None)
    assert line["actor"].startswith("staff:")


def test_a_line_outside_any_scope_names_nobody(lines: Lines) -> None:
    structlog.get_logger("test").info("alone")
    (line,) = lines()
    assert set(line) == {"event", "level", "timestamp"}


def test_an_exception_stays_on_its_line(lines: Lines) -> None:
    try:
        raise ValueError("first\nsecond")  # noqa: TRY301
    except ValueError as error:
        structlog.get_logger("test").error("failed", exc_info=error)
    (line,) = lines()
    assert "ValueError: first\nsecond" in line["exception"]


def test_what_is_below_the_level_is_not_written(lines: Lines) -> None:
    logs.configure(level="ERROR")
    structlog.get_logger("test").warning("quiet")
    logging.getLogger("test").warning("quiet")
    assert lines() == []


def test_each_request_is_one_line(world: World, lines: Lines) -> None:
    answer = world.api("acme", "acme.read").client.get(
        "/api/v1/audit-logs", headers={"authorization": f"Bearer {world.keys['acme.read']}", "x-request-id": "mine-7"}
    )
    assert (answer.status_code, answer["X-Request-ID"]) == (200, "mine-7")
    (line,) = lines()
    assert line.pop("ms") > 0
    assert line.pop("actor").startswith("api_key:")
    line.pop("timestamp")
    expected = {"event": "request", "method": "GET", "path": "/api/v1/audit-logs", "status": 200, "level": "info"}
    assert line == {**expected, "tenant": "acme", "request_id": "mine-7"}


def test_a_harmful_request_id_is_replaced(world: World, lines: Lines) -> None:
    answer = world.api().client.get("/healthz", headers={"x-request-id": 'a"b' + "c" * 200})
    assert len(answer["X-Request-ID"]) == 32
    assert lines()[0]["request_id"] == answer["X-Request-ID"]


def test_a_database_that_is_down_is_one_line_with_the_reason(broken: World, lines: Lines) -> None:
    answer = broken.api("acme", "acme.read").get("/api/v1/audit-logs")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    trouble, request = lines()
    assert (trouble["event"], trouble["level"]) == ("database_unavailable", "error")
    assert "Connection refused" in trouble["error"]
    assert "\n" not in trouble["error"]
    assert (request["event"], request["status"]) == ("request", 503)


def test_other_troubles_of_the_pool_are_written(lines: Lines) -> None:
    logging.getLogger("psycopg.pool").warning("discarding closed connection: %s", "x")
    logging.getLogger("psycopg.pool").warning("error connecting in %r: %s", "pool-1", "refused\nreally")
    (line,) = lines()
    assert line["event"] == "discarding closed connection: x"
    assert logs.PoolTrouble.reason == "refused really"
