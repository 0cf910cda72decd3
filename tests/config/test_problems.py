"""Every error is a problem document that says what to do; a database that is down is a 503 and one line in the log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from clones import close_pool
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError, connections
from django.http import Http404
from django.test import RequestFactory
from django.urls import Resolver404
from rest_framework import exceptions
from structlog.testing import CapturingLogger
from world import World

from audit.api.views import AuditLogsView
from config import problems
from tenants.errors import BadInput, NotSignedIn, Refused

ASKED = RequestFactory().get("/api/v1/audit-logs")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BadInput(), 400, "bad_input"),
        (NotSignedIn(), 401, "not_signed_in"),
        (Http404(), 404, "not_found"),
        (Resolver404(), 404, "not_found"),
        (PermissionDenied(), 403, "refused"),
        (SuspiciousOperation("odd"), 400, "bad_input"),
        (exceptions.ParseError(), 400, "parse_error"),
        (exceptions.NotAuthenticated(), 401, "not_signed_in"),
        (exceptions.PermissionDenied("CSRF Failed"), 403, "permission_denied"),
        (exceptions.NotFound(), 404, "not_found"),
        (exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (exceptions.NotAcceptable(), 406, "not_acceptable"),
        (exceptions.UnsupportedMediaType("text/plain"), 415, "unsupported_media_type"),
        (exceptions.Throttled(wait=1.2), 429, "throttled"),
        (OperationalError("down"), 503, "cannot_serve"),
        (RuntimeError("a secret of ours"), 500, "domain_error"),
    ],
)
def test_each_error_has_its_status_and_code(error: Exception, status: int, code: str) -> None:
    answer = problems.render(ASKED, error)
    document = json.loads(answer.content)
    assert (answer.status_code, document["status"], document["code"]) == (status, status, code)
    assert answer["Content-Type"] == "application/problem+json"
    assert document["title"]
    assert document["detail"]
    assert "secret" not in answer.content.decode()


def test_who_is_throttled_is_told_when_to_come_back() -> None:
    assert problems.render(ASKED, exceptions.Throttled(wait=1.2))["Retry-After"] == "2"


@pytest.mark.parametrize("path", ["/audit_logs/events", "/organizations/acme/audit_logs_retention"])
def test_who_speaks_as_workos_does_is_told_errors_so(path: str) -> None:
    asked = RequestFactory().post(path)
    unknown = problems.render(asked, NotSignedIn())
    assert (unknown.status_code, unknown["Content-Type"]) == (401, "application/json")
    assert json.loads(unknown.content) == {"message": "Unauthorized", "code": "not_signed_in"}
    throttled = problems.handle(exceptions.Throttled(wait=1.2), {"request": asked})
    assert (throttled.status_code, throttled["Retry-After"]) == (429, "2")
    assert throttled.data == {"message": "Too many requests.", "code": "rate_limit_exceeded"}
    fault: Any = {"parameter": "limit", "code": "invalid", "detail": "Too much."}
    assert problems.handle(BadInput("Odd.", errors=[fault]), {"request": asked}).data == {
        "message": "Odd.", "code": "bad_input",
        "errors": [{"field": "limit", "code": "invalid", "message": "Too much."}],
    }  # fmt: skip


def test_a_serializers_faults_are_named_by_their_places() -> None:
    detail: Any = {"plan": ["Unknown."], "items": [{}, {"name": ["Too long."]}], "non_field_errors": ["Odd."]}
    document = problems.body(problems.domain_error(exceptions.ValidationError(detail)))
    assert [(fault["pointer"], fault["code"], fault["detail"]) for fault in document["errors"]] == [
        ("/plan", "invalid", "Unknown."),
        ("/items/1/name", "invalid", "Too long."),
        ("", "invalid", "Odd."),
    ]


@pytest.fixture
def dead_database(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The world with its database behind a port where nobody listens."""
    connections.close_all()
    close_pool()
    found = connections["default"].settings_dict
    monkeypatch.setitem(found, "HOST", "127.0.0.1")
    monkeypatch.setitem(found, "PORT", "1")
    monkeypatch.setitem(found["OPTIONS"]["pool"], "timeout", 0.5)
    yield world
    close_pool()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    """What is logged of errors."""
    captured = CapturingLogger()
    monkeypatch.setattr(problems, "log", captured)
    return captured


@pytest.mark.parametrize("host", ["acme", "platform"])
def test_a_database_that_is_down_is_503_with_a_hint_and_one_line(
    dead_database: World, host: str, log: CapturingLogger
) -> None:
    reader, writer = dead_database.api(host, "acme.read"), dead_database.api(host, "acme.write")
    for answer in (reader.get("/api/v1/audit-logs"), writer.post("/api/v1/audit-logs", {"action": "a"})):
        assert (answer.status_code, answer["Retry-After"]) == (503, "5")
        assert answer["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "cannot_serve"
    assert [call.args for call in log.calls] == [("database_unavailable",)] * 2


def test_a_database_that_dies_within_a_request_is_503_and_nothing_is_written(
    world: World, monkeypatch: pytest.MonkeyPatch, log: CapturingLogger
) -> None:
    before = world.entries("acme")

    def dies(*_arguments: Any) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr("audit.ingest._enter", dies)
    event = {"action": "a", "resource": {"type": "t"}, "idempotency_key": "k"}
    answer = world.api(key="acme.write").post("/api/v1/audit-logs", event)
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert [call.args for call in log.calls] == [("database_unavailable",)]
    assert world.entries("acme") == before


def test_a_server_that_was_restarted_is_503_until_the_dead_connections_are_gone(
    world: World, log: CapturingLogger
) -> None:
    api = world.api(key="acme.read")
    assert api.get("/api/v1/audit-logs").status_code == 200
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    assert len(world.sql(f"SELECT pg_terminate_backend(pid, 5000) {others}")) >= 2
    answers = [api.get("/api/v1/audit-logs").status_code for _ in range(4)]
    assert (answers[0], answers[-1]) == (503, 200)
    assert set(answers) == {200, 503}
    assert {call.args for call in log.calls} == {("database_unavailable",)}


def test_what_nobody_foresaw_is_500_with_nothing_written_and_nothing_told(
    world: World, monkeypatch: pytest.MonkeyPatch, log: CapturingLogger
) -> None:
    before = world.entries("acme")

    def fails(*_arguments: Any) -> None:
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr("audit.ingest._enter", fails)
    event = {"action": "a", "resource": {"type": "t"}, "idempotency_key": "k"}
    answer = world.api(key="acme.write").post("/api/v1/audit-logs", event)
    assert (answer.status_code, answer["Content-Type"]) == (500, "application/problem+json")
    assert b"secret" not in answer.content
    assert [call.args for call in log.calls] == [("unexpected_error",)]
    assert world.entries("acme") == before


def test_a_refusal_of_the_framework_tells_nothing_of_its_inside() -> None:
    assert problems.body(problems.domain_error(Refused()))["detail"] == "The caller may not do this."


def test_a_query_that_takes_too_long_is_told_so_with_a_hint(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL itself ends it, after its statement_timeout."""
    own = AuditLogsView.visible

    def slow(view: AuditLogsView, request: Any) -> Any:
        entries = own(view, request)
        with connections[entries.db].cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '50ms'")
        return entries.extra(where=["pg_sleep(1) IS NOT NULL"])

    monkeypatch.setattr(AuditLogsView, "visible", slow)
    before = world.entries("acme")
    answer = world.api(key="acme.read").get("/api/v1/audit-logs")
    assert (answer.status_code, answer["Content-Type"]) == (503, "application/problem+json")
    assert answer.json()["code"] == "too_slow"
    assert "Narrow the filter" in answer.json()["detail"]
    # The same again would take as long: nobody is told to try it.
    assert "Retry-After" not in answer
    assert world.entries("acme") == before
    monkeypatch.undo()
    assert world.api(key="acme.read").get("/api/v1/audit-logs").status_code == 200
