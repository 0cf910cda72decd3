"""What a filter means: terms of each field made into conditions of a queryset.

Within a field one of the terms must be met and none of the excluded ones; all fields must be met.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any, ClassVar, NamedTuple

from django.db.models import BooleanField, F, Func, GenericIPAddressField, Lookup, Q, Value

from audit.entry import EntryQuerySet, Hash, ShortHash, canonical
from audit.events import Outcome
from audit.query import search

_EXCLUDED, _PREFIX, _LITERAL = "-", "*", "\\"


class Term(NamedTuple):
    """One value of a field: met by the text itself, or by what begins with it; `excluded` by none of them."""

    text: str
    prefix: bool = False
    excluded: bool = False


def literally(text: str) -> str:
    """Return a value that means this very text, whatever its first and last characters are."""
    special = text.startswith((_EXCLUDED, _LITERAL)) or text.endswith(_PREFIX)
    return _LITERAL + text if special else text


def term(value: str) -> Term:
    """Return what a value says: `-` in front excludes, `*` at its end is for a prefix, a backslash takes both away."""
    excluded = value.startswith(_EXCLUDED)
    text = value.removeprefix(_EXCLUDED)
    if text.startswith(_LITERAL):
        return Term(text[1:], excluded=excluded)
    return Term(text.removesuffix(_PREFIX), text.endswith(_PREFIX), excluded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which entries: those that meet all that is said.

    The values of each field are those that `term` reads; `ip` are addresses and networks; `since` and `until` (aware,
    half-open) are about `created_at`; `q` is words that labels, description and changes have (`search.read`).
    """

    action: tuple[str, ...] = ()
    actor: tuple[str, ...] = ()
    actor_type: tuple[str, ...] = ()
    resource_type: tuple[str, ...] = ()
    resource_id: tuple[str, ...] = ()
    operation: tuple[str, ...] = ()
    outcome: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    ip: tuple[str, ...] = ()
    request_id: tuple[str, ...] = ()
    transaction: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    q: str | None = None

    @property
    def walked(self) -> bool:
        """Whether one index holds what is met in the order of ids: a page costs what it shows."""
        return self.simple and self._said() in _WALKED

    @property
    def simple(self) -> bool:
        """Whether each field has one plain value that an index finds, so that most pages are cheap."""
        return self._said() <= _INDEXED and all(self._plain(name) for name in self._said())

    def _said(self) -> set[str]:
        return {one.name for one in fields(self) if getattr(self, one.name)} - {"since", "until"}

    def _plain(self, name: str) -> bool:
        values = getattr(self, name)
        rare = name != "outcome" or values[0] != Outcome.SUCCESS
        return len(values) == 1 and not (term(values[0]).prefix or term(values[0]).excluded) and rare


# What is walked by itself, and what an index finds at all.
_WALKED: tuple[set[str], ...] = (set(), {"actor"}, {"action"}, {"outcome"}, {"resource_type", "resource_id"})
_INDEXED = {"action", "actor", "resource_type", "resource_id", "outcome", "request_id", "transaction"}


def matching(entries: EntryQuerySet, wanted: Filter) -> EntryQuerySet:
    """Return the entries that a filter lets through; time bounds come with bounds on the id."""
    for name, meet in _MEET.items():
        terms = [term(value) for value in getattr(wanted, name)]
        if positive := [one for one in terms if not one.excluded]:
            entries = meet(entries, positive)
        if excluded := [one for one in terms if one.excluded]:
            entries = entries.exclude(_any(_COLUMNS.get(name, name), excluded))
    if wanted.since is not None:
        entries = entries.since(wanted.since)
    if wanted.until is not None:
        entries = entries.until(wanted.until)
    return entries if wanted.q is None else search.matching(entries, wanted.q)


def _any(column: str, terms: Sequence[Term]) -> Q:
    """Return what is met by any of the terms."""
    if column == "ip":
        return reduce(or_, (Q(ip__within=one.text) for one in terms))
    exact = [canonical(one.text) if column in _IDS else one.text for one in terms if not one.prefix]
    prefixes = (Q(**{f"{column}__startswith": one.text}) for one in terms if one.prefix)
    return reduce(or_, prefixes, Q(**{f"{column}__in": exact}) if exact else Q(pk__in=[]))


_IDS = {"actor_id", "resource_id"}
_COLUMNS = {"actor": "actor_id", "transaction": "transaction_id"}
_Meet = Callable[[EntryQuerySet, Sequence[Term]], EntryQuerySet]


def _plain(column: str) -> _Meet:
    return lambda entries, terms: entries.filter(_any(column, terms))


def _single(column: str, find: Callable[[EntryQuerySet, str], EntryQuerySet]) -> _Meet:
    """Return how a column is met of which the queryset finds one value by its index."""

    def meet(entries: EntryQuerySet, terms: Sequence[Term]) -> EntryQuerySet:
        if len(terms) == 1 and not terms[0].prefix:
            return find(entries, terms[0].text)
        return entries.filter(_any(column, terms))

    return meet


def _hashed(column: str, hashing: type[Func], find: Callable[[EntryQuerySet, str], EntryQuerySet]) -> _Meet:
    """Return how a column is met of which an index holds hashes: by any of some values as well, but not by a prefix."""
    one = _single(column, find)

    def meet(entries: EntryQuerySet, terms: Sequence[Term]) -> EntryQuerySet:
        if len(terms) > 1 and not any(each.prefix for each in terms):
            texts = [canonical(each.text) if column in _IDS else each.text for each in terms]
            name = f"any_{column}"
            entries = entries.alias(**{name: hashing(F(column))}).filter(
                **{f"{name}__in": [hashing(Value(text)) for text in texts]}
            )
        return one(entries, terms)

    return meet


_MEET: dict[str, _Meet] = {
    "action": _single("action", EntryQuerySet.of_action),
    "actor": _hashed("actor_id", Hash, EntryQuerySet.of_actor),
    "actor_type": _plain("actor_type"),
    "resource_type": _hashed("resource_type", ShortHash, EntryQuerySet.of_resource_type),
    "resource_id": _hashed("resource_id", ShortHash, EntryQuerySet.of_resource_id),
    "operation": _plain("operation"),
    "outcome": _single("outcome", EntryQuerySet.of_outcome),
    "source": _plain("source"),
    "ip": _plain("ip"),
    "request_id": _hashed("request_id", ShortHash, EntryQuerySet.of_request),
    "transaction": _plain("transaction_id"),
}


@GenericIPAddressField.register_lookup
class Within(Lookup):
    """Tells whether an address is one, or lies in a network (`10.0.0.0/8`)."""

    lookup_name = "within"
    prepare_rhs = False
    output_field: ClassVar[BooleanField[Any, Any]] = BooleanField()

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        """Return the condition."""
        left, parameters = compiler.compile(self.lhs)
        return f"{left} <<= %s::inet", [*parameters, self.rhs]
