"""What bodies are read by: strict models, times, and what each of their faults is called.

The models are also what the OpenAPI document shows.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

from tenants.errors import Fault

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


class Written(BaseModel):
    """A body, or a part of one: of the types that JSON says, and without unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Answer(BaseModel):
    """An answer, or a part of one: it has these fields and no others, so that clients can be made of it."""

    model_config = ConfigDict(extra="forbid")


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


def _moment(value: Any) -> datetime:
    try:
        return moment(value if isinstance(value, str) else "")
    except ValueError as error:
        raise PydanticCustomError("bad_time", "{reason}", {"reason": str(error)}) from error


def nullable_text(**words: Any) -> WithJsonSchema:
    """Return what the OpenAPI document says of a text that may be null."""
    return WithJsonSchema({"anyOf": [{"type": "string", **words}, {"type": "null"}]})


Moment = Annotated[datetime, BeforeValidator(_moment)]
Time = Annotated[
    datetime | None,
    BeforeValidator(lambda value: None if value is None else _moment(value)),
    nullable_text(format="date-time"),
]


def rendered(time: datetime) -> str:
    """Return an aware time as RFC 3339 in UTC, always with six digits of microseconds."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def escaped(key: object) -> str:
    """Return a key as a part of a JSON pointer (RFC 6901); what UTF-8 cannot say of it is `?`."""
    return str(key).replace("~", "~0").replace("/", "~1").encode(errors="replace").decode()


def faults(error: ValidationError, pointer: str = "", server_fields: Collection[str] = ()) -> list[Fault]:
    """Return what a model refused, each fault with its place under `pointer`.

    `server_fields` are unknown fields that answers have: they are refused as such.
    """
    return [_fault(one, pointer, server_fields) for one in error.errors(include_url=False)]


def _fault(error: ErrorDetails, pointer: str, server_fields: Collection[str]) -> Fault:
    kind, place = error["type"], "".join(f"/{escaped(part)}" for part in error["loc"])
    code, detail = _CODES.get(kind, kind), _DETAILS.get(kind, f"{error['msg']}.".replace("..", "."))
    if kind == "extra_forbidden" and str(error["loc"][-1]) in server_fields:
        code, detail = "server_field", "The server sets this field; leave it out."
    return {"pointer": pointer + place, "code": code, "detail": detail}
