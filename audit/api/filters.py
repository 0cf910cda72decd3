"""The query parameters of a list of entries: read strictly, each fault names its parameter."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import QueryDict
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from audit.events import MAX_ACTION, MAX_ID, MAX_TYPE, Outcome
from audit.query import Filter, Order
from audit.wire import moment
from tenants.errors import BadInput, Fault

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
MAX_DAYS = 3650
DEFAULT_DAYS = 30
END = "end"
_MAX_CURSOR = 500
_MAX_ACTIONS = 100
# The first and last year that a bound widened by a millisecond or moved by a day still fits in.
_YEARS = range(1970, 9999)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request for a list asks: which entries, in which order, how many, from where."""

    filter: Filter
    order: Order
    limit: int
    cursor: str | None
    days: int


def _text(least: int, most: int) -> Callable[[str], str]:
    def read(value: str) -> str:
        if not least <= len(value) <= most:
            raise ValueError(f"This has {least} to {most} characters.")
        return value

    return read


def _whole(most: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not (value.isascii() and value.isdecimal() and len(value) <= len(str(most)) and 1 <= int(value) <= most):
            raise ValueError(f"This is a whole number from 1 to {most}.")
        return int(value)

    return read


def _word(words: Collection[str]) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in words:
            raise ValueError(f"This is one of: {', '.join(words)}.")
        return value

    return read


def _moment(value: str) -> datetime:
    # In a query string an offset's plus that was not escaped arrives as a blank.
    found = moment(value[:-6] + value[-6:].replace(" ", "+"))
    if found.year not in _YEARS:
        raise ValueError(f"This is a time of the years {_YEARS.start} to {_YEARS.stop - 1}.")
    return found


def _action(value: str) -> str:
    if not value.removeprefix("-"):
        raise ValueError("This is an action's name, a prefix such as `invoice.*`, or one of them behind a `-`.")
    return _text(1, MAX_ACTION + 1)(value)


_outcome, _order = _word([*Outcome]), _word([*Order])
_READERS: dict[str, Callable[[str], Any]] = {
    "action": _action,
    "actor": _text(0, MAX_ID),
    "resource_type": _text(1, MAX_TYPE),
    "resource_id": _text(0, MAX_ID),
    "outcome": lambda value: Outcome(_outcome(value)),
    "transaction": _whole(2**63 - 1),
    "since": _moment,
    "until": _moment,
    "order": lambda value: Order(_order(value)),
    "limit": _whole(MAX_LIMIT),
    "cursor": _text(1, _MAX_CURSOR),
    "days": _whole(MAX_DAYS),
}
_FILTERS = frozenset({"action", "actor", "resource_type", "resource_id", "outcome", "since", "until", "transaction"})
LIST = _FILTERS | {"order", "limit", "cursor"}
HISTORY = LIST - {"resource_type", "resource_id"}
ACTIVITY = LIST - {"actor"} | {"days"}


def read(sent: QueryDict, allowed: Collection[str], path: Mapping[str, str] | None = None) -> Asked:
    """Return what the parameters ask, with those that stand in the path. Raises BadInput, which names each fault."""
    faults: list[Fault] = []
    said: dict[str, Any] = {}
    for name in sent:
        values = sent.getlist(name)
        if name not in allowed:
            faults.append(_fault(name, "unknown_parameter", "There is no such parameter here."))
        elif len(values) > (_MAX_ACTIONS if name == "action" else 1):
            faults.append(_fault(name, "repeated", "This parameter is given too often."))
        else:
            said[name] = _values(name, values, faults)
    for name, value in (path or {}).items():
        said[name] = _values(name, [value], faults)
    if faults:
        raise BadInput(f"{faults[0]['parameter']}: {faults[0]['detail']}", errors=faults)
    return _asked({name: values[0] for name, values in said.items()}, tuple(said.get("action", ())))


def _asked(said: dict[str, Any], actions: tuple[str, ...]) -> Asked:
    order, cursor = said.get("order", Order.DESC), said.get("cursor")
    if cursor == END and order is not Order.ASC:
        raise bad_cursor("`end` is where a walk with order=asc begins.")
    wanted = {name: said[name] for name in _FILTERS - {"action"} if name in said}
    limit, days = said.get("limit", DEFAULT_LIMIT), said.get("days", DEFAULT_DAYS)
    return Asked(Filter(actions=actions, **wanted), order, limit, cursor, days)


def _values(name: str, values: list[str], faults: list[Fault]) -> list[Any]:
    try:
        if any("\x00" in value for value in values):
            raise ValueError("U+0000 stands in no entry.")  # noqa: TRY301 - one place turns reasons into faults
        return [_READERS[name](value) for value in values]
    except ValueError as error:
        faults.append(_fault(name, "bad_value", str(error)))
        return []


def _fault(name: str, code: str, detail: str) -> Fault:
    return {"parameter": name, "code": code, "detail": detail}


def bad_cursor(detail: str) -> BadInput:
    """Return the refusal of a cursor."""
    return BadInput(f"cursor: {detail}", errors=[_fault("cursor", "bad_cursor", detail)])


_DESCRIBED = {
    "action": OpenApiParameter(
        "action",
        OpenApiTypes.STR,
        many=True,
        description="A name, or a prefix as in `invoice.*`; a leading `-` excludes. Repeatable: any of them.",
    ),
    "actor": OpenApiParameter("actor", description="The actor's id."),
    "resource_type": OpenApiParameter("resource_type", description="The resource's type."),
    "resource_id": OpenApiParameter("resource_id", description="The resource's id; a UUID in any spelling."),
    "outcome": OpenApiParameter("outcome", enum=[*Outcome]),
    "transaction": OpenApiParameter(
        "transaction",
        OpenApiTypes.STR,
        description="A `context.transaction_id`: an action and the changes of rows that it made.",
    ),
    "since": OpenApiParameter("since", OpenApiTypes.DATETIME, description="Created at or after this time."),
    "until": OpenApiParameter("until", OpenApiTypes.DATETIME, description="Created before this time."),
    "order": OpenApiParameter(
        "order",
        enum=[*Order],
        default=Order.DESC.value,
        description="`desc`: newest first. `asc`: for polling; who follows `next_cursor` sees each entry exactly once.",
    ),
    "limit": OpenApiParameter("limit", OpenApiTypes.INT, default=DEFAULT_LIMIT, description=f"1 to {MAX_LIMIT}."),
    "cursor": OpenApiParameter(
        "cursor", description="The `next_cursor` of a page of the same filter and order; `end` (with asc): from now."
    ),
    "days": OpenApiParameter("days", OpenApiTypes.INT, default=DEFAULT_DAYS, description=f"1 to {MAX_DAYS}."),
}


def described(names: Collection[str]) -> list[OpenApiParameter]:
    """Return parameters as the OpenAPI document shows them."""
    return [parameter for name, parameter in _DESCRIBED.items() if name in names]
