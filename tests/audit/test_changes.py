"""What is normalised reads back as it was sent; what cannot be kept is refused with its place."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.changes import MAX_SAFE_INTEGER, Unstorable, diff, normalise, split
from audit.events import MAX_DEPTH

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
LEAVES = (
    st.none()
    | st.booleans()
    | TEXT
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))


class Colour(Enum):
    RED = "red"


@given(VALUES)
@settings(max_examples=150, deadline=None)
def test_a_normalised_value_reads_back_from_jsonb_as_it_was_written(
    superuser: psycopg.Connection[Any], value: Any
) -> None:
    normal = normalise(value)
    row = superuser.execute("SELECT %s::jsonb::text", [json.dumps(normal)]).fetchone()
    assert row is not None
    assert json.loads(row[0]) == normal


@given(VALUES)
def test_normalising_twice_changes_nothing(value: Any) -> None:
    assert normalise(normalise(value)) == normalise(value)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (MAX_SAFE_INTEGER, MAX_SAFE_INTEGER),
        (MAX_SAFE_INTEGER + 1, str(MAX_SAFE_INTEGER + 1)),
        (-(2**80), str(-(2**80))),
        (Decimal("1.10"), "1.10"),
        (1e300, "1e+300"),
        (0.1, 0.1),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        (timedelta(seconds=90), "0:01:30"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        ((1, 2), [1, 2]),
        ({1: "x"}, {"1": "x"}),
        (True, True),
    ],
)
def test_what_json_would_alter_is_kept_as_text(value: Any, kept: Any) -> None:
    assert normalise(value) == kept
    assert type(normalise(value)) is type(kept)


@pytest.mark.parametrize(
    ("value", "pointer", "reason"),
    [
        ({"a": [1, float("nan")]}, "/a/1", "no JSON number"),
        ({"a": float("inf")}, "/a", "no JSON number"),
        ({"a": Decimal("NaN")}, "/a", "no JSON number"),
        ({"a": "x\x00y"}, "/a", "U\\+0000"),
        ({"b\x00": 1}, "/b", "U\\+0000"),
        (["\ud800"], "/0", "surrogate"),
        ({"a": object()}, "/a", "a object is no JSON value"),
        ({"a": b"bytes"}, "/a", "a bytes is no JSON value"),
    ],
)
def test_it_refuses_what_cannot_be_kept_and_says_where(value: Any, pointer: str, reason: str) -> None:
    with pytest.raises(Unstorable, match=reason) as refused:
        normalise(value)
    assert refused.value.pointer.startswith(pointer)


def test_it_refuses_what_is_nested_too_deep() -> None:
    value: Any = "leaf"
    for _ in range(MAX_DEPTH):
        value = [value]
    assert normalise(value) == value
    with pytest.raises(Unstorable, match="deeper"):
        normalise([value])


def test_a_diff_names_the_fields_that_differ_and_no_others() -> None:
    before, after = {"plan": "free", "seats": 5, "old": 1}, {"plan": "premium", "seats": 5, "new": 2}
    assert diff(before, after) == {
        "plan": {"old": "free", "new": "premium"},
        "old": {"old": 1, "new": None},
        "new": {"old": None, "new": 2},
    }
    assert diff(before, before) == {}


def test_personal_fields_are_split_off() -> None:
    changes = {"email": {"old": "a", "new": "b"}, "plan": {"old": 1, "new": 2}}
    kept, personal = split(changes, {"email", "phone"})
    assert (kept, personal) == ({"plan": changes["plan"]}, {"email": changes["email"]})
