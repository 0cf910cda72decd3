"""The oracle of "nothing is lost": it knows the entry and the line, and nothing of how one became the other."""

from __future__ import annotations

import json
from collections import Counter
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
    """Return the leaves of a line that an entry's JSON, as the API shows it, does not have.

    Each text of the entry accounts for one leaf: for that of its own path if there is one, else for any.
    """
    kept = _spelled(entry["metadata"].get(vendor, {})) | _spelled({"metadata": entry["metadata"]})
    own = {name: value for name, value in entry.items() if name not in {"metadata", "personal"}}
    at_path = _spelled(own)
    texts = Counter(value for _, value in leaves(own) if isinstance(value, str))
    elsewhere = []
    for path, value in leaves(line):
        if (path, _scalar(value)) in kept:
            continue
        if (path, _scalar(value)) not in at_path:
            elsewhere.append((path, value))
        elif isinstance(value, str):
            texts[value] -= 1
    lost = []
    for path, value in elsewhere:
        if isinstance(value, str) and texts[value] > 0:
            texts[value] -= 1
        else:
            lost.append((path, value))
    return lost


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
