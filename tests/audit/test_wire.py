"""An event as it is written: what it means, and that nothing of it is guessed or altered."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import wire
from audit.events import MAX_ENTRY_BYTES, Event, Operation, Outcome, Party, RequestContext, Source
from audit.strict import parse
from tenants.api.wire import moment
from tenants.errors import BadInput, Fault, TooLarge, Unprocessable

LEAST = {"action": "a", "resource": {"type": "t"}}


def test_the_least_event_leaves_the_rest_to_the_server() -> None:
    event, key = wire.read(LEAST)
    assert event == Event(action="a", resource=Party("t", ""), context=RequestContext(source=Source.API))
    assert key is None


def test_every_field_arrives() -> None:
    event, key = wire.read(
        {
            "action": "user.renamed",
            "operation": "other",
            "outcome": "denied",
            "actor": {"type": "user", "id": "1", "label": "una"},
            "impersonator": {"type": "staff", "id": "2"},
            "resource": {"type": "user", "id": "3", "label": "Una"},
            "targets": [{"type": "team", "id": "4", "label": "T"}],
            "changes": {"a": {"old": None, "new": [1]}},
            "description": "d",
            "occurred_at": "2026-11-22T10:00:00Z",
            "context": {"ip": "203.0.113.7", "user_agent": "u", "request_id": "r", "source": "api"},
            "metadata": {"m": 1},
            "version": 2,
            "idempotency_key": "k",
        }
    )
    assert event == Event(
        action="user.renamed",
        operation=Operation.OTHER,
        outcome=Outcome.DENIED,
        actor=Party("user", "1", "una"),
        impersonator=Party("staff", "2"),
        resource=Party("user", "3", "Una"),
        targets=(Party("team", "4", "T"),),
        changes={"a": {"old": None, "new": [1]}},
        description="d",
        occurred_at=datetime(2026, 11, 22, 10, tzinfo=UTC),
        context=RequestContext(ip="203.0.113.7", user_agent="u", request_id="r", source=Source.API),
        metadata={"m": 1},
        version=2,
    )
    assert key == "k"


def test_all_faults_are_named_at_once_under_the_place_of_the_event() -> None:
    with pytest.raises(Unprocessable) as refusal:
        wire.read({"action": 1, "resource": {"id": 2, "x": 3}, "id": "4"}, "/events/3")
    assert {fault["pointer"]: fault["code"] for fault in refusal.value.errors} == {
        "/events/3/action": "not_a_text",
        "/events/3/resource/type": "required",
        "/events/3/resource/id": "not_a_text",
        "/events/3/resource/x": "unknown_field",
        "/events/3/id": "server_field",
    }


def test_every_fault_says_in_words_what_to_do() -> None:
    with pytest.raises(Unprocessable) as refusal:
        wire.read({"action": "", "resource": {"type": "t" * 101}, "outcome": "fine", "created_at": "now"})
    details = {fault["pointer"]: fault["detail"] for fault in refusal.value.errors}
    assert details["/resource/type"] == "String should have at most 100 characters."
    assert "success" in details["/outcome"]
    assert details["/created_at"] == "The server sets this field; leave it out."


def test_size_is_counted_in_bytes() -> None:
    room = MAX_ENTRY_BYTES - len(json.dumps({**LEAST, "description": ""}, separators=(",", ":")))
    assert wire.read({**LEAST, "description": "x" * room})[0].description
    for text in ("x" * (room + 1), "é" * (room // 2 + 1)):
        with pytest.raises(TooLarge):
            wire.read({**LEAST, "description": text})


def test_what_counts_is_the_size_as_it_was_sent() -> None:
    """Small decimals are longer where they are written out: 1e-05 would be 0.00001."""
    assert wire.read({**LEAST, "changes": {"v": [1e-05] * 8200}})[0].changes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00+00:00"),
        ("2026-11-22t10:00:00.5z", "2026-11-22T10:00:00.500000+00:00"),
        ("2026-11-22 10:00:00+00:00", "2026-11-22T10:00:00+00:00"),
        ("2026-11-22T10:00:00.123456789-05:30", "2026-11-22T15:30:00.123456+00:00"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00"),
    ],
)
def test_a_time_is_read_as_rfc_3339_says(text: str, expected: str) -> None:
    assert moment(text).isoformat() == expected


@pytest.mark.parametrize(
    "text",
    ["", "2026-11-22", "10:00:00Z", "2026-11-22T10:00Z", "2026-11-22T10:00:00", "2026-11-22T10:00:60Z",
     "2026-11-22T25:00:00Z", "2026-11-22T10:00:00.Z", "2026-11-22T10:00:00+0100", "2026-11-22T10:00:00+25:00",
     "20261122T100000Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00", "٢٠٢٦-11-22T10:00:00Z",
     " 2026-11-22T10:00:00Z"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time"):
        moment(text)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(-(2.0**53), 2.0**53, allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="ascii")), inner, max_size=3)
    ),
    max_leaves=10,
)


def read_or_faults(value: Any) -> Event | list[Fault]:
    try:
        return wire.read(value)[0]
    except BadInput as error:
        return error.errors


def parsed_or_faults(raw: bytes) -> tuple[Any, list[Fault] | None]:
    try:
        return parse(raw), None
    except BadInput as error:
        return None, error.errors


@given(JSON)
def test_whatever_is_sent_is_read_as_an_event_or_refused_with_a_place(value: Any) -> None:
    for sent in (value, {**LEAST, "metadata": value}, {**LEAST, "changes": value}):
        found = read_or_faults(sent)
        if isinstance(found, Event):
            assert (found.metadata, found.changes) == (sent.get("metadata", {}), sent.get("changes"))
        else:
            assert found
            assert all(fault["pointer"] == "" or fault["pointer"].startswith("/") for fault in found)


@given(JSON)
def test_what_json_can_say_exactly_is_parsed_as_the_standard_library_does(value: Any) -> None:
    text = json.dumps(value)
    if "\\u0000" not in text:
        assert parse(text.encode()) == json.loads(text)


PIECES = [b"[", b'{"a":', b'"\\ud800', b'"', b"1e999", b"-", b"NaN", b"]", b"}", b",", b"0.1", b"\\u0000", b" ", b"1"]


@given(st.binary(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
def test_any_bytes_are_parsed_or_refused_with_a_fault_that_can_be_sent(raw: bytes) -> None:
    value, faults = parsed_or_faults(raw)
    if faults is None:
        assert value == json.loads(raw)
    else:
        assert faults
        assert json.dumps(faults, ensure_ascii=False).encode()
