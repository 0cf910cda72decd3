"""django-pghistory: rows of event models, and their contexts (`dumpdata shop.OrderEvent ... pghistory.Context`).

A row is the object as a trigger saw it, so a change is the difference to the object's row before it in the file.
What did not change stays in the metadata: together they are the row. The labels `insert`, `update` and `delete`
are the usual actions, any other label is an action of its own; rows of `before_...` labels are older than what
happened, and are compared with nothing.

Who acted, from where and why is the context's to say: `user` (without one it is an anonymous `unknown`), and
`ip_address`, `user_agent` and `request_id` where the project writes them. An event has its context whole in its
metadata. Contexts may stand anywhere in the file. A file without any is refused where events refer to them,
as nobody could add the actors later; where only some are gone, their events come without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from audit.events import MAX_ACTION, ActorType, Event, Operation, Party, RequestContext, Source, operation_of
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
    resource,
    row_changes,
)
from audit.importers.leaves import MAX_REQUEST_ID, MAX_USER_AGENT, NOBODY, Path, Reading, Unmappable, storable
from audit.importers.naming import model_of

if TYPE_CHECKING:
    from audit.importers.naming import Model, Names

_CONTEXT = "pghistory.context"
_KINDS = {
    "insert": CREATED,
    "after_insert": CREATED,
    "update": UPDATED,
    "after_update": UPDATED,
    "delete": DELETED,
    "before_delete": DELETED,
}
_OPERATIONS = {CREATED: Operation.CREATE, UPDATED: Operation.UPDATE, DELETED: Operation.DELETE}
_IPS = ("ip_address", "ip", "remote_addr")


def place(row: Row, names: Names) -> Dated | Beside:
    """Return where a row stands; raises Unmappable for a row of another table, or of an unknown object."""
    if row.model == _CONTEXT:
        return Beside(row.pk)
    if not isinstance(row.fields.get("pgh_label"), str) or not row.fields["pgh_label"]:
        raise Unmappable("no `fields.pgh_label`: neither an event of django-pghistory nor a context")
    context = row.fields.get("pgh_context")
    needs = context if isinstance(context, str) else ""
    stands = dated(row, "pgh_created_at", _kind(row), _identity(row, names), needs)
    return stands._replace(object=None) if _is_late(row) else stands


def event(told: Told, names: Names) -> Event:
    """Return the event of a row; raises Unmappable when the file has no contexts, but the row has."""
    context = told.row.fields.get("pgh_context")
    if isinstance(context, str) and not told.is_joined:
        raise Unmappable("its context is not in the file: dump `pghistory.Context` with it")
    reading = Reading({**told.row.line, **({"context": told.beside[0].line} if told.beside else {})})
    base: Path = ("context", "fields", "metadata") if told.beside else ("fields", "pgh_context")
    label, kind = reading.leaf("fields", "pgh_label"), _kind(told.row)
    made = Event(
        action=kind if kind != told.row.fields["pgh_label"] else reading.put(label, MAX_ACTION),
        operation=_OPERATIONS.get(kind, operation_of(kind)),
        actor=_actor(reading, base),
        resource=resource(_model(told.row, names), _identity(told.row, names)),
        changes=None if _is_late(told.row) and kind != DELETED else _changes(reading, told, kind) or None,
        occurred_at=reading.time(("fields", "pgh_created_at")),
        context=_context(reading, base),
    )
    return fitting(made, {"pghistory": reading.rest()})


def _kind(row: Row) -> str:
    label = str(row.fields["pgh_label"])
    return _KINDS.get(label, label)


def _is_late(row: Row) -> bool:
    """Tell whether a row shows the object as it was before what happened."""
    return str(row.fields["pgh_label"]).startswith("before_")


def _model(row: Row, names: Names) -> Model:
    return model_of(names, row.model, row.model.removesuffix("event"))


def _identity(row: Row, names: Names) -> Any:
    identity = row.fields.get("pgh_obj")
    return row.fields.get(_model(row, names).key) if identity is None else identity


def _actor(reading: Reading, base: Path) -> Party:
    user = reading.leaf(*base, "user")
    return NOBODY if user is None else reading.party(ActorType.USER, user)


def _context(reading: Reading, base: Path) -> RequestContext:
    return RequestContext(
        ip=reading.ip(*((*base, key) for key in _IPS)),
        user_agent=reading.short(reading.leaf(*base, "user_agent"), MAX_USER_AGENT),
        request_id=reading.short(reading.leaf(*base, "request_id"), MAX_REQUEST_ID),
        source=Source.IMPORT,
    )


def _changes(reading: Reading, told: Told, kind: str) -> dict[str, dict[str, Any]]:
    fields = [field for field in told.row.fields if not field.startswith("pgh_")]
    is_known = told.before is not None and _kind(told.before) != DELETED
    return row_changes(reading, kind, fields, storable(told.before.fields) if told.before and is_known else None)


DUMP = Dump(place, event, "no event in this file refers to it")
