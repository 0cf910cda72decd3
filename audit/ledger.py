"""The only writer of trails. An entry is written in the open scope's transaction, or that fails with it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from itertools import chain
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db import connections

from audit.changes import Unstorable, normalise, split, text
from audit.entry import LogEntry, as_uuid, moment_of
from audit.events import MAX_ENTRY_BYTES, MAX_ID, Event, Operation, Outcome, Party, RequestContext, operation_of
from audit.signals import audit_logged
from tenants.context import ANONYMOUS, Actor, Scope, current_scope
from tenants.errors import BadInput, TooLarge

Entry = TypeVar("Entry", bound=LogEntry)

_SALT_BYTES = 16
_JSON = ("targets", "changes", "metadata", "personal")
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
    scope = current_scope()
    rows = [_row(scope, event, user_id, f"/events/{number}") for number, event in enumerate(events)]
    if tenant_id is not None:
        rows = [{**row, "tenant_id": tenant_id} for row in rows]
    with connections[scope.alias].cursor() as cursor:
        used = tuple(name for name in rows[0] if any(row[name] is not None for row in rows))
        values = [_stored(row, used) for row in rows]
        statement = _insert(model, used, len(rows), named=user_id is not None)
        cursor.execute(statement, list(chain.from_iterable(values)))
        entries = [
            _entry(model, scope.alias, row, returned) for row, returned in zip(rows, cursor.fetchall(), strict=True)
        ]
    if audit_logged.receivers:
        for entry in entries:
            audit_logged.send(model, entry=entry)
    return entries


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


def _row(scope: Scope, event: Event, user_id: UUID | None, pointer: str) -> dict[str, Any]:
    """Return the columns of an event, in the order of the INSERT; checked, not yet encoded."""
    try:
        row = _columns(scope, event, user_id)
        for name in _JSON:
            row[name] = None if row[name] is None else normalise(row[name], f"/{name}")
        for name, place in _TEXTS.items():
            if row[name]:
                text(row[name], place)
    except Unstorable as error:
        raise BadInput(
            f"The event cannot be stored: {error.reason}.",
            errors=[{"pointer": pointer + error.pointer, "code": "unstorable", "detail": error.reason}],
        ) from error
    return row


def _columns(scope: Scope, event: Event, user_id: UUID | None) -> dict[str, Any]:
    actor, person = _actor(scope, event, user_id)
    context = _context(scope, event)
    kept, personal = split(event.changes, event.personal) if event.changes else (event.changes, {})
    by = event.impersonator or actor.impersonator
    return {
        "version": event.version,
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
        "salt": secrets.token_bytes(_SALT_BYTES),
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
    uuid = as_uuid(value)
    if uuid is None:
        return {f"{name}_uuid": None, f"{name}_key": value}
    return {f"{name}_uuid": str(uuid), f"{name}_key": None}


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


def _stored(row: dict[str, Any], used: tuple[str, ...]) -> list[Any]:
    """Return the parameters of a row, JSON encoded; refuse an entry that is too large."""
    values = [_encoded(row[name]) if name in _JSON else row[name] for name in used]
    if sum(len(value.encode()) for value in values if isinstance(value, str)) > MAX_ENTRY_BYTES:
        raise TooLarge(f"The entry is larger than {MAX_ENTRY_BYTES // 1024} KiB.")
    return values


def _encoded(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _insert(model: type[LogEntry], columns: tuple[str, ...], rows: int, *, named: bool) -> str:
    """Return the statement that writes `rows` rows; `named`: the caller names the person, not the scope."""
    into, values = _parts(model, columns, named)
    return f"INSERT INTO {into} VALUES {', '.join([values] * rows)} RETURNING id, transaction_id, agent_id, user_id"  # noqa: S608


@lru_cache(maxsize=256)
def _parts(model: type[LogEntry], columns: tuple[str, ...], named: bool) -> tuple[str, str]:
    """Return the table with its columns, and the placeholders of one row.

    The dictionary of agents turns a text into its number. A tenant points to people that it can see, its members of
    today and of old, whose pointers `people.delete_user` clears; nobody knows of pointers to others.
    """
    names = ["agent_id" if column == "user_agent" else column for column in columns]
    special = {"user_agent": f"guard.{model.agents}_id(%s)"}
    if named:
        special["user_id"] = "(SELECT id FROM shared.tenants_user WHERE id = %s)"
    marks = [special.get(column, "%s") for column in columns]
    return f"{model._meta.db_table} ({', '.join(names)})", f"({', '.join(marks)})"  # noqa: SLF001


def _entry(model: type[Entry], alias: str, row: dict[str, Any], returned: tuple[Any, ...]) -> Entry:
    entry_id, transaction_id, agent_id, user_id = returned
    values = {
        **row,
        "captured": False,
        "id": entry_id,
        "created_at": moment_of(entry_id),
        "transaction_id": transaction_id,
        "agent_id": agent_id,
        "user_id": user_id,
        "actor_id": row["actor_uuid"] or row["actor_key"],
        "resource_id": row["resource_uuid"] or row["resource_key"],
    }
    fields = _fields(model)
    return model.from_db(alias, fields, [values.get(field) for field in fields])


@cache
def _fields(model: type[LogEntry]) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]  # noqa: SLF001
