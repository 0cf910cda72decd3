"""The query parameters of a list as the OpenAPI document shows them: what `filters` reads."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from drf_spectacular.utils import OpenApiParameter

from audit.events import MAX_ACTION, MAX_ID, MAX_TYPE, ActorType, Operation, Outcome, Source
from audit.formats import NAMES
from audit.query import Order

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
MAX_DAYS = 3650
DEFAULT_DAYS = 30
MAX_CURSOR = 500
MAX_VALUES = 100
MAX_SEARCH = 500
MAX_LINE = 4000

_ANY = "Repeatable: any of them. A leading `-` excludes"
_NAMES = f"{_ANY}, a `*` at the end is for a prefix, a leading backslash takes both meanings away."
_BYTE = "(0|[1-9][0-9]?)"
_ADDRESSES = [
    {"type": "string", "format": "ipv4"},
    {"type": "string", "format": "ipv6"},
    {"type": "string", "pattern": rf"^-?({_BYTE}\.){{3}}{_BYTE}(/([0-9]|[12][0-9]|3[0-2]))?$"},
]


def _string(least: int, most: int, **words: Any) -> dict[str, Any]:
    return {"type": "string", "minLength": least, "maxLength": most, **words}


def _number(most: int, usual: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": most, "default": usual}


def _many(name: str, description: str, items: dict[str, Any]) -> OpenApiParameter:
    return OpenApiParameter(
        name, {"type": "array", "items": items, "maxItems": MAX_VALUES}, description=description, explode=True
    )


def _names(name: str, description: str, least: int, most: int) -> OpenApiParameter:
    pattern = r"^-?[^-*\\]" if least else r"^($|-?[^-*\\])"
    return _many(name, f"{description} {_NAMES}", _string(least, most, pattern=pattern))


def _words(name: str, description: str, words: Iterable[str]) -> OpenApiParameter:
    said = f"{description} One of {', '.join(words)}. {_ANY}."
    return _many(name, said, {"type": "string", "pattern": f"^-?({'|'.join(words)})$"})


_TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
_DESCRIBED = [
    _names("action", "The action, as in `invoice.paid` or `invoice.*`.", 1, MAX_ACTION),
    _names("actor", "The actor's id.", 0, MAX_ID),
    _words("actor_type", "What kind of caller acted.", ActorType),
    _names("resource_type", "The resource's type.", 1, MAX_TYPE),
    _names("resource_id", "The resource's id; a UUID in any spelling.", 0, MAX_ID),
    _words("operation", "What the action does.", Operation),
    _words("outcome", "How the action ended.", Outcome),
    _words("source", "By which way the entry came in.", Source),
    _many("ip", f"An address, or a network as in `10.0.0.0/8`. {_ANY}.", {"anyOf": _ADDRESSES}),
    _names("request_id", "The `context.request_id`.", 1, MAX_ID),
    _many(
        "transaction",
        "A `context.transaction_id`: an action and the changes of rows that it made.",
        _string(1, 19, pattern="^-?[1-9][0-9]{0,17}$"),
    ),
    OpenApiParameter(
        "q",
        _string(1, MAX_SEARCH),
        description="Words of labels, description and changes: all of them, in any case and without accents. "
        '`"two words"` in this order; a leading `-` excludes. Entries are found within seconds.',
    ),
    OpenApiParameter(
        "filter",
        _string(1, MAX_LINE),
        description='The same in one line: `actor:alice action:invoice.*,user.* -outcome:success "past due"`.',
    ),
    OpenApiParameter("since", _TIME, description="Created at or after this time, of the years 1970 to 9998."),
    OpenApiParameter("until", _TIME, description="Created before this time, of the years 1970 to 9998."),
    OpenApiParameter(
        "order",
        enum=[*Order],
        default=Order.DESC.value,
        description="`desc`: newest first. `asc`: by position, for polling; who follows `next_cursor` sees each entry "
        "exactly once.",
    ),
    OpenApiParameter(
        "limit",
        _number(MAX_LIMIT, DEFAULT_LIMIT),
        description="How many at most. A page may be shorter where no index finds what is wanted: go on with `next`.",
    ),
    OpenApiParameter(
        "cursor",
        _string(1, MAX_CURSOR),
        description="The `next_cursor` of a page of the same filter and order; `end` (with asc): from now.",
    ),
    OpenApiParameter("days", _number(MAX_DAYS, DEFAULT_DAYS), description="How many days back from now."),
    OpenApiParameter("fields", description="The fields to show of each entry, with commas; left out: all."),
    OpenApiParameter(
        "format",
        enum=NAMES,
        default=NAMES[0],
        description="The form of each entry. Another one than `native` has a media type of its own.",
    ),
    # By name, not by Accept-Language: one URL has one answer, whoever keeps it.
    OpenApiParameter(
        "language",
        description="Shows the `sentence` that an entry reads as: `en` and `de` are shipped, others as types declare.",
    ),
]


def number(name: str, most: int, usual: int, description: str) -> OpenApiParameter:
    """Return a parameter that is a whole number from 1 on."""
    return OpenApiParameter(name, _number(most, usual), description=description)


def described(names: Collection[str]) -> list[OpenApiParameter]:
    """Return parameters as the OpenAPI document shows them."""
    return [parameter for parameter in _DESCRIBED if parameter.name in names]
