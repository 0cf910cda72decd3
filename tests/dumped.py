"""Lines that three Django packages really wrote, read as an import reads them, and the oracle for such lines."""

from __future__ import annotations

import json
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leaves import missing

from audit.importers import read_events
from audit.importers.naming import Names, read_names
from audit.importers.reader import BadLine, Joined, Mapped
from audit.importers.times import rendered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from audit.events import Event
    from audit.importers.reader import Found

PEERS = Path(__file__).parent / "audit" / "importers" / "peers"
NAMES = read_names((PEERS / "models.json").read_bytes())
DUMPED = {"django-auditlog": "auditlog", "simple-history": "simple_history", "pghistory": "pghistory"}


def dumped_lines(name: str) -> list[dict[str, Any]]:
    """Return the lines of a file in `peers`."""
    with (PEERS / f"{name}.jsonl").open(encoding="utf-8", newline="\n") as lines:
        return [json.loads(line) for line in lines]


def found_in(vendor: str, lines: Iterable[dict[str, Any]], names: Names | None = None) -> list[Found]:
    """Return what becomes of lines."""
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    return list(read_events(vendor, BytesIO(data), NAMES if names is None else names))


def events_in(vendor: str, lines: Iterable[dict[str, Any]], names: Names | None = None) -> list[Event]:
    """Return the events of lines, in the order in which they are written."""
    return [found.event for found in found_in(vendor, lines, names) if isinstance(found, Mapped)]


def refused_in(vendor: str, lines: Iterable[dict[str, Any]], names: Names | None = None) -> list[tuple[int, str]]:
    """Return the numbers of the refused lines, and why."""
    found = found_in(vendor, lines, names)
    return [(bad.number, bad.reason) for bad in found if isinstance(bad, BadLine)]


def joined_in(vendor: str, lines: Iterable[dict[str, Any]]) -> list[int]:
    """Return the numbers of the lines that stand in the events of others."""
    return sorted(found.number for found in found_in(vendor, lines) if isinstance(found, Joined))


def entry_of(event: Event) -> dict[str, Any]:
    """Return an event as the API would show it, as far as the oracle looks."""
    return {**asdict(event), "occurred_at": rendered(event.occurred_at)}


def missing_dumped(line: dict[str, Any], entry: dict[str, Any], vendor: str) -> list[tuple[Any, Any]]:
    """Return the leaves of a line of a dump that its entry's JSON does not have.

    What became a change counts as being at its own path: a column of a row as the new value (in a deletion the
    old one), auditlog's pairs as both.
    """
    changes = entry["changes"] or {}
    if vendor == "django-auditlog":
        pairs = {field: _pair(change) for field, change in changes.items()}
        return missing(line, {**entry, "fields": {"changes": pairs}}, vendor)
    side = "old" if entry["action"] == "deleted" else "new"
    columns = {field: change[side] for field, change in changes.items() if side in change}
    return missing(line, {**entry, "fields": columns}, vendor)


def missing_beside(line: dict[str, Any], entry: dict[str, Any], vendor: str, key: str) -> list[tuple[Any, Any]]:
    """Return the leaves of a line beside events that an entry which refers to it does not have."""
    kept = entry["metadata"][vendor].get(key, {})
    rows = kept if isinstance(kept, list) else [kept]
    return min((missing(line, {**entry, "metadata": {"beside": row}}, "beside") for row in rows), key=len)


def _pair(change: dict[str, Any]) -> Any:
    if not set(change) <= {"old", "new"}:
        return change
    # A dictionary keyed by place: `leaves` yields the same paths for it, and none for the side that is not there.
    return {place: change[side] for place, side in enumerate(("old", "new")) if side in change}
