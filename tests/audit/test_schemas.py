"""Schemas of metadata: which are taken, what they may cost, and where a fault is said to be."""

from __future__ import annotations

import json
import time
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import schemas
from audit.schemas import DIALECT, MAX_BYTES, MAX_PATTERNS, MAX_SUBSCHEMAS, BadSchema, broken, check

MONEY = {"$defs": {"money": {"type": "number"}}, "properties": {"a": {"$ref": "#/$defs/money"}}}


def place_of(schema: Any) -> tuple[str | int, ...]:
    with pytest.raises(BadSchema) as refused:
        check(schema)
    assert refused.value.reason
    return refused.value.place


def faults(schema: Any, metadata: dict[str, Any], pointer: str = "/metadata") -> dict[str, str]:
    text = json.dumps(schema)
    found = broken(sha256(text.encode()).digest(), lambda: text, metadata, pointer)
    return {fault["pointer"]: fault["code"] for fault in found}


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        MONEY,
        {"$schema": DIALECT},
        {"properties": {"$ref": {"const": {"$ref": "http://x"}}}},
        {"enum": [{"$ref": "http://x"}], "examples": [{"$id": "x"}]},
        {"$ref": "#/$defs/a~1b%20", "$defs": {"a/b ": True}},
        {"allOf": [{"$ref": "#/allOf/1"}, {"type": "object"}]},
    ],
)
def test_a_schema_that_stands_for_itself_is_taken(schema: Any) -> None:
    check(schema)


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        (None, ()),
        ([], ()),
        ("true", ()),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, ("$schema",)),
        ({"items": {"$schema": DIALECT}}, ("items", "$schema")),
        ({"$id": "http://x/y"}, ("$id",)),
        ({"properties": {"a": {"$anchor": "x"}}}, ("properties", "a", "$anchor")),
        ({"items": {"$dynamicRef": "#x"}}, ("items", "$dynamicRef")),
        ({"$ref": "https://example.com/schema"}, ("$ref",)),
        ({"$ref": "file:///etc/passwd"}, ("$ref",)),
        ({"$ref": "other.json#/x"}, ("$ref",)),
        ({"$ref": "#name"}, ("$ref",)),
        ({"$ref": 7}, ("$ref",)),
        ({"$ref": "#/nowhere"}, ("$ref",)),
        ({"$ref": "#/allOf/7", "allOf": [True]}, ("$ref",)),
        ({"$ref": "#/allOf/²", "allOf": [True]}, ("$ref",)),
        ({"$ref": "#/type/x", "type": "object"}, ("$ref",)),
        ({"properties": {"a": {"type": 7}}}, ("properties", "a", "type")),
        ({"required": "a"}, ("required",)),
        ({"items": {"pattern": "(?<=x)y"}}, ("items", "pattern")),
        ({"items": {"pattern": r"(a)\1"}}, ("items", "pattern")),
        ({"items": {"pattern": "(a{1000}){1000}"}}, ("items", "pattern")),
        ({"patternProperties": {"(": True}}, ("patternProperties", "(")),
    ],
)
def test_a_schema_that_is_none_is_refused_at_its_place(schema: Any, place: tuple[str, ...]) -> None:
    assert place_of(schema) == place


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"items": {"$ref": "#"}},
        {"$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"not": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"},
        {"$defs": {"a": {"$ref": "#/$defs/a"}}},
    ],
)
def test_a_schema_that_leads_back_to_itself_is_refused(schema: Any) -> None:
    """One of two branches at each level would take a thousand million steps over metadata 30 levels deep."""
    place_of(schema)


def test_a_schema_that_grows_as_its_references_are_followed_is_refused() -> None:
    bomb: dict[str, Any] = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]} for n in range(40)
    }
    started = time.monotonic()
    place_of({"$ref": "#/$defs/d0", "$defs": {**bomb, "d40": True}})
    assert time.monotonic() - started < 1


def test_a_long_chain_of_references_is_refused() -> None:
    chain = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(400)}
    place_of({"$ref": "#/$defs/d0", "$defs": {**chain, "d400": True}})


def test_size_subschemas_and_patterns_are_bounded() -> None:
    assert place_of({"description": "ü" * (MAX_BYTES // 2)}) == ()
    check({"prefixItems": [{}] * (MAX_SUBSCHEMAS - 1)})
    place_of({"prefixItems": [{}] * MAX_SUBSCHEMAS})
    check({"properties": {str(n): {"pattern": f"x{n}"} for n in range(MAX_PATTERNS)}})
    place_of({"properties": {str(n): {"pattern": f"x{n}"} for n in range(MAX_PATTERNS + 1)}})
    place_of({"patternProperties": {f"x{n}": {} for n in range(MAX_PATTERNS + 1)}})


def test_a_pattern_takes_time_in_proportion_to_the_text_alone() -> None:
    evil = {"properties": {"a": {"pattern": "^(a+)+$"}}}
    check(evil)
    started = time.monotonic()
    assert faults(evil, {"a": "a" * 50_000 + "!"}) == {"/metadata/a": "schema"}
    assert time.monotonic() - started < 1


def test_the_dearest_schema_and_metadata_take_a_bounded_time() -> None:
    words = [{"pattern": f"x{n}.*y|z"} for n in range(MAX_PATTERNS)] + [{"minLength": n % 3} for n in range(470)]
    dear = {"properties": {"a": {"items": {"allOf": words}}}}
    check(dear)
    started = time.monotonic()
    assert faults(dear, {"a": ["zx"] * 12_000}) == {}
    assert time.monotonic() - started < 2


def test_each_fault_has_its_place_and_shows_no_value() -> None:
    schema = {
        "properties": {"a/b": {"items": {"type": "integer"}}, "o": {"required": ["x"], "unevaluatedProperties": False}},
        "additionalProperties": False,
    }
    assert faults(schema, {"a/b": [1, "secret"], "o": {"y": 1}, "z~": 1}) == {
        "/metadata/a~1b/1": "schema",
        "/metadata/o/x": "required",
        "/metadata/o/y": "unknown_field",
        "/metadata/z~0": "unknown_field",
    }
    text = json.dumps(schema)
    details = broken(b"another", lambda: text, {"a/b": ["secret"]}, "")
    assert "secret" not in str(details)


def test_a_format_is_asserted() -> None:
    schema = {"properties": {"at": {"format": "date-time"}, "x": {"format": "nobody-knows"}}}
    check(schema)
    assert faults(schema, {"at": "yesterday", "x": "y"}) == {"/metadata/at": "schema"}
    assert faults(schema, {"at": "2026-11-22T10:00:00Z"}) == {}


def test_there_are_not_more_faults_than_anybody_reads() -> None:
    assert len(faults({"properties": {"a": {}}, "additionalProperties": False}, {str(n): n for n in range(50)})) == 10
    assert len(faults({"properties": {"a": {"items": {"type": "null"}}}}, {"a": [1] * 5000})) == 10


def test_a_schema_is_loaded_once_and_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = list[int]()
    monkeypatch.setattr(schemas, "_kept", {})
    monkeypatch.setattr(schemas, "_MAX_KEPT", 3)

    def load() -> str:
        loaded.append(1)
        return "true"

    for number in (1, 1, 2, 3, 3, 4):
        assert broken(bytes([number]), load, {}, "") == []
    assert len(loaded) == 4
    assert len(schemas._kept) == 1


WORDS = [
    "type", "properties", "items", "required", "enum", "const", "pattern", "patternProperties", "$ref", "$defs",
    "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "minimum", "maximum", "multipleOf", "minLength",
    "maxItems", "uniqueItems", "contains", "minContains", "dependentSchemas", "dependentRequired",
    "unevaluatedProperties", "unevaluatedItems", "propertyNames", "format", "contentEncoding", "prefixItems",
    "additionalProperties",
]  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.sampled_from(
        ["string", "object", "array", "", "#", "#/$defs/a", "#/properties/a", "(", "a+", "date", "base64"]
    )
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "b", "a/b"]), inner, max_size=3)
    ),
    max_leaves=20,
)


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(st.sampled_from(WORDS), JSON, max_size=5), st.dictionaries(st.sampled_from("ab"), JSON))
def test_any_json_is_taken_as_a_schema_or_refused_at_a_place_of_it(schema: Any, metadata: Any) -> None:
    try:
        check(schema)
    except BadSchema as error:
        node = schema
        for part in error.place:
            node = node[part]
        return
    text = json.dumps(schema)
    for fault in broken(sha256(text.encode()).digest(), lambda: text, metadata, "/metadata"):
        assert fault["pointer"].startswith("/metadata")
        assert fault["code"] in {"schema", "required", "unknown_field"}
        assert fault["detail"]
