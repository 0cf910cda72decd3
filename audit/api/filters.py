"""The query parameters of a list of entries: read strictly, each fault names its parameter."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from django.http import QueryDict

from audit import formats, sentences
from audit.api import grammar
from audit.api.parameters import (
    DEFAULT_DAYS,
    DEFAULT_LIMIT,
    MAX_CURSOR,
    MAX_DAYS,
    MAX_LIMIT,
    MAX_LINE,
    MAX_SEARCH,
    MAX_VALUES,
)
from audit.api.representation import AuditLogAnswer
from audit.events import MAX_ACTION, MAX_ID, MAX_TYPE, ActorType, Operation, Outcome, Source
from audit.query import Filter, Order, literally, search
from audit.query.filter import term
from tenants.api.base import repeated, unknown_parameter, whole
from tenants.api.wire import moment
from tenants.errors import BadInput, Fault, bad_parameter, bad_parameters, parameter_fault

END = "end"
# The first and last year that a bound widened by a millisecond or moved by a day still fits in.
_YEARS = range(1970, 9999)
# IPv4 addresses, as IPv6 spells them.
_MAPPED = IPv6Network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request for a list asks: which entries, in which order, how many, from where, and what of each."""

    filter: Filter
    order: Order
    limit: int
    cursor: str | None
    days: int
    fields: tuple[str, ...] = ()
    language: str | None = None
    format: str = formats.NAMES[0]


def _text(least: int, most: int) -> Callable[[str], str]:
    def read(value: str) -> str:
        if not least <= len(value) <= most:
            raise ValueError(f"This has {least} to {most} characters.")
        return value

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


def _term(read: Callable[[str], Any]) -> Callable[[str], str]:
    """Return the reader of a value that may be excluded by a `-` in front."""

    def checked(value: str) -> str:
        excluded = value.startswith("-")
        return "-" * excluded + str(read(value.removeprefix("-")))

    return checked


def _name(least: int, most: int) -> Callable[[str], str]:
    """Return the reader of a text that a filter compares: it may be a prefix, and excluded."""

    def checked(value: str) -> str:
        said = term(value)
        if not max(least, said.prefix) <= len(said.text) <= most:
            raise ValueError(f"This has {least} to {most} characters, besides a `-` in front and a `*` at the end.")
        return value

    return checked


def _address(value: str) -> str:
    try:
        network = ip_network(value, strict=False)
        if "%" in value:  # a zone is the sender's own, and stands in no entry
            raise ValueError(value)  # noqa: TRY301 - refused like all others
    except ValueError:
        raise ValueError("This is an IPv4 or IPv6 address, or a network such as `10.0.0.0/8`.") from None
    return str(_as_stored(network))


def _as_stored(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Return a network as entries have its addresses: IPv4 that is spelled as IPv6 is stored as what it is."""
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - _MAPPED.prefixlen))
    return network


def _search(value: str) -> str:
    search.read(_text(1, MAX_SEARCH)(value))
    return value


def _fields(value: str) -> tuple[str, ...]:
    names = tuple(value.split(","))
    if unknown := [name for name in names if name not in AuditLogAnswer.model_fields]:
        raise ValueError(f"`{unknown[0]}` is no field of an entry. They are: {', '.join(AuditLogAnswer.model_fields)}.")
    return names


def _language(value: str) -> str:
    if not sentences.LANGUAGE.fullmatch(value):
        raise ValueError("This is one language's tag, such as `en` or `de-AT`.")
    return value


_order = _word([*Order])
# The fields of an entry that are filtered by: each may be given several times.
_FIELDS: dict[str, Callable[[str], Any]] = {
    "action": _name(1, MAX_ACTION),
    "actor": _name(0, MAX_ID),
    "actor_type": _term(_word([*ActorType])),
    "resource_type": _name(1, MAX_TYPE),
    "resource_id": _name(0, MAX_ID),
    "operation": _term(_word([*Operation])),
    "outcome": _term(_word([*Outcome])),
    "source": _term(_word([*Source])),
    "ip": _term(_address),
    "request_id": _name(1, MAX_ID),
    "transaction": _term(whole(2**63 - 1)),
}
_READERS: dict[str, Callable[[str], Any]] = {
    **_FIELDS,
    "since": _moment,
    "until": _moment,
    "q": _search,
    "filter": _text(1, MAX_LINE),
    "order": lambda value: Order(_order(value)),
    "limit": whole(MAX_LIMIT),
    "cursor": _text(1, MAX_CURSOR),
    "days": whole(MAX_DAYS),
    "fields": _fields,
    "language": _language,
    "format": _word(formats.NAMES),
}
_IN_LINE = frozenset({*_FIELDS, "since", "until"})
FILTER = _IN_LINE | {"q", "filter"}
_SHOWN = frozenset({"fields", "language", "format"})
LIST = FILTER | {"order", "limit", "cursor"} | _SHOWN
HISTORY = LIST - {"resource_type", "resource_id"}
ACTIVITY = LIST - {"actor"} | {"days"}
ONE = _SHOWN


def read(sent: QueryDict, allowed: Collection[str], path: Mapping[str, str] | None = None) -> Asked:
    """Return what the parameters ask, with those that stand in the path. Raises BadInput, which names each fault."""
    faults: list[Fault] = []
    given: dict[str, list[str]] = {}
    for name in sent:
        if name not in allowed:
            faults.append(unknown_parameter(name))
        else:
            given[name] = sent.getlist(name)
    _add_line(given, allowed, faults)
    said = {name: _values(name, values, faults) for name, values in given.items()}
    for name, value in (path or {}).items():
        said[name] = _values(name, [literally(value)], faults)
    if faults:
        raise bad_parameters(faults)
    return _asked(said, ordered="order" in allowed)


def _add_line(given: dict[str, list[str]], allowed: Collection[str], faults: list[Fault]) -> None:
    """Add what the parameter `filter` says to the other parameters."""
    try:
        line = grammar.read(given["filter"][0], _IN_LINE & set(allowed)) if given.get("filter") else {}
    except ValueError as error:
        faults.append(parameter_fault("filter", str(error)))
        return
    for name, values in line.items():
        given[name] = [*given.get(name, []), *values]


def _asked(said: Mapping[str, Sequence[Any]], *, ordered: bool) -> Asked:
    one = {name: values[0] for name, values in said.items() if name not in _FIELDS and values}
    order, cursor = one.get("order", Order.DESC), one.get("cursor")
    # Where there is no order, a cursor may be a name, and this is one.
    if ordered and cursor == END and order is not Order.ASC:
        raise bad_cursor("`end` is where a walk with order=asc begins.")
    many: dict[str, Any] = {name: tuple(said[name]) for name in _FIELDS if name in said}
    bounds = {name: one[name] for name in ("since", "until", "q") if name in one}
    limit, days = one.get("limit", DEFAULT_LIMIT), one.get("days", DEFAULT_DAYS)
    shown = {name: one[name] for name in _SHOWN if name in one}
    if len(shown.keys() & {"fields", "format"}) > 1 and shown["format"] != formats.NAMES[0]:
        raise bad_parameter("fields", "Fields are those of the native format: leave one of `fields` and `format` out.")
    return Asked(Filter(**many, **bounds), order, limit, cursor, days, **shown)


def _values(name: str, values: list[str], faults: list[Fault]) -> list[Any]:
    if len(values) > (MAX_VALUES if name in _FIELDS else 1):
        faults.append(repeated(name))
        return []
    try:
        if any("\x00" in value for value in values):
            raise ValueError("U+0000 stands in no entry.")  # noqa: TRY301 - one place turns reasons into faults
        return [_READERS[name](value) for value in values]
    except ValueError as error:
        faults.append(parameter_fault(name, str(error)))
        return []


def bad_cursor(detail: str) -> BadInput:
    """Return the refusal of a cursor."""
    return bad_parameter("cursor", detail, "bad_cursor")
