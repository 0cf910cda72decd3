"""The oracle of "nothing is lost": it knows the entry and the line, and nothing of how one became the other."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from audit.events import Event

CORPUS = Path(__file__).resolve().parents[1] / ".." / "shared" / "corpus"
_EXACT = 2**53


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield the path and the value of each scalar, and of each empty object or array."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list | tuple) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def lost(line: dict[str, Any], event: Event, vendor: str) -> list[tuple[tuple[str | int, ...], Any]]:
    """Return the leaves of a line that its event does not have: at their own path, or as the text of a field."""
    entry = asdict(event)
    if isinstance(entry["occurred_at"], datetime):
        entry["occurred_at"] = entry["occurred_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return missing(line, entry, vendor)


def missing(line: dict[str, Any], entry: dict[str, Any], vendor: str) -> list[tuple[tuple[str | int, ...], Any]]:
    """Return the leaves of a line that an entry's JSON, as the API shows it, does not have."""
    at_path = {
        *_spelled({**entry, "personal": None}),
        *_spelled(entry["metadata"].get(vendor, {})),
    }
    texts = {value for _, value in leaves({**entry, "metadata": None, "personal": None}) if isinstance(value, str)}
    return [
        (path, value)
        for path, value in leaves(line)
        if (path, _scalar(value)) not in at_path and not (isinstance(value, str) and value in texts)
    ]


def corpus_lines(name: str) -> list[dict[str, Any]]:
    """Return the lines of a file of the corpus; skips the test when the corpus is not there."""
    file = CORPUS / name
    if not file.exists():
        pytest.skip(f"the corpus of vendors' events is not there: {file}")
    with file.open(encoding="utf-8", newline="\n") as lines:
        return [json.loads(line) for line in lines]


def _spelled(value: Any) -> set[tuple[tuple[str | int, ...], str]]:
    return {(path, _scalar(item)) for path, item in leaves(value)}


def _scalar(value: Any) -> str:
    """Return a scalar as JSON, so that 1, 1.0, true and "1" differ; what floats would round counts as its text."""
    if value == () or (isinstance(value, list) and not value):
        return "[]"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_rounded = is_number and (abs(value) > _EXACT or str(value) == "-0.0")
    return json.dumps(json.dumps(value) if is_rounded else value)
