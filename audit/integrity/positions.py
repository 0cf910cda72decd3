"""Positions: 0, 1, 2, ... in the order in which entries were sequenced, and from them to ids and back.

They stand beside the trail, in rows of `BLOCK` ids (`sql/sequence.sql`). Each row knows the milliseconds that its ids
are of, so that the positions of a range of time, and the row of an id, are found without reading the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import connections

from audit.entry import LogEntry, millis_of

BLOCK = 64

_HEAD = "SELECT number, cardinality(ids) FROM {table} ORDER BY number DESC LIMIT 1"
_IDS = "SELECT ids FROM {table} WHERE number BETWEEN %s AND %s ORDER BY number"
_SPAN = "SELECT min(lower(span)), max(upper(span)) FROM {table} WHERE number BETWEEN %s AND %s"
_POSITIONS = """SELECT entry.id, number * {block} + array_position(ids, entry.id) - 1
FROM unnest(%s::uuid[], %s::bigint[]) AS entry(id, millis) JOIN {table} ON span @> millis AND entry.id = ANY (ids)"""
# A row that has an entry of a long transaction spans, by seconds more, what stands in others.
_ROW = """SELECT coalesce(
(SELECT number FROM {table} WHERE span @> %s::bigint
 ORDER BY (upper(span) - lower(span)) / 1000, number DESC LIMIT 1),
(SELECT number FROM {table} WHERE lower(span) <= %s ORDER BY number DESC LIMIT 1))"""
_FIRST = "SELECT lower(span) FROM {table} WHERE number = %s"


class Positions:
    """The positions of one trail, read in the open unit of work."""

    def __init__(self, model: type[LogEntry], alias: str) -> None:
        trail = model._meta.db_table  # noqa: SLF001 - Django's own name for it
        self.table, self.words, self.alias = f"{trail}_position", f"{trail}_words", alias

    def head(self) -> int:
        """Return how many entries have a position: the next one that will be given."""
        row = self.rows(_HEAD)
        return row[0][0] * BLOCK + row[0][1] if row else 0

    def ids(self, start: int, stop: int) -> list[UUID]:
        """Return the ids from one position up to before another, in their order."""
        if stop <= start:
            return []
        found = [key for (ids,) in self.rows(_IDS, start // BLOCK, (stop - 1) // BLOCK) for key in ids]
        return found[start % BLOCK : start % BLOCK + stop - start]

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Return between which milliseconds (the second excluded) the ids of some positions are, and others as well."""
        first, last = self.rows(_SPAN, start // BLOCK, (stop - 1) // BLOCK)[0]
        return first or 0, last or 0

    def of(self, ids: Collection[UUID]) -> dict[UUID, int]:
        """Return the position of each of some ids that has one."""
        if not ids:
            return {}
        return dict(self.rows(_POSITIONS, list(ids), [millis_of(key) for key in ids]))

    def row_at(self, millis: int) -> int | None:
        """Return the row in which, or after which, ids of a millisecond stand; None: they are older than all."""
        number: int | None = self.rows(_ROW, millis, millis)[0][0]
        return number

    def first_of(self, number: int) -> int | None:
        """Return the millisecond of the oldest id in a row."""
        found = self.rows(_FIRST, number)
        return found[0][0] if found else None

    def rows(self, query: str, *arguments: Any) -> Sequence[Any]:
        """Return what a query over `{table}` finds."""
        with connections[self.alias].cursor() as cursor:
            cursor.execute(query.format(table=self.table, words=self.words, block=BLOCK), arguments)
            found: Sequence[Any] = cursor.fetchall()
            return found


def locate(entries: Iterable[Any]) -> None:
    """Say the positions of entries of one trail, read in this unit of work: `entry.position`."""
    unknown = [entry for entry in entries if entry.position is None]
    if unknown:
        found = Positions(type(unknown[0]), unknown[0]._state.db).of([entry.id for entry in unknown])  # noqa: SLF001
        for entry in unknown:
            entry.position = found.get(entry.id)
