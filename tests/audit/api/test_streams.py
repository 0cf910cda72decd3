"""A stream of events, one on each line: written in parts, reported line by line, and never half of a line."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import zstandard
from django.db import OperationalError
from hypothesis import given
from hypothesis import strategies as st
from world import World

from audit import catalogue, ingest, lines
from audit.models import AuditLog

LOGS = "/api/v1/audit-logs"
EVENT = {"action": "invoice.paid", "resource": {"type": "invoice", "id": "7"}}


def written(world: World, slug: str = "acme") -> int:
    schema = world.tenant(slug).schema_name
    return int(world.sql(f"SELECT count(*) FROM {schema}.audit_log WHERE action = 'invoice.paid'")[0][0])


def line(number: int = 0, **fields: Any) -> bytes:
    return json.dumps({**EVENT, "resource": {"type": "invoice", "id": str(number)}, **fields}).encode() + b"\n"


def send(
    world: World, body: bytes, key: str = "acme.write", media: str = "application/x-ndjson", **headers: str
) -> Any:
    api = world.api("acme", key)
    return api.client.post(LOGS, body, content_type=media, headers={**api.headers, **headers})


def report(lines: int = 0, created: int = 0, duplicates: int = 0, rejected: Any = ()) -> dict[str, Any]:
    return {"lines": lines, "created": created, "duplicates": duplicates, "rejected": list(rejected)}


def test_each_line_is_an_event(world: World) -> None:
    answer = send(world, b"".join(line(number) for number in range(1234)))
    assert (answer.status_code, answer.json()) == (201, report(1234, 1234))
    with world.scope("acme"):
        entries = AuditLog.objects.filter(action="invoice.paid").order_by("id")
        assert [entry.resource_id for entry in entries] == [str(number) for number in range(1234)]
        # In three units of work, and each entry says the request that brought it.
        assert len({entry.transaction_id for entry in entries}) == 3
        assert {entry.request_id for entry in entries} == {answer["X-Request-ID"]}


@pytest.mark.parametrize("media", ["application/x-ndjson", "application/x-ndjson; charset=utf-8"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_blank_lines_are_nothing_and_the_last_line_need_not_be_ended(world: World, media: str, end: bytes) -> None:
    body = end.join([line(1)[:-1], b"", b" \t", line(2)[:-1]])
    assert send(world, body, media=media).json() == report(4, 2)
    assert written(world) == 2


def test_an_empty_stream_is_answered_with_nothing(world: World) -> None:
    api = world.api(key="acme.write")
    # Django's client leaves out the type of no content.
    answer = api.client.generic("POST", LOGS, b"", CONTENT_TYPE="application/x-ndjson", headers=api.headers)
    assert (answer.status_code, answer.json()) == (200, report())


@pytest.mark.parametrize(("encoding", "packed"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
def test_a_stream_may_be_packed(world: World, encoding: str, packed: Any) -> None:
    answer = send(world, packed(b"".join(map(line, range(700)))), **{"content-encoding": encoding})
    assert answer.json() == report(700, 700)
    assert written(world) == 700


def test_lines_that_break_a_rule_are_told_by_number_and_the_others_are_written(world: World) -> None:
    body = line(1) + b"{\n" + line(3) + b'{"action": "a", "action": "b"}\n' + line(5, actor={"type": "user"}) + b"\n"
    body += b'{"events": []}\n' + b'"' + b"x" * (lines.MAX_LINE + 1) + b'"\n' + line(9, description="x" * 70_000)
    answer = send(world, body)
    assert answer.status_code == 201
    said = answer.json()
    assert {key: said[key] for key in ("lines", "created", "duplicates")} == {"lines": 9, "created": 2, "duplicates": 0}
    assert [(one["line"], one["errors"][0]["pointer"], one["errors"][0]["code"]) for one in said["rejected"]] == [
        (2, "", "not_json"),
        (4, "/action", "duplicate_key"),
        (5, "/actor/id", "required"),
        (7, "/action", "required"),
        (8, "", "too_large"),
        (9, "", "too_large"),
    ]
    assert written(world) == 2


def test_a_stream_of_bad_lines_alone_is_422_and_names_each(world: World) -> None:
    answer = send(world, b"{}\n[]\n")
    assert (answer.status_code, answer["Content-Type"]) == (422, "application/problem+json")
    assert (answer.json()["created"], [one["line"] for one in answer.json()["rejected"]]) == (0, [1, 2])
    assert written(world) == 0


def test_a_stream_that_is_none_is_given_up_and_says_how_far_it_came(world: World) -> None:
    body = line() * lines.PART_LINES + b"{}\n" * 100_000
    answer = send(world, body)
    said = answer.json()
    assert (answer.status_code, said["code"], said["created"]) == (422, "too_many_rejected", lines.PART_LINES)
    assert (said["lines"], len(said["rejected"])) == (3 * lines.PART_LINES, lines.MAX_REJECTED)
    assert written(world) == lines.PART_LINES


def test_a_key_of_a_line_makes_it_safe_to_send_the_stream_again(world: World) -> None:
    body = b"".join(line(number, idempotency_key=str(number % 600)) for number in range(1200))
    first, again = send(world, body), send(world, body)
    assert (first.status_code, first.json()) == (201, report(1200, 600, 600))
    assert (again.status_code, again.json()) == (200, report(1200, 0, 1200))
    assert written(world) == 600


def test_a_stream_cannot_have_a_key_of_its_own(world: World) -> None:
    answer = send(world, line(), **{"idempotency-key": "k"})
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, "Idempotency-Key")
    assert written(world) == 0


@pytest.mark.parametrize(("key", "status"), [("acme.read", 403), (None, 401), ("globex.write", 403)])
def test_who_may_not_write_streams_nothing_and_a_denial_is_recorded(world: World, key: str | None, status: int) -> None:
    answer = send(world, line(), key=key)  # type: ignore[arg-type]
    assert (answer.status_code, written(world), written(world, "globex")) == (status, 0, 0)
    schema = world.acme.schema_name
    denied = world.sql(f"SELECT count(*) FROM {schema}.audit_log WHERE action = 'access.denied'")[0][0]
    assert denied == (1 if key == "acme.read" else 0)


def test_a_session_needs_its_csrf_token(world: World) -> None:
    from django.test.client import ClientHandler

    api = world.api()
    api.sign_in("alice")
    api.client.handler = ClientHandler(enforce_csrf_checks=True)
    assert api.client.post(LOGS, line(), content_type="application/x-ndjson").status_code == 403
    assert written(world) == 0
    token = {"x-csrftoken": api.client.cookies["csrftoken"].value}
    assert api.client.post(LOGS, line(), content_type="application/x-ndjson", headers=token).status_code == 201
    assert written(world) == 1


@pytest.mark.parametrize("media", ["application/x-ndjson; charset=latin-1", "application/jsonl", "text/plain"])
def test_what_is_said_to_be_something_else_is_415(world: World, media: str) -> None:
    assert send(world, line(), media=media).status_code == 415
    assert written(world) == 0


@pytest.mark.parametrize(("encoding", "status"), [("br", 415), ("gzip", 400), ("zstd", 400)])
def test_what_cannot_be_unpacked_is_refused_with_nothing_written(world: World, encoding: str, status: int) -> None:
    answer = send(world, line(), **{"content-encoding": encoding})
    assert (answer.status_code, answer.json()["lines"], answer.json()["created"]) == (status, 0, 0)
    assert written(world) == 0


def test_a_stream_that_breaks_off_has_written_what_it_reports(world: World) -> None:
    packed = gzip.compress(b"".join(map(line, range(5000))), compresslevel=1)
    answer = send(world, packed[: len(packed) // 2], **{"content-encoding": "gzip"})
    said = answer.json()
    assert (answer.status_code, said["code"]) == (400, "broken_body")
    assert said["created"] == said["lines"] == written(world)
    assert said["created"] % lines.PART_LINES == 0 < said["created"] < 5000
    assert f"after line {said['lines']:,}" in said["detail"]


@pytest.mark.parametrize(
    ("error", "status"), [(OperationalError("gone"), 503), (psycopg.errors.DeadlockDetected(), 503)]
)
def test_a_database_that_fails_in_the_middle_is_told_with_what_is_stored(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    whole, calls = ingest.write, iter(range(10))

    def write(*args: Any, **options: Any) -> Any:
        written = whole(*args, **options)
        if next(calls) == 2:
            raise OperationalError from error
        return written

    monkeypatch.setattr(ingest, "write", write)
    answer = send(world, b"".join(map(line, range(3000))))
    assert (answer.status_code, answer.json()["created"], answer.json()["lines"]) == (status, 1000, 1000)
    assert answer["Retry-After"] == "5"
    assert written(world) == 1000


class Endless:
    """A body that is made while it is read."""

    def __init__(self, events: int) -> None:
        self._pieces = (line(number, description="x" * 1000) for number in range(events))
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        while len(self._rest) < size and (more := next(self._pieces, b"")):
            self._rest += more
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece


@contextmanager
def nothing() -> Iterator[None]:
    yield


def test_a_stream_of_any_length_takes_the_memory_of_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "check", lambda found: [event for _, event in found])
    monkeypatch.setattr(ingest, "write", lambda good, **_: [ingest.Written(None, created=True)] * len(good))  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        found = lines.receive(Endless(8_000), nothing)
        assert tracemalloc.get_traced_memory()[1] < 5 << 20
    finally:
        tracemalloc.stop()
    assert (found.lines, found.created) == (8_000, 8_000)


def test_a_line_without_an_end_takes_no_memory() -> None:
    class Zeros:
        left = 200

        def read(self, size: int, /) -> bytes:
            self.left -= 1
            return b"0" * (1 << 20) if self.left else b""

    tracemalloc.start()
    try:
        assert list(lines._lines(Zeros())) == [(1, None)]
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_faults_of_a_line_are_few_and_short(world: World) -> None:
    long = {"x" * 1000 + str(number): 1 for number in range(30)}
    faults = send(world, line() + line(**long)).json()["rejected"][0]["errors"]
    assert len(faults) == 10
    assert max(len(fault["pointer"]) for fault in faults) == 300


@given(st.lists(st.binary(max_size=12), max_size=20), st.integers(1, 9))
def test_lines_are_the_same_however_they_are_cut_into_pieces(parts: list[bytes], size: int) -> None:
    body = b"\n".join(part.replace(b"\n", b"") for part in parts)

    class Cut(io.BytesIO):
        def read(self, _: int | None = -1, /) -> bytes:
            return super().read(size)

    expected = body.split(b"\n") if body else []
    if expected and not expected[-1]:
        expected.pop()
    assert list(lines._lines(Cut(body))) == list(enumerate(expected, 1))
