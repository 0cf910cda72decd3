"""Lines of Django's `dumpdata --format jsonl`: rows, which of them are events, and what belongs to an event.

A package that keeps history in tables is told by two functions, `place` and `event`. `place` looks at one row and
says where it stands: an event of a certain time, or something beside events (a context, the name of a content
type). `event` gets an event's row with all that belongs to it, wherever in the file that stood. `spill` brings
them together.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from audit.events import MAX_ID, MAX_LABEL, Party
from audit.importers.leaves import Unmappable, spell
from audit.importers.shape import within_limits
from audit.importers.times import moment, rendered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from audit.events import Event
    from audit.importers.leaves import Leaf, Reading
    from audit.importers.naming import Model, Names

_KEYS = {"model", "pk", "fields"}
_MISSING = object()
CREATED, UPDATED, DELETED = "created", "updated", "deleted"
_RANKS = {CREATED: 0, DELETED: 2}
_LARGEST = 2**63


class Row(NamedTuple):
    """One dumped row: the number of its line, and the line: `{"model": ..., "pk": ..., "fields": {...}}`."""

    number: int
    line: dict[str, Any]

    @property
    def model(self) -> str:
        """The model, as dumps call it."""
        return str(self.line["model"])

    @property
    def pk(self) -> str:
        """The row's own key as text."""
        return str(self.line["pk"])

    @property
    def fields(self) -> dict[str, Any]:
        """The row's columns."""
        fields: dict[str, Any] = self.line["fields"]
        return fields


class Dated(NamedTuple):
    """Where an event stands: after what else of its object (None: it stands alone), and what it refers to."""

    object: str | None
    time: str
    rank: int
    sequence: int
    needs: str = ""


class Beside(NamedTuple):
    """Where a row stands that says something of the events that need `key`.

    With an owner (`shop.historicalorder_tags`) these are events of one model alone (`shop.historicalorder`).
    """

    key: str
    owner: str = ""


class Told(NamedTuple):
    """All that a file tells of one event: `before` is the row of the same object before it, if there is one.

    `owners` are the owners of rows beside events of this model; `is_joined` tells whether the file has any rows
    beside events.
    """

    row: Row
    beside: Sequence[Row]
    before: Row | None
    beside_before: Sequence[Row]
    owners: Sequence[str]
    is_joined: bool


class Dump(NamedTuple):
    """One package's history: its two functions, and why a row beside events that none refers to is refused.

    Without such a reason, that nothing refers to it is as it should be.
    """

    place: Callable[[Row, Names], Dated | Beside]
    event: Callable[[Told, Names], Event]
    orphaned: str = ""


def row_of(number: int, line: dict[str, Any]) -> Row:
    """Return a line as a row; raises Unmappable for what `dumpdata` does not print."""
    if set(line) != _KEYS or not isinstance(line["model"], str) or not isinstance(line["fields"], dict):
        raise Unmappable("not a line of `dumpdata --format jsonl`: an object of `model`, `pk` and `fields`")
    if key_of(line["pk"]) is None:
        raise Unmappable("`pk` is neither a number nor a text")
    return Row(number, line)


def key_of(value: Any) -> str | None:
    """Return a key as text, or None for what is no key."""
    is_key = isinstance(value, str | int) and not isinstance(value, bool) and value != ""
    return str(value) if is_key else None


def dated(row: Row, time: str, kind: str, identity: Any, needs: str = "") -> Dated:
    """Return where a row of an object's history stands.

    Rows of one time follow each other by their own keys where these count; otherwise creation comes first and
    deletion last. Raises Unmappable when the field `time` has none, or `identity` is no key of an object.
    """
    when = rendered(moment(row.fields.get(time)))
    if when is None:
        raise Unmappable(f"`fields.{time}` is no time")
    if key_of(identity) is None:
        raise Unmappable("it does not say whose row it is")
    pk = row.line["pk"]
    is_counted = isinstance(pk, int) and abs(pk) < _LARGEST
    rank, sequence = (0, pk) if is_counted else (_RANKS.get(kind, 1), 0)
    return Dated(json.dumps([row.model, key_of(identity)]), when, rank, sequence, needs)


def resource(model: Model, identity: Any) -> Party:
    """Return the object whose row it is, labelled by its key; the row has the key as a column, and keeps it."""
    key = key_of(identity) or ""
    return Party(model.type, key[:MAX_ID], key[:MAX_LABEL])


def person(reading: Reading, *path: str) -> Leaf | None:
    """Return the key of a person, also where it is a natural one, which is an array."""
    return reading.leaf(*path) or reading.leaf(*path, 0)


def row_changes(
    reading: Reading, kind: str, fields: Sequence[str], before: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """Return what a row changed: all is new in the first one, all is old in a deletion, otherwise what differs."""
    if kind == DELETED:
        return {field: {"old": reading.take("fields", field)} for field in fields}
    if kind == CREATED or before is None:
        return {field: {"new": reading.take("fields", field)} for field in fields}
    return {
        field: {**_old(before, field), "new": reading.take("fields", field)}
        for field in fields
        if not is_same(before.get(field, _MISSING), reading.value("fields", field))
    }


def fitting(event: Event, metadata: dict[str, Any]) -> Event:
    """Return the event of a row with its metadata; raises Unmappable when the row has no room in an entry.

    Old values, which other rows hold, give way to the row itself: where there is no room for both, the new ones
    stand alone.
    """
    try:
        return within_limits(event, metadata)
    except Unmappable:
        changes = {field: _newest(sides) for field, sides in (event.changes or {}).items()}
        return within_limits(replace(event, changes=changes or None), metadata)


def is_same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same JSON; 1, 1.0 and true differ."""
    return one is not _MISSING and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _newest(sides: dict[str, Any]) -> dict[str, Any]:
    return {"new": sides["new"]} if "new" in sides else sides


def _old(before: Mapping[str, Any], field: str) -> dict[str, Any]:
    return {"old": before[field]} if field in before else {}


def named(text: str) -> str:
    """Return a name out of a file for people to read."""
    return spell((text,))
