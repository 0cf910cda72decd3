"""Normalise, compare and split what an event says of its resource. Pure.

What is stored must read back as it was sent: so values that JSON or jsonb would alter are turned into text
(decimals, integers beyond 2^53), and those that cannot be kept are refused (NaN, U+0000, lone surrogates).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from audit.events import MAX_DEPTH

MAX_SAFE_INTEGER = 2**53
_SURROGATE = re.compile("[\ud800-\udfff]")


class Unstorable(ValueError):
    """A value cannot be stored as it is; `pointer` says where it stands, the message why."""

    def __init__(self, pointer: str, reason: str) -> None:
        self.pointer, self.reason = pointer, reason
        super().__init__(f"{pointer or '/'}: {reason}")


def normalise(value: Any, pointer: str = "", depth: int = MAX_DEPTH) -> Any:
    """Return a value as JSON that reads back the same. Raises Unstorable."""
    kind = type(value)
    if kind is str:
        return text(value, pointer)
    if value is None or kind is bool:
        return value
    if kind is dict or isinstance(value, Mapping | list | tuple | set | frozenset):
        return _nested(value, pointer, depth)
    if isinstance(value, int | float | Decimal):
        return _number(value, pointer)
    return text(value, pointer) if isinstance(value, str) else _other(value, pointer)


def text(value: str, pointer: str = "") -> str:
    """Return a text that PostgreSQL can keep. Raises Unstorable for U+0000 and lone surrogates."""
    if "\x00" in value:
        raise Unstorable(pointer, "U+0000 cannot be stored")
    if not value.isascii() and _SURROGATE.search(value):
        raise Unstorable(pointer, "a lone surrogate cannot be stored")
    return value if type(value) is str else str(value)


def _number(value: float | Decimal, pointer: str) -> int | float | str:
    if isinstance(value, int):
        return int(value) if abs(value) <= MAX_SAFE_INTEGER else str(int(value))
    if not math.isfinite(value):
        raise Unstorable(pointer, f"{value} is no JSON number")
    if isinstance(value, Decimal) or abs(value) > MAX_SAFE_INTEGER:
        return str(value)
    return value


def _nested(value: Any, pointer: str, depth: int) -> Any:
    """Return an object or an array. A fault learns its place on the way out: on the way in that is work for nothing."""
    if depth <= 0:
        raise Unstorable(pointer, f"nested deeper than {MAX_DEPTH} levels")
    key: Any = ""
    try:
        if isinstance(value, Mapping):
            made = {}
            for key, item in value.items():
                made[text(str(key))] = normalise(item, "", depth - 1)
            return made
        array = []
        for key, item in enumerate(value):  # noqa: B007 - a fault reads it
            array.append(normalise(item, "", depth - 1))
    except Unstorable as error:
        raise Unstorable(f"{pointer}/{key}{error.pointer}", error.reason) from None
    return array


def _other(value: Any, pointer: str) -> Any:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, UUID | timedelta):
        return str(value)
    if isinstance(value, Enum):
        return normalise(value.value, pointer)
    raise Unstorable(pointer, f"a {type(value).__name__} is no JSON value")


def diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return `{field: {"old": ..., "new": ...}}` of the fields that differ."""
    fields = [*before, *(field for field in after if field not in before)]
    return {
        field: {"old": before.get(field), "new": after.get(field)}
        for field in fields
        if before.get(field) != after.get(field)
    }


def split(changes: dict[str, Any], personal: Iterable[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the changes that stay for ever and those that may be erased."""
    names = set(personal)
    kept = {field: change for field, change in changes.items() if field not in names}
    return kept, {field: change for field, change in changes.items() if field in names}
