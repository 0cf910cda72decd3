"""leaf(read(write(x))) == leaf(x): whatever an event says is read back as it was said, or refused by its place.

The leaf is the SHA-256 of the event as canonical JSON (RFC 8785): the same for two documents exactly if they say the
same. So neither the way in nor the way out nor the database may alter a text, a number or a key, one by one, in a
batch or in a stream.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from world import Api, World

from audit.entry import canonical
from audit.wire import canonical_address

LOGS = "/api/v1/audit-logs"
SAFE = 2**53


def canonical_json(value: Any) -> str:
    """Return a JSON value in the one form of RFC 8785."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(f"{canonical_json(key)}:{canonical_json(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical_json, value)) + "]"
    if isinstance(value, float):
        return number(value)
    return json.dumps(value, ensure_ascii=False)


def number(value: float) -> str:
    """Return a number as ECMAScript writes it."""
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    digits, _, exponent = repr(value).partition("e")
    power = int(exponent or 0)
    if -7 < power < 0:
        sign, digits = ("-", digits[1:]) if digits[0] == "-" else ("", digits)
        return f"{sign}0.{'0' * (-power - 1)}{digits.replace('.', '')}"
    return digits if not power else f"{digits.removesuffix('.0')}e{power:+d}"


def leaf(event: Any) -> str:
    return hashlib.sha256(canonical_json(event).encode()).hexdigest()


def test_a_leaf_is_that_of_rfc_8785() -> None:
    said = {"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew", "1": "One", "\U0001f600": "Emoji",
            "\u0080": "Control", "\u00f6": "Latin"}  # fmt: skip
    order = ["Carriage Return", "One", "Control", "Latin", "Euro Sign", "Emoji", "Hebrew"]
    assert list(json.loads(canonical_json(said)).values()) == order
    numbers = {333333333.33333329: "333333333.3333333", 4.50: "4.5", 2e-3: "0.002", 1e-27: "1e-27",
               -0.0: "0", 1e-6: "0.000001", -1.5e-5: "-0.000015", 1e-7: "1e-7",
               5e-324: "5e-324", 1e15: "1" + "0" * 15}  # fmt: skip
    assert {value: canonical_json(value) for value in numbers} == numbers


# Dark corners are drawn more often than by chance.
NASTY = st.sampled_from(
    ["", "\\u0000", "\u202e", "=1+1", "\ufeff", "\uffff", "\U0010ffff", "e\u0301", "\u00e9", "'", '"', "\\", "\x7f",
     "\u2028", "null", "1", "%s", "$1", "\x1f", "__proto__", "old", "new", "NaN", "{}",
     "\ud7ff\ue000", " ", "\t", "A" * 200]
)  # fmt: skip
TEXT = NASTY | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)
NUMBERS = (
    st.integers(-SAFE, SAFE)
    | st.floats(-float(SAFE), float(SAFE), allow_nan=False)
    | st.sampled_from([0, -0.0, 5e-324, 2.2250738585072014e-308, 0.1, 1e-7, 123456789.123456789, float(SAFE), 1e15, -1])
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
NAME = TEXT.filter(bool).map(lambda text: text[:100])
LABEL = TEXT.map(lambda text: text[:255])
PARTY = st.fixed_dictionaries({"type": NAME, "id": LABEL.map(canonical), "label": LABEL})
ACTOR = st.fixed_dictionaries(
    {"type": st.sampled_from(["user", "api_key", "staff", "system"]), "id": NAME.map(canonical), "label": LABEL}
)
TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda moment: moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
)
CONTEXT = st.fixed_dictionaries(
    {
        "ip": st.ip_addresses().map(str).map(canonical_address),
        "user_agent": TEXT.filter(bool),
        "request_id": TEXT.filter(bool).map(lambda text: text[:255]),
        "source": st.just("api"),
    }
)
EVENTS = st.fixed_dictionaries(
    {
        "action": NAME,
        "operation": st.sampled_from(["create", "read", "update", "delete", "other"]),
        "outcome": st.sampled_from(["success", "failure", "denied", "unknown"]),
        "actor": ACTOR,
        "impersonator": st.none() | ACTOR,
        "resource": PARTY,
        "targets": st.lists(PARTY, max_size=2),
        "changes": st.none() | st.dictionaries(TEXT, JSON, max_size=4),
        "description": TEXT,
        "occurred_at": st.none() | TIMES,
        "context": CONTEXT,
        "metadata": st.dictionaries(TEXT, JSON, max_size=4),
        "version": st.integers(1, 2**15 - 1),
    }
)


def one_by_one(api: Api, events: list[Any], text: Callable[[Any], bytes]) -> list[str]:
    return [answered(api.post(LOGS, text(event)))["id"] for event in events]


def in_a_batch(api: Api, events: list[Any], text: Callable[[Any], bytes]) -> list[str]:
    return [one["id"] for one in answered(api.post(LOGS, text({"events": events})))["results"]]


def in_a_stream(api: Api, events: list[Any], text: Callable[[Any], bytes]) -> list[str]:
    """Send them with keys, which a batch then tells the ids of."""
    run = hashlib.sha256(text(events)).hexdigest()
    keyed = [{**event, "idempotency_key": f"{run}{number}"} for number, event in enumerate(events)]
    body = b"\n".join(map(text, keyed))
    answered(api.client.post(LOGS, body, content_type="application/x-ndjson", headers=api.headers))
    found = answered(api.post(LOGS, text({"events": keyed})))["results"]
    assert {one["status"] for one in found} == {"duplicate"}
    return [one["id"] for one in found]


def answered(answer: Any) -> Any:
    assert answer.status_code in {200, 201}, answer.content[:500]
    return answer.json()


def read(api: Api, entry_id: str) -> Any:
    """Return of an entry what an event says."""
    entry = answered(api.get(f"{LOGS}/{entry_id}"))
    said = {name: value for name, value in entry.items() if name in {*EVENT, "context"}}
    return {**said, "context": {name: value for name, value in said["context"].items() if name != "transaction_id"}}


EVENT = ("action", "operation", "outcome", "actor", "impersonator", "resource", "targets", "changes", "description",
         "occurred_at", "metadata", "version")  # fmt: skip
SPELLINGS: list[Callable[[Any], bytes]] = [
    lambda value: json.dumps(value).encode(),
    lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode(),
]


@pytest.mark.parametrize("write", [one_by_one, in_a_batch, in_a_stream])
def test_what_is_read_back_is_what_was_sent(world: World, write: Callable[..., list[str]]) -> None:
    writer, reader = world.api(key="acme.write"), world.api(key="acme.read")

    @given(st.lists(EVENTS, min_size=1, max_size=6), st.sampled_from(SPELLINGS))
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    def hold(events: list[Any], text: Callable[[Any], bytes]) -> None:
        ids = write(writer, events, text)
        assert [leaf(read(reader, one)) for one in ids] == [leaf(event) for event in events]

    hold()


def test_a_leaf_that_differs_is_seen() -> None:
    """The control: the smallest change of a value is another leaf."""
    pairs = [
        (0.1, 0.10000000000000002),
        ("e\u0301", "\u00e9"),
        ([1, 2], [2, 1]),
        (None, ""),
        ("1", 1),
        (True, 1),
        ({}, []),
    ]
    assert not [pair for pair in pairs if leaf(pair[0]) == leaf(pair[1])]


@given(JSON)
@example({"a": [5e-324, -0.0, 2**53]})
def test_a_canonical_form_says_the_same_again(value: Any) -> None:
    assert leaf(json.loads(canonical_json(value))) == leaf(value)
