"""A file of events into a tenant's trail: read, mapped and written in small units of work, each line once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from django.db import DataError

from audit.events import Event
from audit.importers import read_events
from audit.importers.naming import Names
from audit.importers.reader import Found, Joined, Mapped
from audit.ingest import digest, import_events
from tenants.errors import BadInput
from tenants.management.base import Chosen

BATCH = 500


@dataclass(slots=True)
class Tally:
    """What became of the lines so far.

    `joined` are lines of dumps that are no events, but stand in those of other lines; they are counted apart.
    """

    imported: int = 0
    repeated: int = 0
    rejected: int = 0
    joined: int = 0

    @property
    def lines(self) -> int:
        """How many there were: each was imported, repeated or rejected."""
        return self.imported + self.repeated + self.rejected

    def __str__(self) -> str:
        told = f"lines={self.lines} imported={self.imported} repeated={self.repeated} rejected={self.rejected}"
        return f"{told} joined={self.joined}" if self.joined else told


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    digest: bytes
    event: Event


class Import:
    """One run over a file. What it has written stays, and is not written again by another run."""

    def __init__(
        self, vendor: str, chosen: Chosen, rejected: Callable[[int, str], None], names: Names | None = None
    ) -> None:
        self.vendor, self.chosen, self.names = vendor, chosen, names or {}
        self.tally = Tally()
        self._rejected = rejected

    def run(self, stream: BinaryIO, written: Callable[[int], object]) -> None:
        """Import all lines; after each unit of work call `written` with their number so far.

        Raises sqlite3.Error when there is no room to put a dump in order.
        """
        pending: list[_Line] = []
        for found in read_events(self.vendor, stream, self.names):
            if (mapped := self._sort_out(found)) is not None:
                pending.append(mapped)
            if len(pending) == BATCH:
                self._write(pending)
                pending = []
                written(self.tally.lines)
        self._write(pending)
        written(self.tally.lines)

    def _sort_out(self, found: Found) -> _Line | None:
        if isinstance(found, Mapped):
            return _Line(found.number, line_digest(self.vendor, found.line), found.event)
        if isinstance(found, Joined):
            self.tally.joined += 1
        else:
            self._reject(found.number, found.reason)
        return None

    def _write(self, lines: list[_Line]) -> None:
        """Write lines in one transaction. If one of them is refused, each half has another, down to that line."""
        if not lines:
            return
        try:
            with self.chosen.open(source="import"):
                results = import_events([(line.digest, line.event) for line in lines])
        except (BadInput, DataError) as error:
            if len(lines) == 1:
                self._reject(lines[0].number, _reason(error))
            else:
                self._write(lines[: len(lines) // 2])
                self._write(lines[len(lines) // 2 :])
            return
        created = sum(result.created for result in results)
        self.tally.imported += created
        self.tally.repeated += len(results) - created

    def _reject(self, number: int, reason: str) -> None:
        self.tally.rejected += 1
        self._rejected(number, reason)


def line_digest(vendor: str, line: dict[str, Any]) -> bytes:
    """Return what makes a line the same line: 32 bytes of its format and its JSON, whatever the order of its keys."""
    return digest(f"import.{vendor}", json.dumps(line, sort_keys=True, separators=(",", ":")))


def _reason(error: Exception) -> str:
    return error.detail if isinstance(error, BadInput) else str(error).strip().partition("\n")[0]
