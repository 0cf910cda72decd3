"""django-simple-history: rows of history models (`dumpdata shop.HistoricalOrder ...`).

A row is the whole object as it was then, so a change is the difference to the object's row before it in the file.
What did not change stays in the metadata: together they are the row. `history_user` is who acted; without one it
is an anonymous `unknown`. Rows of many-to-many fields (`dumpdata shop.HistoricalOrder_tags`) belong to a row of
their object: they stand in its metadata as they are, and as a list of keys in its changes.

The key of an object is its `id`, unless the project tells another name of it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from audit.events import MAX_ENTRY_BYTES, ActorType, Event, Operation, RequestContext, Source
from audit.importers.dumps import (
    CREATED,
    DELETED,
    UPDATED,
    Beside,
    Dated,
    Dump,
    Row,
    Told,
    dated,
    fitting,
    is_same,
    key_of,
    named,
    person,
    resource,
    row_changes,
)
from audit.importers.leaves import NOBODY, Reading, Unmappable, storable
from audit.importers.naming import model_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from audit.importers.naming import Model, Names

_KINDS = {"+": CREATED, "~": UPDATED, "-": DELETED}
_OPERATIONS = {CREATED: Operation.CREATE, UPDATED: Operation.UPDATE, DELETED: Operation.DELETE}
_OWN = {
    "history_date",
    "history_type",
    "history_change_reason",
    "history_user",
    "history_user_id",
    "history_relation",
}


def place(row: Row, names: Names) -> Dated | Beside:
    """Return where a row stands; raises Unmappable for a row of another table, or of an unknown object."""
    if "history_type" not in row.fields:
        history = key_of(row.fields.get("history"))
        if history is None:
            raise Unmappable("no `fields.history_type`: not a row of django-simple-history")
        return Beside(history, row.model)
    key = _model(row, names).key
    if key not in row.fields:
        raise Unmappable(
            f"no `fields.{key}`: let the project tell the key of `{named(row.model)}` (--models, see docs/moving-in.md)"
        )
    return dated(row, "history_date", _kind(row), row.fields[key], row.pk)


def event(told: Told, names: Names) -> Event:
    """Return the event of a row."""
    rows = {"m2m": [row.line for row in told.beside]} if told.beside else {}
    reading = Reading({**told.row.line, **rows})
    kind, model = _kind(told.row), _model(told.row, names)
    user = person(reading, "fields", "history_user") or reading.leaf("fields", "history_user_id")
    made = Event(
        action=kind,
        operation=_OPERATIONS[kind],
        actor=NOBODY if user is None else reading.party(ActorType.USER, user),
        resource=resource(model, told.row.fields[model.key]),
        changes={**_changes(reading, told, kind), **_relations(told, kind, model)} or None,
        description=reading.put(reading.leaf("fields", "history_change_reason"), MAX_ENTRY_BYTES),
        occurred_at=reading.time(("fields", "history_date")),
        context=RequestContext(source=Source.IMPORT),
    )
    return fitting(made, {"simple-history": reading.rest()})


def _model(row: Row, names: Names) -> Model:
    app, _, name = row.model.rpartition(".")
    return model_of(names, row.model, f"{app}.{name.removeprefix('historical') or name}")


def _kind(row: Row) -> str:
    kind = _KINDS.get(str(row.fields["history_type"]))
    if kind is None:
        raise Unmappable(f"`fields.history_type` is {named(str(row.fields['history_type']))}, none of +, ~ and -")
    return kind


def _changes(reading: Reading, told: Told, kind: str) -> dict[str, dict[str, Any]]:
    fields = [field for field in told.row.fields if field not in _OWN]
    return row_changes(reading, kind, fields, _state(told))


def _state(told: Told) -> dict[str, Any] | None:
    """Return the columns of the object before, or None when it was not there."""
    if told.before is None or _kind(told.before) == DELETED:
        return None
    state: dict[str, Any] = storable(told.before.fields)
    return state


def _relations(told: Told, kind: str, model: Model) -> dict[str, dict[str, Any]]:
    """Return the changes of those many-to-many fields whose rows are in the file."""
    changes: dict[str, dict[str, Any]] = {}
    for owner in told.owners:
        new = _related(told.beside, owner, model)
        old = None if _state(told) is None or kind == CREATED else _related(told.beside_before, owner, model)
        if kind == DELETED:
            sides = {"old": new} if new else {}
        elif old is None:
            sides = {"new": new} if new else {}
        else:
            sides = {} if is_same(old, new) else {"old": old, "new": new}
        changes |= {owner.removeprefix(f"{told.row.model}_"): sides} if sides else {}
    return changes


def _related(rows: Sequence[Row], owner: str, model: Model) -> list[Any]:
    """Return the keys of the other side, in an order of their own; whole rows when there is more to them."""
    this = {"id", "history", model.label.rpartition(".")[2].lower()}
    found = [{key: value for key, value in row.fields.items() if key not in this} for row in rows if row.model == owner]
    return sorted((next(iter(one.values())) if len(one) == 1 else one for one in found), key=json.dumps)


DUMP = Dump(place, event, "it belongs to no row in this file: dump the model whose history it is part of, too")
