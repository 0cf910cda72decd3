"""The only writer of trails. An entry is written in the open scope's transaction, or that fails with it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db import connections

from audit.changes import Unstorable, normalise, split, text
from audit.entry import LogEntry, moment_of, uuid_text
from audit.events import MAX_ENTRY_BYTES, MAX_ID, Event, Operation, Outcome, Party, RequestContext, operation_of
from audit.rows import JSON_COLUMNS, Made, Row, check, insert, insert_many
from audit.signals import audit_logged
from tenants.context import ANONYMOUS, Actor, Scope, current_scope
from tenants.errors import BadInput

Entry = TypeVar("Entry", bound=LogEntry)

_SALT_BYTES = 16
# Of an event with as many bytes as JSON, no entry is too large, whatever the scope and the columns add to it.
_SMALL = MAX_ENTRY_BYTES // 16
# The columns of plain text, and where an event says them.
_TEXTS = {
    "action": "/action",
    "actor_type": "/actor/type",
    "actor_key": "/actor/id",
    "actor_label": "/actor/label",
    "impersonator_type": "/impersonator/type",
    "impersonator_id": "/impersonator/id",
    "impersonator_label": "/impersonator/label",
    "resource_type": "/resource/type",
    "resource_key": "/resource/id",
    "resource_label": "/resource/label",
    "description": "/description",
    "request_id": "/context/request_id",
    "user_agent": "/context/user_agent",
}


def append(
    model: type[Entry], events: Sequence[Event], *, tenant_id: UUID | None = None, user_id: UUID | None = None
) -> list[Entry]:
    """Write events as entries of `model`'s trail, in order, in one statement; return them.

    An event without an actor is the scope's actor's; `user_id` points to the person where events name him
    themselves. `tenant_id` is the tenant that an entry of the platform log is about. Sends `audit_logged` for each,
    and lets out what a receiver raises.
    Raises NoScope, BadInput (a value that cannot be stored), TooLarge (an entry over 64 KiB).
    """
    if not events:
        return []
    rows = _rows(events, tenant_id, user_id, parsed=False)
    with connections[current_scope().alias].cursor() as cursor:
        made = insert(cursor, model, rows, named=user_id is not None)
    entries = [_entry(model, row, one) for row, one in zip(rows, made, strict=True)]
    _tell(model, entries)
    return entries


def append_many(model: type[Entry], events: Sequence[Event], *, parsed: bool = False) -> list[UUID]:
    """Do what `append` does for events of which only the ids are wanted; return those, in order.

    `parsed`: all they say was parsed from JSON by `audit.api.parsers`, which has looked at each value, so it is not
    looked at again. Objects are made only where somebody listens to `audit_logged`.
    """
    if audit_logged.receivers:
        return [entry.id for entry in append(model, events)]
    if not events:
        return []
    rows = _rows(events, None, None, parsed=parsed)
    with connections[current_scope().alias].cursor() as cursor:
        return insert_many(cursor, model, rows)


def check_size(event: Event, pointer: str) -> None:
    """See that the entry of an event that came as JSON is not too large with all that the open scope adds to it.

    Writing it would refuse all that is written with it. `pointer` is its place in what was sent. Raises TooLarge.
    """
    if event.length is None or event.length > _SMALL:
        check(_columns(current_scope(), event, None, b""), pointer)


def _rows(events: Sequence[Event], tenant_id: UUID | None, user_id: UUID | None, *, parsed: bool) -> list[Row]:
    scope = current_scope()
    # All salts of a statement in one system call, which takes longer than the rest of a row.
    random = secrets.token_bytes(_SALT_BYTES * len(events))
    salts = [random[start : start + _SALT_BYTES] for start in range(0, len(random), _SALT_BYTES)]
    rows = [_row(scope, event, user_id, number, salts[number], parsed=parsed) for number, event in enumerate(events)]
    if tenant_id is not None:
        rows = [{**row, "tenant_id": tenant_id} for row in rows]
    return rows


def _tell(model: type[LogEntry], entries: Sequence[LogEntry]) -> None:
    if audit_logged.receivers:
        for entry in entries:
            audit_logged.send(model, entry=entry)


def log_action(
    model: type[Entry],
    user: Any,
    action: str,
    resource_type: str,
    resource_id: str,
    changes: dict[str, Any] | None = None,
    *,
    resource_label: str = "",
    operation: str | None = None,
    outcome: str = Outcome.SUCCESS,
    targets: Iterable[Party] = (),
    description: str = "",
    occurred_at: Any = None,
    metadata: dict[str, Any] | None = None,
    personal: Iterable[str] = (),
    tenant_id: UUID | None = None,
) -> Entry:
    """Write one entry of `model`'s trail and return it. `user` None means the scope's actor."""
    event = Event(
        action=action,
        resource=Party(resource_type, resource_id, resource_label),
        actor=_party_of(user),
        operation=Operation(operation) if operation else None,
        outcome=Outcome(outcome),
        targets=tuple(targets),
        changes=changes,
        description=description,
        occurred_at=occurred_at,
        metadata=metadata or {},
        personal=frozenset(personal),
    )
    # The platform within a tenant sees none of its people, and staff are none of them.
    named = event.actor and event.actor.type != ANONYMOUS.type and not current_scope().entered
    pointer = user.pk if named else None
    return append(model, [event], tenant_id=tenant_id, user_id=pointer)[0]


def _party_of(user: Any) -> Party | None:
    """Return a person as an actor. A person acts as staff in a platform's scope, as a user in a tenant's."""
    if user is None:
        return None
    if isinstance(user, AnonymousUser):
        return Party(ANONYMOUS.type, ANONYMOUS.id)
    return Party("staff" if current_scope().tenant is None else "user", str(user.pk), user.email)


def _row(scope: Scope, event: Event, user_id: UUID | None, number: int, salt: bytes, *, parsed: bool) -> Row:
    """Return the columns of an event, in the order of the INSERT; checked (unless `parsed`), not yet encoded."""
    try:
        row = _columns(scope, event, user_id, salt)
        if not parsed:
            _check(row)
    except Unstorable as error:
        raise BadInput(
            f"The event cannot be stored: {error.reason}.",
            errors=[{"pointer": f"/events/{number}{error.pointer}", "code": "unstorable", "detail": error.reason}],
        ) from error
    return row


def _check(row: Row) -> None:
    """Normalise the JSON of a row, and see that its texts can be kept. Raises Unstorable."""
    for name in JSON_COLUMNS:
        if row[name] is not None:
            row[name] = normalise(row[name], f"/{name}")
    for name, place in _TEXTS.items():
        if row[name]:
            text(row[name], place)


def _columns(scope: Scope, event: Event, user_id: UUID | None, salt: bytes) -> Row:
    actor, person = _actor(scope, event, user_id)
    context = _context(scope, event)
    kept, personal = split(event.changes, event.personal) if event.changes else (event.changes, {})
    by = event.impersonator or actor.impersonator
    return {
        "version": event.version or 1,
        "user_id": person,
        **_identity("actor", actor.id),
        **_identity("resource", event.resource.id),
        "occurred_at": event.occurred_at,
        "actor_type": actor.type,
        "impersonator_type": by.type if by else None,
        "impersonator_id": by.id if by else None,
        "action": event.action,
        "operation": event.operation or operation_of(event.action),
        "outcome": event.outcome,
        "source": context.source,
        "request_id": context.request_id,
        "resource_type": event.resource.type,
        "targets": [{"type": it.type, "id": it.id, "label": it.label} for it in event.targets] or None,
        "changes": kept,
        "description": event.description or None,
        "metadata": event.metadata or None,
        "salt": salt,
        "actor_label": actor.label or None,
        "impersonator_label": (by.label if by else None) or None,
        "resource_label": event.resource.label or None,
        "ip": context.ip,
        "personal": personal or None,
        # The dictionary of agents is part of the trail, which the platform within a tenant may not look into.
        "user_agent": None if scope.entered else context.user_agent,
    }


def _identity(name: str, value: str) -> dict[str, Any]:
    """Return the two columns of an id: a UUID is kept in 16 bytes, any other text as text."""
    if len(value) > MAX_ID:
        raise Unstorable(f"/{name}/id", f"longer than {MAX_ID} characters")
    uuid = uuid_text(value)
    return {f"{name}_uuid": uuid, f"{name}_key": None if uuid else value}


def _actor(scope: Scope, event: Event, user_id: UUID | None) -> tuple[Actor, UUID | None]:
    """Return who acted, and the pointer to the person if he belongs to this side of the walls."""
    if event.actor is None:
        return scope.actor, scope.pointer
    return Actor(event.actor.type, event.actor.id, event.actor.label), user_id


def _context(scope: Scope, event: Event) -> RequestContext:
    """Return where the event came from. The caller's own address is not that of an actor he reports about."""
    said, origin = event.context, scope.origin
    own = event.actor is None or event.actor.id == scope.actor.id
    return RequestContext(
        ip=said.ip or (origin.ip if own else None),
        user_agent=said.user_agent or (origin.user_agent if own else None),
        request_id=said.request_id or origin.request_id,
        source=said.source or origin.source,  # type: ignore[arg-type]
    )


def _entry(model: type[Entry], row: Row, made: Made) -> Entry:
    values = {
        **row,
        **made._asdict(),
        "captured": False,
        "created_at": moment_of(made.id),
        "actor_id": row["actor_uuid"] or row["actor_key"],
        "resource_id": row["resource_uuid"] or row["resource_key"],
    }
    fields, agent = _fields(model)
    entry = model.from_db(current_scope().alias, fields, [values.get(field) for field in fields])
    if made.agent_id is not None:
        # Whoever shows the entry would ask the database for what was just told to it.
        known = agent.related_model.from_db(
            current_scope().alias, ["id", "user_agent"], [made.agent_id, row["user_agent"]]
        )
        agent.set_cached_value(entry, known)
    return entry


@cache
def _fields(model: type[LogEntry]) -> tuple[list[str], Any]:
    """Return the names of a trail's columns, and the field of its user agents."""
    meta: Any = model._meta  # noqa: SLF001
    return [field.attname for field in meta.concrete_fields], meta.get_field("agent")
