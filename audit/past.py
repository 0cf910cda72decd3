"""A row as it was at any time, put together from the entries that were captured of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from audit.entry import EntryQuerySet, id_of
from audit.events import Operation
from audit.models import AuditLog


def state_of(
    resource_type: str, resource_id: Any, *, at: datetime | None = None, entries: EntryQuerySet | None = None
) -> dict[str, Any] | None:
    """Return the captured fields of a row at a time (aware; None: now), as entries tell them; None: there was none.

    `entries` are those of a trail, the open tenant's unless they are given. Of a row that is older than its capture
    those fields are known that were changed since. A value that was masked, or too large to be kept, is what the
    entries say in its place. Many-to-many links are entries of their own, and no fields of the row.
    """
    trail = AuditLog.objects.all() if entries is None else entries
    history = trail.of_resource(resource_type, id_of(resource_id)).filter(captured=True).order_by("id")
    rows = [entry for entry in history if not _is_link(entry)]
    past = [entry for entry in rows if at is None or entry.created_at <= at]
    return _known(past, rows[len(past) :])


def _known(past: Sequence[Any], future: Sequence[Any]) -> dict[str, Any] | None:
    if past and past[-1].operation == Operation.DELETE:
        return None
    if not past and (not future or future[0].operation == Operation.CREATE):
        return None
    known: dict[str, Any] = {}
    for entry in past:
        begun = entry.operation == Operation.CREATE
        known = {**({} if begun else known), **_side(entry, "new")}
    # What nothing has said so far is what the next change says that it was.
    for entry in future:
        if entry.operation == Operation.CREATE:
            break
        known = {**_side(entry, "old"), **known}
    return known


def _side(entry: Any, side: str) -> dict[str, Any]:
    changes: dict[str, Any] = entry.all_changes or {}
    return {name: sides[side] for name, sides in changes.items() if side in sides}


def _is_link(entry: Any) -> bool:
    """Tell whether an entry is about a link: it names the far side, where a row names at most its own former key."""
    foreign = any(target["type"] != entry.resource_type for target in entry.targets or ())
    changes = (entry.all_changes or {}).values()
    return foreign or (entry.operation == Operation.UPDATE and any(sides.keys() != {"old", "new"} for sides in changes))
