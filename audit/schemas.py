"""JSON Schemas (draft 2020-12) of the metadata of event types: which are taken, and what metadata breaks one.

A schema comes from outside and runs in the server, so what it may cost is bounded when it is put: by its size, by the
number of its subschemas with each local `$ref` written out (none may lead back to itself), by its patterns, which run
in a regex engine that never backtracks. Nothing is ever fetched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any
from urllib.parse import unquote

import jsonschema_rs
from jsonschema_rs import Draft202012Validator, RegexOptions

from tenants.api.wire import escaped
from tenants.errors import Fault

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_BYTES = 32 * 1024
MAX_SUBSCHEMAS = 500
MAX_PATTERNS = 20
_MAX_LEVELS = 64
_MAX_FAULTS = 10
_MAX_KEPT = 256
_PATTERNS = RegexOptions(size_limit=256 * 1024, dfa_size_limit=256 * 1024)
# The keywords that hold a subschema, a list of them, a mapping to them.
_ONE = (
    "not",
    "if",
    "then",
    "else",
    "items",
    "contains",
    "additionalProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
    "propertyNames",
    "contentSchema",
    "additionalItems",
)
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
# What gives a schema another name or meaning, or leads elsewhere at run time.
_REFUSED = ("$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$vocabulary")
_LOCAL = re.compile(r"#(/.*)?", re.DOTALL)
Place = tuple[str | int, ...]
# What this process has compiled, by the digest of the schema's text: the same for every tenant, and never outdated.
_kept: dict[bytes, Draft202012Validator] = {}


class BadSchema(ValueError):
    """A schema is not taken; `place` says where in it, the message why."""

    def __init__(self, place: Place, reason: str) -> None:
        self.place, self.reason = place, reason
        super().__init__(reason)


def check(schema: Any) -> None:
    """Make sure that a schema (parsed JSON) can be taken. Raises BadSchema."""
    if not isinstance(schema, dict | bool):
        raise BadSchema((), "A JSON Schema is an object, true or false.")
    if len(json.dumps(schema, ensure_ascii=False, separators=(",", ":")).encode()) > MAX_BYTES:
        raise BadSchema((), f"A schema has at most {MAX_BYTES // 1024} KiB.")
    if isinstance(schema, dict) and schema.get("$schema", DIALECT).rstrip("#") != DIALECT:
        raise BadSchema(("$schema",), f"The dialect is {DIALECT}.")
    _Walk(schema).size((), schema, ())
    _compile(schema)


class _Walk:
    """Counts the subschemas of a schema, each `$ref` written out; refuses what leads elsewhere or back."""

    def __init__(self, whole: Any) -> None:
        self.whole = whole
        self.known: dict[Place, int] = {}
        self.patterns = 0

    def size(self, place: Place, node: Any, above: tuple[Place, ...]) -> int:
        """Return how many subschemas there are from a place on. Raises BadSchema."""
        if not isinstance(node, dict):
            return 1
        if place in above:
            raise BadSchema(place, "A $ref leads back to where it stands: schemas may not be recursive.")
        if len(above) > _MAX_LEVELS:
            raise BadSchema(place, f"Subschemas are nested deeper than {_MAX_LEVELS} levels.")
        if place not in self.known:
            self._check_words(place, node)
            inner = (self.size(where, one, (*above, place)) for where, one in self._inner(place, node))
            self.known[place] = 1 + sum(inner)
        if self.known[place] > MAX_SUBSCHEMAS:
            raise BadSchema(place, f"There are more than {MAX_SUBSCHEMAS} subschemas, with each $ref written out.")
        return self.known[place]

    def _check_words(self, place: Place, node: Mapping[str, Any]) -> None:
        for word in _REFUSED:
            if word in node:
                raise BadSchema((*place, word), f"{word} is not taken: a schema stands for itself.")
        if place and "$schema" in node:
            raise BadSchema((*place, "$schema"), "$schema stands at the top alone.")
        self.patterns += ("pattern" in node) + len(_mapping(node.get("patternProperties")))
        if self.patterns > MAX_PATTERNS:
            raise BadSchema(place, f"There are more than {MAX_PATTERNS} patterns.")

    def _inner(self, place: Place, node: Mapping[str, Any]) -> Iterator[tuple[Place, Any]]:
        for word in _ONE:
            if word in node:
                yield (*place, word), node[word]
        for word in _LISTS:
            for number, one in enumerate(node.get(word) or () if isinstance(node.get(word), list) else ()):
                yield (*place, word, number), one
        for word in _MAPS:
            for name, one in _mapping(node.get(word)).items():
                yield (*place, word, name), one
        if "$ref" in node:
            yield self._target((*place, "$ref"), node["$ref"])

    def _target(self, place: Place, ref: Any) -> tuple[Place, Any]:
        if not isinstance(ref, str) or not _LOCAL.fullmatch(ref):
            raise BadSchema(place, "A $ref points into this schema, as in `#/$defs/money`; nothing else is read.")
        node, where = self.whole, list[str | int]()
        for part in unquote(ref).split("/")[1:]:
            key: str | int = part.replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and str(key).isascii() and str(key).isdecimal():
                key = int(key)
            try:
                node = node[key]
            except (LookupError, TypeError):
                raise BadSchema(place, "There is nothing in this schema where the $ref points.") from None
            where.append(key)
        return tuple(where), node


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _compile(schema: Any) -> Draft202012Validator:
    """Return a validator, which fetches nothing and asserts formats. Raises BadSchema."""
    try:
        return Draft202012Validator(
            schema, pattern_options=_PATTERNS, offline=True, validate_formats=True, mask="The value"
        )
    except jsonschema_rs.ValidationError as error:
        place = tuple(error.instance_path)
        pattern = "pattern" in place[-1:] or "patternProperties" in place[-2:-1]
        reason = "This is no pattern that is taken: look-around, back references and huge repeats are not."
        raise BadSchema(place, reason if pattern else error.message) from error


def broken(digest: bytes, load: Callable[[], str], metadata: Mapping[str, Any], pointer: str) -> list[Fault]:
    """Return what of `metadata`, which stands at `pointer` in a body, breaks a schema: each fault with its place.

    `digest` is the schema's SHA-256; its compiled form is kept by it, so `load` is called for one that is not known.
    """
    validator = _kept.get(digest)
    if validator is None:
        if len(_kept) >= _MAX_KEPT:
            _kept.clear()
        validator = _kept[digest] = _compile(json.loads(load()))
    if validator.is_valid(metadata):
        return []
    errors = islice(validator.iter_errors(metadata), _MAX_FAULTS)
    return [fault for error in errors for fault in _faults(error, pointer)][:_MAX_FAULTS]


def _faults(error: jsonschema_rs.ValidationError, pointer: str) -> list[Fault]:
    place = pointer + "".join(f"/{escaped(part)}" for part in error.instance_path)
    said = error.kind.as_dict()
    if error.kind.name == "required":
        name = escaped(said["property"])
        return [{"pointer": f"{place}/{name}", "code": "required", "detail": "The type's schema requires this field."}]
    if error.kind.name in {"additionalProperties", "unevaluatedProperties"} and "unexpected" in said:
        detail = "The type's schema has no such field."
        return [
            {"pointer": f"{place}/{escaped(name)}", "code": "unknown_field", "detail": detail}
            for name in said["unexpected"]
        ]
    return [{"pointer": place, "code": "schema", "detail": f"{error.message}.".replace("..", ".")}]
