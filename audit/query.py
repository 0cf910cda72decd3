"""Filtered pages of any trail: what a filter means, and walks by keyset both ways. Functions over a queryset.

Newest first (`desc`) walks by id. Oldest first (`asc`) is for polling: it shows settled entries alone, in rounds.
A round holds the entries of the transactions from `low` up to `high`, all of which had ended when the round
began, so nothing can join it; within a round the order is that of the ids. The next round begins at `high`.
So whoever follows the cursor sees each entry exactly once, in whatever order transactions commit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.core.signing import BadSignature, Signer
from django.db import connections
from django.db.models import Q
from django.db.models.functions import Greatest

from audit.entry import EntryQuerySet, LogEntry
from audit.events import Outcome
from audit.past import state_of as state_of  # noqa: PLC0414 - a question like the others, in a file of its own

_PREFIX = ".*"
_HORIZON = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


class Order(StrEnum):
    """`desc`: newest first, to browse. `asc`: settled entries, each exactly once, to poll."""

    DESC = "desc"
    ASC = "asc"


class BadCursor(ValueError):
    """A cursor was altered, or made for another tenant, filter or order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which entries: those that meet all that is said.

    An action is a name, a prefix (`invoice.*`), or either of them excluded by a leading `-`; of those that are
    not excluded, one must be met. `since` and `until` (aware, half-open) are about `created_at`.
    """

    actions: tuple[str, ...] = ()
    actor: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    outcome: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None
    transaction: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a walk stands: beside an entry (id None: at the end of the round it comes from).

    `side` says which entries lie ahead: those whose id is `<`, `<=`, `>` or `>=` this one. `low` and `high`
    bound the transactions of an `asc` walk's round; a `high` of None is settled when the round begins.
    """

    side: str
    id: UUID | None = None
    low: int = 0
    high: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries, and the places where the walk goes on: None where there is nothing (more) now.

    `resume` is always a place to come back to.
    """

    entries: Sequence[Any]
    following: Place | None
    preceding: Place | None
    resume: Place


def matching(entries: EntryQuerySet, wanted: Filter) -> EntryQuerySet:
    """Return the entries that a filter lets through; time bounds come with bounds on the id."""
    entries = _about(_of_actions(entries, wanted.actions), wanted.resource_type, wanted.resource_id)
    if wanted.actor is not None:
        entries = entries.of_actor(wanted.actor)
    if wanted.transaction is not None:
        entries = entries.of_transaction(wanted.transaction)
    if wanted.outcome is not None:
        entries = entries.of_outcome(wanted.outcome)
    if wanted.since is not None:
        entries = entries.since(wanted.since)
    return entries if wanted.until is None else entries.until(wanted.until)


def _about(entries: EntryQuerySet, resource_type: str | None, resource_id: str | None) -> EntryQuerySet:
    if resource_type is not None:
        entries = entries.of_resource_type(resource_type)
    return entries if resource_id is None else entries.of_resource_id(resource_id)


def _of_actions(entries: EntryQuerySet, actions: Sequence[str]) -> EntryQuerySet:
    wanted = [action for action in actions if not action.startswith("-")]
    if any(action.endswith(_PREFIX) for action in wanted):
        entries = entries.filter(_any_action(wanted))
    elif wanted:
        entries = entries.of_action(*wanted)
    excluded = [action[1:] for action in actions if action.startswith("-")]
    return entries.exclude(_any_action(excluded)) if excluded else entries


def _any_action(actions: Sequence[str]) -> Q:
    names = [action for action in actions if not action.endswith(_PREFIX)]
    prefixes = [action[:-1] for action in actions if action.endswith(_PREFIX)]
    return reduce(or_, (Q(action__startswith=prefix) for prefix in prefixes), Q(action__in=names))


def page(entries: EntryQuerySet, order: Order, place: Place | None, limit: int) -> Page:
    """Return up to `limit` entries from a place on (None: the start), in the order of the walk either way.

    Runs one query in `desc`, two or three short ones in `asc`; counts nothing.
    """
    backwards = place is not None and place.side.startswith(">" if order is Order.DESC else "<")
    if place is not None and backwards:
        return _back(entries, order, place, limit)
    return _poll(entries, place, limit) if order is Order.ASC else _browse(entries, place or Place("<"), limit)


def end(entries: EntryQuerySet) -> Place:
    """Return the place after all entries that are settled now: where an `asc` walk starts that wants none of them."""
    return Place(">", low=_horizon(entries))


def _browse(entries: EntryQuerySet, place: Place, limit: int) -> Page:
    rows = _ahead(entries, place, limit + 1)
    found = rows[:limit]
    resume = replace(place, side="<", id=found[-1].id) if found else place
    preceding = None if place.id is None else Place(">", found[0].id) if found else Place(">=", place.id)
    return Page(found, resume if len(rows) > limit else None, preceding, resume)


def _poll(entries: EntryQuerySet, place: Place | None, limit: int) -> Page:
    horizon = max(_horizon(entries), place.low if place else 0)
    first = replace(place or Place(">"), high=horizon if place is None or place.high is None else place.high)
    last, rows = first, _ahead(entries, first, limit + 1)
    if len(rows) <= limit and first.high is not None and first.high < horizon:
        own, last = len(rows), Place(">", low=first.high, high=horizon)
        rows += _ahead(entries, last, limit + 1 - own)
        if len(rows) > limit and own == limit:  # the page ends with the round before
            last = first
    else:
        own = len(rows)
    found = rows[:limit]
    if len(rows) > limit:
        resume = replace(last, side=">", id=found[-1].id)
        return Page(found, resume, _before(first, found[:own]), resume)
    return Page(found, None, _before(first, found[:own]), Place(">", low=horizon))


def _before(first: Place, own: Sequence[LogEntry]) -> Place | None:
    """Return the place before a page whose walk came to `first` and found `own` in that round."""
    if first.id is None:
        return Place("<", low=0, high=first.low) if first.low else None
    return replace(first, side="<", id=own[0].id) if own else replace(first, side="<=")


def _back(entries: EntryQuerySet, order: Order, place: Place, limit: int) -> Page:
    """Return the page before a place. Where a round of an `asc` walk begins, the page ends (it may be empty)."""
    forth, back = ("<", ">") if order is Order.DESC else (">", "<")
    rows = _ahead(entries, place, limit + 1)
    found = rows[:limit][::-1]
    preceding = Place("<", low=0, high=place.low) if place.low else None
    if len(rows) > limit:
        preceding = replace(place, side=back, id=found[0].id)
    if found:
        following = replace(place, side=forth, id=found[-1].id)
    else:
        following = replace(place, side=forth + "=") if place.id else Place(forth, low=place.high or 0)
    return Page(found, following, preceding, following)


def _ahead(entries: EntryQuerySet, place: Place, count: int) -> list[Any]:
    """Return the nearest `count` entries ahead of a place, nearest first."""
    if place.high is not None and place.high <= place.low:
        return []
    lookups = {"<": "id__lt", "<=": "id__lte", ">": "id__gt", ">=": "id__gte"}
    if place.id is not None:
        entries = entries.filter(**{lookups[place.side]: place.id})
    if place.low:
        entries = entries.filter(transaction_id__gte=place.low)
    if place.high is not None:
        entries = entries.filter(transaction_id__lt=place.high)
    ascending = place.side.startswith(">")
    if place.id is None and place.low:
        # The planner knows nothing of late transactions having late ids: with the index on ids at hand it would
        # read the trail from its very beginning. Sorted by an expression, the round is found by its transactions.
        key = Greatest("id", "id")
        return list(entries.order_by(key.asc() if ascending else key.desc())[:count])
    return list(entries.by_id(ascending=ascending)[:count])


def _horizon(entries: EntryQuerySet) -> int:
    """Return the least transaction that may still write: all before it have ended, and can be seen."""
    with connections[entries.db].cursor() as cursor:
        cursor.execute(_HORIZON)
        return int(cursor.fetchone()[0])


def write_cursor(place: Place, *binding: object) -> str:
    """Return a place as a signed text that holds for one binding alone: tenant, filter, order."""
    bounds = f"{place.low}.{'' if place.high is None else place.high}"
    return _signer(binding).sign(f"{place.side}{place.id.hex if place.id else ''}.{bounds}".translate(_SAFE))


def read_cursor(text: str, *binding: object) -> Place:
    """Return the place that a cursor says. Raises BadCursor."""
    try:
        side_and_id, low, high = _signer(binding).unsign(text).translate(_UNSAFE).split(".")
    except BadSignature as error:
        raise BadCursor from error
    side = side_and_id.rstrip("0123456789abcdef")
    key = side_and_id[len(side) :]
    return Place(side, UUID(key) if key else None, int(low), int(high) if high else None)


# A cursor stands in URLs: `<`, `>` and `=` would have to be escaped there.
_SAFE = str.maketrans("<>=", "xyz")
_UNSAFE = str.maketrans("xyz", "<>=")


def _signer(binding: Sequence[object]) -> Signer:
    """Return the signer of a binding. The salt is part of what stored cursors depend on: it never changes."""
    said = json.dumps(binding, default=_said, sort_keys=True)
    return Signer(sep="~", salt=f"audit.cursor.v1:{hashlib.sha256(said.encode()).hexdigest()}")


def _said(value: object) -> object:
    # What is not said is left out, so that a filter of a later version does not void the cursors of this one.
    if isinstance(value, Filter):
        return {name: said for name, said in asdict(value).items() if said is not None and said != ()}
    return str(value)
