"""django-auditlog: entries of its log (`dumpdata contenttypes.ContentType auditlog.LogEntry`).

An entry names its model by the number of a content type, so these have to be in the file, before or after;
`--natural-foreign` writes the name itself (and people's names in place of their ids). `actor` is who acted, with
`actor_email` as the label; an actor of null is an anonymous `unknown`'s: a command, a job, a visitor, or somebody
who was deleted, and whose address may be left.

A change is `[old, new]`, as text unless the project keeps JSON; masked values come masked. Creations have the new
alone, deletions the old: what stands there for nothing (`None`, `null`, a masked `**ne`) stays in the metadata,
with a null in the place of what became a change. Changes of many-to-many fields are taken as they are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from audit.events import MAX_ID, MAX_LABEL, ActorType, Event, Operation, Party, RequestContext, Source
from audit.importers.dumps import CREATED, DELETED, UPDATED, Beside, Dated, Dump, Row, Told, dated, named, person
from audit.importers.leaves import MAX_REQUEST_ID, NOBODY, Reading, Unmappable, storable
from audit.importers.naming import model_of
from audit.importers.shape import within_limits

if TYPE_CHECKING:
    from audit.importers.naming import Names

_CONTENT_TYPE = "contenttypes.contenttype"
_ACTIONS = (
    (CREATED, Operation.CREATE),
    (UPDATED, Operation.UPDATE),
    (DELETED, Operation.DELETE),
    ("accessed", Operation.READ),
)
_NEEDED = ("content_type", "object_pk", "action", "timestamp")
_PAIR = 2


def place(row: Row, _: Names) -> Dated | Beside:
    """Return where a row stands; raises Unmappable for what is neither a log entry nor a content type."""
    if row.model == _CONTENT_TYPE:
        return Beside(row.pk)
    missing = [field for field in _NEEDED if field not in row.fields]
    if missing:
        raise Unmappable(f"no `fields.{missing[0]}`: neither an entry of django-auditlog nor a content type")
    kind, _operation = _action(row.fields["action"])
    stands = dated(row, "timestamp", kind, row.fields["object_pk"], str(row.fields["content_type"]))
    return stands._replace(object=None)  # an entry holds its own difference


def event(told: Told, names: Names) -> Event:
    """Return the event of a log entry; raises Unmappable when the file does not say what it is about."""
    beside = {"content_type": told.beside[0].line} if told.beside else {}
    reading = Reading({**told.row.line, **beside})
    kind, operation = _action(told.row.fields["action"])
    dumped = _model(told)
    known = model_of(names, dumped, dumped)
    identity, label = reading.leaf("fields", "object_pk"), reading.leaf("fields", "object_repr")
    made = Event(
        action=kind,
        operation=operation,
        actor=_actor(reading),
        resource=Party(known.type, reading.put(identity, MAX_ID), reading.put(label or identity, MAX_LABEL)),
        changes=_changes(reading, kind) or None,
        occurred_at=reading.time(("fields", "timestamp")),
        context=RequestContext(
            ip=reading.ip(("fields", "remote_addr")),
            request_id=reading.short(reading.leaf("fields", "cid"), MAX_REQUEST_ID),
            source=Source.IMPORT,
        ),
    )
    return within_limits(made, {"django-auditlog": reading.rest()})


def _action(code: Any) -> tuple[str, Operation]:
    if type(code) is not int or not 0 <= code < len(_ACTIONS):
        raise Unmappable(f"`fields.action` is {named(str(code))}, none of 0 to {len(_ACTIONS) - 1}")
    return _ACTIONS[code]


def _model(told: Told) -> str:
    """Return `app.model` of what an entry is about."""
    content_type, serialized = told.row.fields["content_type"], told.row.fields.get("serialized_data")
    if told.beside:
        named_by = told.beside[0].fields
        content_type = [named_by.get("app_label"), named_by.get("model")]
    if isinstance(content_type, list) and [type(word) for word in content_type] == [str, str]:
        return ".".join(content_type)
    if isinstance(serialized, dict) and isinstance(serialized.get("model"), str):
        return str(serialized["model"])
    raise Unmappable(
        f"the file does not say which model the content type {named(str(content_type))} is: "
        "dump `contenttypes.ContentType` with it"
    )


def _actor(reading: Reading) -> Party:
    email = reading.leaf("fields", "actor_email")
    identity = person(reading, "fields", "actor") or email
    return NOBODY if identity is None else reading.party(ActorType.USER, identity, email)


def _changes(reading: Reading, kind: str) -> dict[str, Any]:
    """Return the changes of an entry; older versions of the package wrote them as text, which stays."""
    changes = reading.value("fields", "changes")
    if isinstance(changes, dict):
        return {
            field: _change(reading, kind, field)
            for field, value in changes.items()
            if isinstance(value, dict) or _is_pair(value)
        }
    texts = (changes, reading.value("fields", "changes_text"))
    found = next(filter(None, map(_parsed, texts)), {})
    return {field: _sides(kind, *value) if _is_pair(value) else value for field, value in found.items()}


def _change(reading: Reading, kind: str, field: str) -> Any:
    path = ("fields", "changes", field)
    if isinstance(reading.value(*path), dict):
        return reading.take(*path)
    if kind == CREATED:
        return {"new": reading.take(*path, 1)}
    if kind == DELETED:
        return {"old": reading.take(*path, 0)}
    old, new = reading.take(*path)
    return {"old": old, "new": new}


def _sides(kind: str, old: Any, new: Any) -> dict[str, Any]:
    sides = {"old": old, "new": new}
    return {side: value for side, value in sides.items() if side != {CREATED: "old", DELETED: "new"}.get(kind)}


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == _PAIR


def _parsed(text: Any) -> dict[str, Any]:
    try:
        found = storable(json.loads(text)) if isinstance(text, str) else None
    except (ValueError, RecursionError):  # words for people, which stay as they are
        return {}
    return found if isinstance(found, dict) else {}


DUMP = Dump(place, event)
