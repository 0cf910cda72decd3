"""Pages of any trail: walks by keyset both ways. Functions over a queryset.

Newest first (`desc`) walks by id, to browse. Oldest first (`asc`) walks by position, to poll: entries get their
positions after they are committed, one after the other, so whoever follows the cursor sees each exactly once, in
whatever order transactions commit.

What no index holds in the order of the walk is looked for in windows, which grow while little is found and shrink while
they take long. A page that has used up its time is shorter than asked for, even empty, and goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import OperationalError, connections, transaction
from psycopg.errors import QueryCanceled

from audit.entry import EntryQuerySet, first_id_of
from audit.integrity.positions import BLOCK, Positions, locate
from audit.query import search
from audit.query.cursor import Place
from audit.query.filter import Filter, matching
from audit.query.windows import Clock, Windows

# How many entries are looked up one by one, and how many a window may let through.
_FEW = 1024
_MOST = 4000
# Milliseconds for a walk of which no one index says that it is short.
_SOON = 60


class Order(StrEnum):
    """`desc`: newest first, to browse. `asc`: by position, each exactly once, to poll."""

    DESC = "desc"
    ASC = "asc"


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries, and the places where the walk goes on: None where there is nothing (more) now.

    `resume` is always a place to come back to.
    """

    entries: Sequence[Any]
    following: Place | None
    preceding: Place | None
    resume: Place


def page(entries: EntryQuerySet, wanted: Filter, order: Order, place: Place | None, limit: int) -> Page:
    """Return up to `limit` of the wanted entries from a place on (None: the start), in order, whichever way it goes.

    They know their positions. Runs a few short queries; counts nothing.
    """
    if order is Order.ASC:
        return _poll(_Line(entries, wanted), place or Place(">", position=0), limit)
    found = _browse(entries, wanted, place or Place("<"), limit)
    locate(found.entries)
    return found


def end(entries: EntryQuerySet) -> Place:
    """Return the place after all entries that have a position: where an `asc` walk starts that wants none of them."""
    return Place(">", position=Positions(entries.model, entries.db).head())


# --- newest first ---------------------------------------------------------------------------------------------------


def _browse(entries: EntryQuerySet, wanted: Filter, place: Place, limit: int) -> Page:
    forth = place.side.startswith("<")
    rows, edge = _ahead(entries, wanted, place, limit + 1)
    found = rows[:limit]
    if edge is None and len(rows) > limit:
        edge = Place(place.side[0], found[-1].id)
    # Where the walk came from, and where it goes on.
    back = None if place.id is None else _turned(place, found)
    on = edge or (Place(place.side[0], found[-1].id) if found else place)
    if forth:
        return Page(found, edge, back, on)
    following = back or on
    return Page(found[::-1], following, edge, following)


def _turned(place: Place, found: Sequence[Any]) -> Place:
    """Return the place from which a walk the other way sees what lies before a page."""
    other = ">" if place.side.startswith("<") else "<"
    if found:
        return Place(other, found[0].id)
    return Place(other if place.side.endswith("=") else other + "=", place.id)


def _ahead(entries: EntryQuerySet, wanted: Filter, place: Place, count: int) -> tuple[list[Any], Place | None]:
    """Return the nearest `count` entries ahead of a place, nearest first, and how far was looked if not far enough."""
    lookups = {"<": "id__lt", "<=": "id__lte", ">": "id__gt", ">=": "id__gte"}
    here = entries.filter(**{lookups[place.side]: place.id}) if place.id else entries
    ascending = place.side.startswith(">")
    if wanted.simple:
        nearest = matching(here, wanted).by_id(ascending=ascending)[:count]
        rows = list(nearest) if wanted.walked else _in_time(nearest)
        if rows is not None:
            return rows, None
    windows = Windows(Positions(entries.model, entries.db), wanted, place)
    rows = []
    for low, high in windows:
        part = _within(here, low, high)
        if wanted.q is not None:
            ids = search.ids_of_time(
                windows.positions, wanted.q, low, high, most=None if windows.least else search.MOST_ROWS
            )
            if ids is None:
                windows.narrow()
                continue
            part = part.among(ids)
        rows += matching(part, wanted).by_id(ascending=ascending)[: count - len(rows)]
        if len(rows) >= count:
            return rows, None
    return rows, windows.edge


def _in_time(nearest: EntryQuerySet) -> list[Any] | None:
    """Return entries if the database finds them soon, as it does but where values that are frequent meet rarely."""
    try:
        with transaction.atomic(using=nearest.db), connections[nearest.db].cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {_SOON}")
            rows = list(nearest)
            cursor.execute("SET LOCAL statement_timeout TO DEFAULT")
            return rows
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        return None


def _within(entries: EntryQuerySet, low: UUID | None, high: UUID | None) -> EntryQuerySet:
    if low is not None:
        entries = entries.filter(id__gte=low)
    return entries if high is None else entries.filter(id__lt=high)


# --- oldest first ---------------------------------------------------------------------------------------------------


def _poll(line: _Line, place: Place, limit: int) -> Page:
    here = place.position or 0
    if place.side == ">":
        # A database that was set back has fewer positions than a poller has seen: then there is nothing yet.
        head = max(here, line.positions.head())
        rows, at = line.walk(here, head, limit + 1)
        following = Place(">", position=at) if at < head else None
        if len(rows) > limit:
            following = Place(">", position=rows[limit - 1].position + 1)
        preceding = Place("<", position=here) if here else None
        return Page(rows[:limit], following, preceding, following or Place(">", position=max(here, at)))
    rows, at = line.walk(here, 0, limit + 1)
    if len(rows) > limit:
        at = rows[limit - 1].position
    following = Place(">", position=here)
    return Page(rows[:limit][::-1], following, Place("<", position=at) if at else None, following)


class _Line:
    """The wanted entries of a trail by their positions."""

    def __init__(self, entries: EntryQuerySet, wanted: Filter) -> None:
        self._entries, self._wanted = entries, wanted
        self.positions = Positions(entries.model, entries.db)

    def walk(self, start: int, stop: int, count: int) -> tuple[list[Any], int]:
        """Return about `count` entries from `start` on towards `stop`, nearest first, and how far was looked.

        Downwards, `start` itself is not among them.
        """
        clock, at = Clock(max(BLOCK, min(_FEW, count))), start
        found: list[tuple[int, UUID]] = []
        while at != stop and len(found) < count and not clock.over():
            to = min(stop, at + clock.size) if stop > at else max(stop, at - clock.size)
            part = self._part(min(at, to), max(at, to))
            if part is None:
                clock.narrow()
                continue
            found += part if stop > at else part[::-1]
            at = to
            clock.done()
        return self._entries_at(found[:count]), at

    def _entries_at(self, places: list[tuple[int, UUID]]) -> list[Any]:
        found = {entry.id: entry for entry in self._entries.among([key for _, key in places])}
        for position, key in places:
            found[key].position = position
        return [found[key] for _, key in places]

    def _part(self, start: int, stop: int) -> list[tuple[int, UUID]] | None:
        """Return places and ids of the wanted entries of some positions, in their order; None: they are too many."""
        if stop - start <= _FEW:
            where = {key: start + n for n, key in enumerate(self.positions.ids(start, stop))}
            found = self._ids(self._entries.among([*where]), None)
        else:
            low, high = self.positions.span(start, stop)
            part = _within(self._entries, first_id_of(low), first_id_of(high))
            if self._wanted.q is not None:
                ids = search.ids_of_rows(self.positions, self._wanted.q, start // BLOCK, (stop - 1) // BLOCK)
                if ids is None:
                    return None
                part = part.among(ids)
            found = self._ids(part, _MOST + 1)
            if len(found) > _MOST:
                return None
            where = self.positions.of(found)
        return sorted((where[key], key) for key in found if start <= where.get(key, -1) < stop)

    def _ids(self, entries: EntryQuerySet, most: int | None) -> list[UUID]:
        return list(matching(entries, self._wanted).by_id(ascending=True).values_list("id", flat=True)[:most])
