"""What the SDK of WorkOS sends, read as strictly as our own API reads, and what it says in the trail's words.

WorkOS has what an entry has no column for: metadata of actors and of targets, actor types of any name, a location that
is no address. They stand in the entry's metadata under `$workos`, a name that no metadata of WorkOS can have.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from audit import catalogue, wire
from audit.api.workos.errors import InvalidAuditLogEvent, ValidationFailed
from audit.events import (
    MAX_ACTION,
    MAX_ENTRY_BYTES,
    MAX_ID,
    MAX_LABEL,
    MAX_METADATA_KEYS,
    MAX_TYPE,
    ActorType,
    Event,
    Party,
    RequestContext,
    Source,
)
from audit.query import literally
from tenants.api.wire import Moment, Written, rendered
from tenants.context import TenantLike
from tenants.errors import Fault, TooLarge

BESIDE = "$workos"
_MAX_VERSION = 2**15 - 1
_MAX_LIST = 100
_MAX_VALUE = 500
_Model = TypeVar("_Model", bound=BaseModel)


Identifier = Annotated[str, Field(min_length=1, max_length=MAX_ID)]
Kind = Annotated[str, Field(min_length=1, max_length=MAX_TYPE)]
# The limits of WorkOS itself.
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
Value = Annotated[str, Field(max_length=_MAX_VALUE)] | bool | int | float
Metadata = Annotated[dict[Key, Value], Field(max_length=MAX_METADATA_KEYS)]
Names = Annotated[list[Annotated[str, Field(max_length=MAX_ID)]], Field(max_length=_MAX_LIST)]


class PartySent(Written):
    """An actor or a target."""

    id: Identifier
    type: Kind
    name: Annotated[str | None, Field(max_length=MAX_LABEL)] = None
    metadata: Metadata | None = None


class ContextSent(Written):
    """Where the action came from: `location` is an address, or any other name of a place."""

    location: Annotated[str, Field(max_length=MAX_ID)]
    user_agent: Annotated[str | None, Field(max_length=wire.MAX_USER_AGENT)] = None


class EventSent(Written):
    """An event of WorkOS."""

    action: Annotated[str, Field(min_length=1, max_length=MAX_ACTION)]
    occurred_at: Moment
    actor: PartySent
    targets: Annotated[list[PartySent], Field(max_length=wire.MAX_TARGETS + 1)]
    context: ContextSent
    metadata: Metadata | None = None
    version: Annotated[int | None, Field(ge=1, le=_MAX_VERSION)] = None


class EventBody(Written):
    """The body of POST /audit_logs/events."""

    organization_id: str
    event: EventSent


class ExportBody(Written):
    """The body of POST /audit_logs/exports. `actors` is the old name of `actor_names`, `targets` are types."""

    organization_id: str
    range_start: Moment
    range_end: Moment
    actions: Names | None = None
    actors: Names | None = None
    actor_names: Names | None = None
    actor_ids: Names | None = None
    targets: Names | None = None


def read(model: type[_Model], sent: Any) -> _Model:
    """Return what a body says. Raises ValidationFailed, which names each field."""
    try:
        return model.model_validate(sent)
    except ValidationError as error:
        raise ValidationFailed(errors=wire.faults(error)) from error


def filter_of(said: ExportBody) -> dict[str, list[str]]:
    """Return what an export's filter is as parameters of a list. Raises ValidationFailed.

    `targets` are types of resources: of what an entry is about in the first place.
    """
    if said.range_end <= said.range_start:
        raise _unfit("range_end", "invalid", "The range ends after it begins.")
    for name in ("actors", "actor_names"):
        if getattr(said, name):
            raise _unfit(name, "not_available", "Entries are found by who acted, not by a name: send `actor_ids`.")
    given = {"action": said.actions, "actor": said.actor_ids, "resource_type": said.targets}
    filters = {name: [literally(value) for value in values] for name, values in given.items() if values}
    return {**filters, "since": [rendered(said.range_start)], "until": [rendered(said.range_end)]}


def _unfit(field: str, code: str, detail: str) -> ValidationFailed:
    return ValidationFailed(errors=[{"pointer": f"/{field}", "code": code, "detail": detail}])


def event_of(said: EventSent, tenant: TenantLike) -> Event:
    """Return the event as the trail takes it, with its type's version. Raises InvalidAuditLogEvent, TooLarge."""
    _fits(said)
    event = _event(said, tenant)
    # A schema may require metadata of an actor or a target that has none: it is checked with all of them there.
    checked = catalogue.check([("", replace(event, metadata={**(said.metadata or {}), BESIDE: _parties(said)}))])[0]
    if not isinstance(checked, Event):
        raise InvalidAuditLogEvent(errors=[_within(fault) for fault in checked])
    return replace(checked, metadata=event.metadata)


def _fits(said: EventSent) -> None:
    size = len(json.dumps(said.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":")).encode())
    if size > MAX_ENTRY_BYTES:
        detail = f"The event has {size} bytes; at most {MAX_ENTRY_BYTES} are allowed."
        raise TooLarge(detail, errors=[{"pointer": "/event", "code": "too_large", "detail": detail}])


def _event(said: EventSent, tenant: TenantLike) -> Event:
    targets = [Party(it.type, it.id, it.name or "") for it in said.targets]
    resource = targets[0] if targets else Party("organization", str(tenant.id), tenant.slug)
    beside = _beside(said)
    return Event(
        action=said.action,
        resource=resource,
        targets=tuple(targets[1:]),
        actor=Party(_actor_type(said.actor.type) or ActorType.USER, said.actor.id, said.actor.name or ""),
        occurred_at=said.occurred_at,
        context=RequestContext(
            ip=wire.canonical_address(said.context.location), user_agent=said.context.user_agent, source=Source.API
        ),
        metadata={**(said.metadata or {}), **({BESIDE: beside} if beside else {})},
        version=said.version,
    )


def _beside(said: EventSent) -> dict[str, Any]:
    """Return what an entry has no column for, of all that there is."""
    actor: dict[str, Any] = {} if _actor_type(said.actor.type) else {"type": said.actor.type}
    actor |= {"metadata": said.actor.metadata} if said.actor.metadata else {}
    targets = [{"type": it.type, "id": it.id, "metadata": it.metadata} for it in said.targets if it.metadata]
    location = None if wire.canonical_address(said.context.location) else said.context.location
    found = {"actor": actor, "targets": targets, "location": location}
    return {name: value for name, value in found.items() if value}


def _parties(said: EventSent) -> dict[str, Any]:
    """Return actor and targets with their metadata, as schemas are checked by."""
    targets = [{"type": it.type, "metadata": it.metadata or {}} for it in said.targets]
    return {"actor": {"metadata": said.actor.metadata or {}}, "targets": targets}


def _actor_type(word: str) -> ActorType | None:
    return next((it for it in ActorType if it == word), None)


def _within(fault: Fault) -> Fault:
    """Return a fault with its place as the event was sent: `/actor/metadata/role`."""
    return {**fault, "pointer": fault["pointer"].replace(f"/metadata/{BESIDE}", "", 1)}
