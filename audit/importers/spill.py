"""Lines of a dump put aside on disk, and read again in order of time, each with what belongs to it.

A dump is in order of tables and keys: a context may come before its events or after them, rows whose keys are
UUIDs come in no order at all. Memory holds one line and its neighbours, however long the file is: the rest is in
a private temporary file of SQLite's, which ends with the process. It needs about the file's size, in the folder
that TMPDIR names.
"""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

from audit.importers.dumps import Beside, Dated, Row, Told
from audit.importers.leaves import Unmappable

if TYPE_CHECKING:
    from collections.abc import Iterator

_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE event (number INTEGER PRIMARY KEY, model TEXT, object TEXT, time TEXT, rank INT, sequence INT,
  needs TEXT, line TEXT);
CREATE TABLE beside (number INTEGER PRIMARY KEY, key TEXT, owner TEXT, name TEXT, line TEXT);
CREATE INDEX named ON beside (name);
BEGIN;
"""
_INDEXES = "CREATE INDEX needed ON event (needs); CREATE INDEX keyed ON beside (key);"
_OWNED = "(b.owner = '' OR substr(b.owner, 1, length(e.model) + 1) = e.model || '_')"
_ORDER = """SELECT number, CASE WHEN object IS NOT NULL THEN
  lag(number) OVER (PARTITION BY object ORDER BY time, rank, sequence, number) END
FROM event ORDER BY time, rank, sequence, number"""
_BESIDE = f"""SELECT b.number, b.line FROM event e JOIN beside b ON b.key = e.needs AND {_OWNED}
WHERE e.number = ? AND b.line IS NOT NULL ORDER BY b.number"""  # noqa: S608 - of constants
_OWNERS = f"SELECT DISTINCT b.owner FROM beside b, (SELECT ? AS model) e WHERE b.owner <> '' AND {_OWNED}"  # noqa: S608
_ALONE = f"""SELECT b.number FROM beside b
WHERE NOT EXISTS (SELECT 1 FROM event e WHERE e.needs = b.key AND {_OWNED}) ORDER BY b.number"""  # noqa: S608
_ATTACHED = f"""SELECT b.number FROM beside b
WHERE EXISTS (SELECT 1 FROM event e WHERE e.needs = b.key AND {_OWNED}) ORDER BY b.number"""  # noqa: S608


class Spill:
    """The rows of one dump; first all are put in, then they are read. Raises sqlite3.Error when the disk is full."""

    def __init__(self) -> None:
        self._base = sqlite3.connect("", isolation_level=None)
        self._base.executescript(_TABLES)
        self._owners: dict[str, list[str]] = {}

    def close(self) -> None:
        """Give the disk back."""
        self._base.close()

    def put(self, row: Row, place: Dated | Beside) -> None:
        """Put a row aside. Raises Unmappable for one beside events that contradicts a line before it."""
        line = json.dumps(row.line, sort_keys=True)
        if isinstance(place, Dated):
            values = (row.number, row.model, *place, line)
            self._base.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        else:
            name = json.dumps([row.model, row.line["pk"]])
            new = None if self._is_known(name, line) else line
            self._base.execute("INSERT INTO beside VALUES (?, ?, ?, ?, ?)", (row.number, *place, name, new))

    def close_input(self) -> None:
        """Say that all rows are there."""
        self._base.executescript(_INDEXES)

    def events(self) -> Iterator[Told]:
        """Yield each event, oldest first, with what belongs to it."""
        is_joined = self._base.execute("SELECT EXISTS (SELECT 1 FROM beside)").fetchone() == (1,)
        for number, before in self._base.execute(_ORDER):
            row = self._row(number)
            yield Told(
                row,
                self._beside(number),
                None if before is None else self._row(before),
                [] if before is None else self._beside(before),
                self._owners_of(row.model),
                is_joined,
            )

    def alone(self) -> Iterator[int]:
        """Yield the numbers of the lines beside events that no event refers to."""
        return (number for (number,) in self._base.execute(_ALONE))

    def attached(self) -> Iterator[int]:
        """Yield the numbers of the lines beside events that an event refers to."""
        return (number for (number,) in self._base.execute(_ATTACHED))

    def _is_known(self, name: str, line: str) -> bool:
        known = self._base.execute("SELECT number, line FROM beside WHERE name = ? ORDER BY number", (name,)).fetchone()
        if known is not None and known[1] != line:
            raise Unmappable(f"line {known[0]} says something else of the same `pk`")
        return known is not None

    def _row(self, number: int) -> Row:
        (line,) = self._base.execute("SELECT line FROM event WHERE number = ?", (number,)).fetchone()
        return Row(number, json.loads(line))

    def _beside(self, number: int) -> list[Row]:
        return [Row(found, json.loads(line)) for found, line in self._base.execute(_BESIDE, (number,))]

    def _owners_of(self, model: str) -> list[str]:
        if model not in self._owners:
            self._owners[model] = [owner for (owner,) in self._base.execute(_OWNERS, (model,))]
        return self._owners[model]
