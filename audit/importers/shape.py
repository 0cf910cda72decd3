"""An event in the shape that an entry is written in, and the limits of the whole."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from audit.events import MAX_DEPTH, MAX_ENTRY_BYTES, MAX_METADATA_KEYS, Event
from audit.importers.leaves import Unmappable
from audit.importers.times import rendered

if TYPE_CHECKING:
    from audit.events import Party


def written(event: Event) -> dict[str, Any]:
    """Return an event as an entry's JSON, without what the store fills in (an actor or operation of None)."""
    whole = {
        "occurred_at": rendered(event.occurred_at),
        "action": event.action,
        "operation": event.operation,
        "outcome": event.outcome,
        "actor": _party(event.actor),
        "impersonator": _party(event.impersonator),
        "resource": _party(event.resource),
        "targets": [_party(target) for target in event.targets],
        "changes": event.changes,
        "description": event.description,
        "context": asdict(event.context),
        "metadata": event.metadata,
        "version": event.version,
    }
    return {key: value for key, value in whole.items() if value is not None or key not in {"actor", "operation"}}


def within_limits(event: Event, metadata: dict[str, Any]) -> Event:
    """Return the event with its metadata; raises Unmappable when the entry is too big, too deep or too wide."""
    whole = replace(event, metadata=metadata)
    entry = written(whole)
    size = len(json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode())
    if size > MAX_ENTRY_BYTES:
        raise Unmappable(f"the entry would have {size} bytes, more than {MAX_ENTRY_BYTES}")
    if _depth(entry) > MAX_DEPTH:
        raise Unmappable(f"the entry would be nested {_depth(entry)} levels deep, more than {MAX_DEPTH}")
    if len(metadata) > MAX_METADATA_KEYS:
        raise Unmappable(f"`metadata` has {len(metadata)} keys, more than {MAX_METADATA_KEYS}")
    return whole


def _party(party: Party | None) -> dict[str, Any] | None:
    return None if party is None else asdict(party)


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0
