"""An event as it is written over HTTP: pydantic models that are strict, and what each fault is called.

The models are also what the OpenAPI document shows. `read` turns one parsed JSON value into an Event.
"""

from __future__ import annotations

import json
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_core import PydanticCustomError, to_json

from audit.events import (
    MAX_ACTION,
    MAX_ENTRY_BYTES,
    MAX_ID,
    MAX_LABEL,
    MAX_METADATA_KEYS,
    MAX_TYPE,
    ActorType,
    Event,
    Operation,
    Outcome,
    Party,
    RequestContext,
    Source,
)
from tenants.api import wire
from tenants.api.wire import Time, Written, nullable_text
from tenants.errors import Fault, TooLarge, Unprocessable

MAX_USER_AGENT = 2048
MAX_REQUEST_ID = 255
MAX_TARGETS = 100
_MAX_VERSION = 2**15 - 1
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_SERVER_FIELDS = {"id", "position", "tenant", "created_at", "transaction_id"}


def _address(value: Any) -> Any:
    if value is None:
        return value
    found = canonical_address(value) if isinstance(value, str) else None
    if found is None:
        raise PydanticCustomError("bad_address", "This must be an IPv4 or IPv6 address, without port or zone.")
    return found


@lru_cache(maxsize=4096)
def canonical_address(text: str) -> str | None:
    """Return an IPv4 or IPv6 address as it is stored, or None for what is none (or one with a zone)."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        if found.scope_id:
            return None
        if found.ipv4_mapped:  # the same host, as it is meant
            return str(found.ipv4_mapped)
        if 2**16 <= int(found) < 2**32:  # PostgreSQL says the last four bytes of these so
            return f"::{IPv4Address(int(found))}"
    return str(found)


Address = Annotated[
    str | None, BeforeValidator(_address), nullable_text(format="ip", description="An IPv4 or IPv6 address.")
]
Label = Annotated[str, Field(max_length=MAX_LABEL)]


class ActorInput(Written):
    """Who acted. Left out, it is the caller."""

    type: Annotated[ActorType, Field(strict=False)]
    id: Annotated[str, Field(min_length=1, max_length=MAX_ID)]
    label: Label = ""

    def party(self) -> Party:
        """Return it as the trail's word."""
        return Party(self.type, self.id, self.label)


class ResourceInput(Written):
    """What was acted upon, or a further target."""

    type: Annotated[str, Field(min_length=1, max_length=MAX_TYPE)]
    id: Annotated[str, Field(max_length=MAX_ID)] = ""
    label: Label = ""

    def party(self) -> Party:
        """Return it as the trail's word."""
        return Party(self.type, self.id, self.label)


class ContextInput(Written):
    """Where the action came from. Left out, it is the caller's own where he is the actor."""

    ip: Address = None
    user_agent: Annotated[str | None, Field(max_length=MAX_USER_AGENT)] = None
    request_id: Annotated[str | None, Field(max_length=MAX_REQUEST_ID)] = None
    source: Literal["api"] = "api"


class EventInput(Written):
    """One event, as it is written."""

    action: Annotated[str, Field(min_length=1, max_length=MAX_ACTION, description="A verb or a dotted name.")]
    resource: ResourceInput
    actor: ActorInput | None = None
    impersonator: ActorInput | None = None
    operation: Annotated[Operation | None, Field(strict=False, description="Left out: derived from the action.")] = None
    outcome: Annotated[Outcome, Field(strict=False)] = Outcome.SUCCESS
    targets: Annotated[list[ResourceInput], Field(max_length=MAX_TARGETS)] = []
    changes: dict[str, Any] | None = None
    description: str = ""
    occurred_at: Time = None
    context: ContextInput = ContextInput()
    metadata: Annotated[dict[str, Any], Field(max_length=MAX_METADATA_KEYS)] = {}
    version: Annotated[
        int | None, Field(ge=1, le=_MAX_VERSION, description="Of the type's schema. Left out: the current one, or 1.")
    ] = None
    idempotency_key: Annotated[
        str | None, Field(min_length=1, max_length=MAX_ID, description="Within 24 hours, one entry for one key.")
    ] = None

    def event(self, length: int) -> Event:
        """Return it as the trail's event; it had `length` bytes as JSON."""
        context = self.context
        return Event(
            action=self.action,
            resource=self.resource.party(),
            actor=self.actor.party() if self.actor else None,
            impersonator=self.impersonator.party() if self.impersonator else None,
            operation=self.operation,
            outcome=self.outcome,
            targets=tuple(target.party() for target in self.targets),
            changes=self.changes,
            description=self.description,
            occurred_at=self.occurred_at,
            context=RequestContext(
                ip=context.ip, user_agent=context.user_agent, request_id=context.request_id, source=Source.API
            ),
            metadata=self.metadata,
            version=self.version,
            length=length,
        )


def read(value: Any, pointer: str = "") -> tuple[Event, str | None]:
    """Return the event that a parsed JSON value says, and its idempotency key.

    `pointer` is where the value stands in the body. Raises Unprocessable (all its faults named), TooLarge.
    """
    size = len(to_json(value))
    # It writes small decimals longer than others do: what counts is what was sent.
    if size > MAX_ENTRY_BYTES and (size := len(_compact(value).encode(errors="replace"))) > MAX_ENTRY_BYTES:
        detail = f"The event has {size} bytes; at most {MAX_ENTRY_BYTES} are allowed."
        raise TooLarge(detail, errors=[{"pointer": pointer, "code": "too_large", "detail": detail}])
    try:
        said = EventInput.model_validate(value)
    except ValidationError as error:
        raise Unprocessable("The event breaks a rule.", errors=faults(error, pointer)) from error
    return said.event(size), said.idempotency_key


def faults(error: ValidationError, pointer: str = "") -> list[Fault]:
    """Return what a model refused of an event, each fault with its place under `pointer`."""
    return wire.faults(error, pointer, _SERVER_FIELDS)
