"""An event as it is written over HTTP: pydantic models that are strict, and what each fault is called.

The models are also what the OpenAPI document shows. `read` turns one parsed JSON value into an Event.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

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
from audit.strict import escaped
from tenants.errors import Fault, TooLarge, Unprocessable

MAX_USER_AGENT = 2048
MAX_REQUEST_ID = 255
MAX_TARGETS = 100
_MAX_VERSION = 2**15 - 1
_MAX_UTF8 = 4  # bytes of one character
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_SERVER_FIELDS = {"id", "position", "tenant", "created_at", "transaction_id"}
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_CODES = {
    "missing": "required",
    "extra_forbidden": "unknown_field",
    "model_type": "not_an_object",
    "dict_type": "not_an_object",
    "list_type": "not_an_array",
    "string_type": "not_a_text",
    "string_too_short": "too_short",
    "string_too_long": "too_long",
    "too_long": "too_many",
    "enum": "unknown_word",
    "literal_error": "unknown_word",
}
_DETAILS = {
    "missing": "This field is required.",
    "extra_forbidden": "There is no such field.",
    "model_type": "This must be a JSON object.",
    "dict_type": "This must be a JSON object.",
    "list_type": "This must be a JSON array.",
    "string_type": "This must be a text.",
}


def moment(text: str) -> datetime:
    """Return the time that an RFC 3339 text says, in UTC; digits below the microsecond are cut. Raises ValueError."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("A time is written like 2026-11-22T10:00:00.123456Z: RFC 3339, with Z or an offset.")
    day, clock, fraction, zone = match.groups()
    try:
        said = f"{day}T{clock}.{(fraction or '').ljust(6, '0')[:6]}{'+00:00' if zone in 'Zz' else zone}"
        return datetime.fromisoformat(said).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("There is no such time.") from None


def _time(value: Any) -> Any:
    if value is None:
        return value
    try:
        return moment(value if isinstance(value, str) else "")
    except ValueError as error:
        raise PydanticCustomError("bad_time", "{reason}", {"reason": str(error)}) from error


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
    return None if isinstance(found, IPv6Address) and found.scope_id else str(found)


def _schema(**words: Any) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "string", **words}, {"type": "null"}]})


Time = Annotated[datetime | None, BeforeValidator(_time), _schema(format="date-time")]
Address = Annotated[str | None, BeforeValidator(_address), _schema(description="An IPv4 or IPv6 address.")]
Label = Annotated[str, Field(max_length=MAX_LABEL)]


class _Written(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class ActorInput(_Written):
    """Who acted. Left out, it is the caller."""

    type: Annotated[ActorType, Field(strict=False)]
    id: Annotated[str, Field(min_length=1, max_length=MAX_ID)]
    label: Label = ""

    def party(self) -> Party:
        """Return it as the trail's word."""
        return Party(self.type, self.id, self.label)


class ResourceInput(_Written):
    """What was acted upon, or a further target."""

    type: Annotated[str, Field(min_length=1, max_length=MAX_TYPE)]
    id: Annotated[str, Field(max_length=MAX_ID)] = ""
    label: Label = ""

    def party(self) -> Party:
        """Return it as the trail's word."""
        return Party(self.type, self.id, self.label)


class ContextInput(_Written):
    """Where the action came from. Left out, it is the caller's own where he is the actor."""

    ip: Address = None
    user_agent: Annotated[str | None, Field(max_length=MAX_USER_AGENT)] = None
    request_id: Annotated[str | None, Field(max_length=MAX_REQUEST_ID)] = None
    source: Literal["api"] = "api"


class EventInput(_Written):
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
    version: Annotated[int, Field(ge=1, le=_MAX_VERSION)] = 1
    idempotency_key: Annotated[
        str | None, Field(min_length=1, max_length=MAX_ID, description="Within 24 hours, one entry for one key.")
    ] = None

    def event(self) -> Event:
        """Return it as the trail's event."""
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
        )


def read(value: Any, pointer: str = "") -> tuple[Event, str | None]:
    """Return the event that a parsed JSON value says, and its idempotency key.

    `pointer` is where the value stands in the body. Raises Unprocessable (all its faults named), TooLarge.
    """
    if (size := _size(value)) > MAX_ENTRY_BYTES:
        detail = f"The event has {size} bytes; at most {MAX_ENTRY_BYTES} are allowed."
        raise TooLarge(detail, errors=[{"pointer": pointer, "code": "too_large", "detail": detail}])
    try:
        said = EventInput.model_validate(value)
    except ValidationError as error:
        raise Unprocessable("The event breaks a rule.", errors=faults(error, pointer)) from error
    return said.event(), said.idempotency_key


def _size(value: Any) -> int:
    """Return how many bytes a value has as compact JSON, or a bound of them that is allowed in any case."""
    text = _compact(value)
    return len(text) if _MAX_UTF8 * len(text) <= MAX_ENTRY_BYTES else len(text.encode(errors="replace"))


def faults(error: ValidationError, pointer: str = "") -> list[Fault]:
    """Return what a model refused, each fault with its place under `pointer`."""
    return [_fault(one, pointer) for one in error.errors(include_url=False)]


def _fault(error: ErrorDetails, pointer: str) -> Fault:
    kind, place = error["type"], "".join(f"/{escaped(part)}" for part in error["loc"])
    code, detail = _CODES.get(kind, kind), _DETAILS.get(kind, f"{error['msg']}.".replace("..", "."))
    if kind == "extra_forbidden" and str(error["loc"][-1]) in _SERVER_FIELDS:
        code, detail = "server_field", "The server sets this field; leave it out."
    return {"pointer": pointer + place, "code": code, "detail": detail}
