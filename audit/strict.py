"""JSON as strictly as the trail needs it: whatever would be read differently from how it was sent is refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from audit.changes import MAX_SAFE_INTEGER
from audit.events import MAX_DEPTH
from tenants.api.wire import escaped
from tenants.errors import BadInput, Fault

_MAX_FAULTS = 100
# A batch's events stand two levels down; each may be as deep as a single one.
_BATCH_LEVELS = 2
_LONGEST_INTEGER = len(f"-{MAX_SAFE_INTEGER}")
_NESTED = {dict, list}
# An escape that may be U+0000 or half of a surrogate pair.
_SUSPECT = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_SURROGATE = re.compile("[\ud800-\udfff]")
# The keys down to a node, as a chain: made into a pointer only where there is a fault.
_Path = tuple[Any, ...]


class _Unreadable:
    """Stands in a parsed document for what may not stand there, until its place is known."""

    def __init__(self, code: str, detail: str) -> None:
        self.code, self.detail = code, detail


def parse(raw: bytes) -> Any:
    """Return the JSON value that bytes say.

    Raises BadInput, which names the place, for: what is no JSON, no UTF-8, duplicate keys, NaN and infinities,
    integers beyond 2^53, decimals that a float cannot hold, U+0000, lone surrogates, more than 32 levels (of an event).
    """
    reading = _Reading()
    try:
        text = raw.decode()
        document = reading.decode(text)
    except UnicodeDecodeError as error:
        raise _malformed("not_utf8", f"The body is not UTF-8: byte {error.start + 1} cannot be read.") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _malformed("not_json", f"The body is not JSON: {error.msg} at {where}.") from error
    except RecursionError as error:
        raise _malformed("too_deep", f"The body is nested deeper than {MAX_DEPTH} levels.") from error
    # To look at every text takes as long as to parse them, and only an escape can say what may not stand in one.
    if reading.suspect or _SUSPECT.search(text) or _deep(document):
        faults = [fault for fault, _ in zip(_faults(document), range(_MAX_FAULTS), strict=False)]
        if faults:
            raise BadInput(f"The body breaks a rule: {faults[0]['detail']}", errors=faults)
    return document


def _malformed(code: str, detail: str) -> BadInput:
    return BadInput(detail, errors=[{"pointer": "", "code": code, "detail": detail}])


class _Reading:
    """The reading of one document; `suspect` once something stands in it that may not."""

    def __init__(self) -> None:
        self.suspect = False
        self.decode = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_int=self._integer,
            parse_float=self._decimal,
            parse_constant=lambda text: self._bad("not_json", f"{text} is no JSON number."),
        ).decode

    def _bad(self, code: str, detail: str) -> _Unreadable:
        self.suspect = True
        return _Unreadable(code, detail)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    found[key] = self._bad("duplicate_key", "This key stands twice in one object.")
                seen.add(key)
        return found

    def _integer(self, text: str) -> Any:
        # The length first: a number of a million digits is not computed.
        if len(text) > _LONGEST_INTEGER or abs(int(text)) > MAX_SAFE_INTEGER:
            return self._bad("unsafe_number", "An integer beyond 2^53 travels as a text.")
        return int(text)

    def _decimal(self, text: str) -> Any:
        value = float(text)
        if not math.isfinite(value) or abs(value) > MAX_SAFE_INTEGER:
            return self._bad("unsafe_number", "A number beyond 2^53 travels as a text.")
        try:
            exact = Decimal(text) == Decimal(repr(value))
        except ArithmeticError:
            exact = False
        return value if exact else self._bad("unsafe_number", "A decimal that a float cannot hold travels as a text.")


def _levels(document: Any) -> int:
    return MAX_DEPTH + (_BATCH_LEVELS if isinstance(document, dict) and "events" in document else 0)


def _deep(document: Any) -> bool:
    """Tell whether a document has more levels than it may have, level by level."""
    level = [document]
    for _ in range(_levels(document)):
        inner = [node.values() if type(node) is dict else node for node in level if type(node) in _NESTED]
        level = [item for items in inner for item in items if type(item) in _NESTED]
        if not level:
            return False
    return True


def _faults(document: Any) -> Iterator[Fault]:
    """Yield what may not stand in a document, with its place. Walks with a stack of its own."""
    levels = _levels(document)
    stack: list[tuple[_Path, Any, int]] = [((), document, 1)]
    while stack:
        path, node, depth = stack.pop()
        if isinstance(node, str | _Unreadable):
            if fault := _fault(node):
                yield {"pointer": _pointer(path), **fault}
        elif isinstance(node, dict | list):
            if depth > levels:
                yield {"pointer": _pointer(path), "code": "too_deep", "detail": f"Deeper than {MAX_DEPTH} levels."}
                continue
            items = node.items() if isinstance(node, dict) else enumerate(node)
            stack += [((path, key), item, depth + 1) for key, item in reversed([*items])]
            yield from _bad_keys(path, node)


def _bad_keys(path: _Path, node: Any) -> Iterator[Fault]:
    for key in node if isinstance(node, dict) else ():
        if fault := _fault(key):
            yield {"pointer": _pointer(path), **fault, "detail": f"In a key: {fault['detail']}"}


def _pointer(path: _Path) -> str:
    parts: list[str] = []
    while path:
        path, key = path
        parts.append("/" + escaped(key))
    return "".join(reversed(parts))


def _fault(node: str | _Unreadable) -> Fault | None:
    if isinstance(node, _Unreadable):
        return {"code": node.code, "detail": node.detail}
    if "\x00" in node:
        return {"code": "unstorable", "detail": "U+0000 cannot be stored."}
    if not node.isascii() and _SURROGATE.search(node):
        return {"code": "unstorable", "detail": "A lone surrogate cannot be stored."}
    return None
