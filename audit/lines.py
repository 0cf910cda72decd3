"""A stream of events, one JSON document on each line (NDJSON), of any length: read, written and answered in parts.

Each part is a unit of work of its own. So a stream that breaks off has written the lines that the report counts, and
nothing of those after them; to send it again is safe where lines have keys (docs/decisions/0020).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Protocol, TypedDict

from django.db import DatabaseError

from audit import ingest, wire
from audit.events import MAX_ENTRY_BYTES, Event
from audit.strict import parse
from tenants.errors import BadInput, CannotServe, DomainError, Fault, TooLarge, Unprocessable

PART_LINES = 500
_PART_BYTES = 1024 * 1024
_PIECE = 64 * 1024
# An event of the largest size may be spelled with six bytes for each of its own.
MAX_LINE = 6 * MAX_ENTRY_BYTES
MAX_REJECTED = 1000
_MAX_FAULTS = 10
_MAX_POINTER = 300
_Line = tuple[int, bytes | None]

log = logging.getLogger("daybook.lines")


class Readable(Protocol):
    """A body that is read piece by piece."""

    def read(self, size: int, /) -> bytes: ...  # noqa: D102


class RejectedLine(TypedDict):
    """A line that breaks a rule: its number, from 1, and what is wrong with it (ten faults at most)."""

    line: int
    errors: list[Fault]


@dataclass(slots=True)
class Report:
    """What became of the first `lines` lines: each was created, a duplicate, rejected, or blank."""

    lines: int = 0
    created: int = 0
    duplicates: int = 0
    rejected: list[RejectedLine] = field(default_factory=list)


class StreamStopped(DomainError):
    """The stream was given up in the middle. What the report counts is stored; nothing after it is."""

    def __init__(self, cause: DomainError, report: Report) -> None:
        after = f"after line {report.lines:,}" if report.lines else "before the first line was stored"
        super().__init__(f"Stopped {after}: {cause.detail}", errors=cause.errors)
        self.status, self.headers, self._code = cause.status, cause.headers, cause.code
        self.members = asdict(report)

    @property
    def code(self) -> str:
        """The code of what stopped it."""
        return self._code


class TooManyRejected(Unprocessable):
    """Too many lines break a rule, so the rest of the stream was not looked at."""


def receive(body: Readable, unit: Callable[[], AbstractContextManager[object]]) -> Report:
    """Write the good lines of a stream, in parts, each in a `unit` of work that is opened here; report on all lines.

    Holds one part in memory, whatever the stream's length. Raises Unprocessable if no line is good, and StreamStopped
    for whatever happens in the middle: it says what is stored.
    """
    report = Report()
    try:
        for part in _parts(_lines(body)):
            _write(part, unit, report)
            if len(report.rejected) >= MAX_REJECTED:
                raise TooManyRejected
        if report.rejected and not report.created + report.duplicates:
            raise Unprocessable
    except DomainError as error:
        raise StreamStopped(error, report) from error
    except DatabaseError as error:
        log.exception("stream_stopped")
        raise StreamStopped(CannotServe(), report) from error
    return report


def _write(part: list[_Line], unit: Callable[[], AbstractContextManager[object]], report: Report) -> None:
    """Write one part and, once that is committed, count it."""
    read: dict[int, tuple[bytes | None, Event]] = {}
    bad: dict[int, list[Fault]] = {}
    for number, raw in part:
        try:
            read[number] = _read(raw)
        except BadInput as error:
            bad[number] = error.errors
    written: list[ingest.Written] = []
    if read:
        with unit():
            checked = ingest.check([("", event) for _, event in read.values()])
            good = []
            for (number, (key, _)), event in zip(read.items(), checked, strict=True):
                if isinstance(event, Event):
                    good.append((key, event))
                else:
                    bad[number] = event
            written = ingest.write(good, keep_for=ingest.API_KEYS_KEPT, parsed=True)
    created = sum(one.created for one in written)
    report.lines = part[-1][0]
    report.created += created
    report.duplicates += len(written) - created
    report.rejected += (
        {"line": number, "errors": [_clipped(fault) for fault in bad[number][:_MAX_FAULTS]]} for number in sorted(bad)
    )


def _read(raw: bytes | None) -> tuple[bytes | None, Event]:
    if raw is None:
        detail = f"The line is longer than {MAX_LINE // 1024} KiB."
        raise TooLarge(detail, errors=[{"pointer": "", "code": "too_large", "detail": detail}])
    event, key = wire.read(parse(raw))
    return ingest.api_digest(key), event


def _clipped(fault: Fault) -> Fault:
    """Return a fault whose place is no longer than it must be: a thousand of them are kept."""
    return {**fault, "pointer": fault.get("pointer", "")[:_MAX_POINTER]}


def _parts(lines: Iterator[_Line]) -> Iterator[list[_Line]]:
    """Yield the lines that are not blank in parts of bounded size, each when it is complete."""
    part: list[_Line] = []
    size = 0
    for number, raw in lines:
        if raw is not None and not raw.strip(b" \t\r"):
            continue
        part.append((number, raw))
        size += len(raw or b"")
        if len(part) == PART_LINES or size >= _PART_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _lines(body: Readable) -> Iterator[_Line]:
    """Yield the lines with their numbers, from 1; None for one that is too long. The last need not be ended."""
    number, begun = 0, _Begun()
    while piece := body.read(_PIECE):
        *ended, rest = piece.split(b"\n")
        for more in ended:
            number += 1
            yield number, begun.end(more)
        begun.add(rest)
    if begun.size:
        yield number + 1, begun.end(b"")


class _Begun:
    """A line whose end has not come yet; what is too long is not kept."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size <= MAX_LINE:
            self.pieces.append(piece)

    def end(self, piece: bytes) -> bytes | None:
        """Return the whole line, and begin the next."""
        self.add(piece)
        line = b"".join(self.pieces) if self.size <= MAX_LINE else None
        self.pieces, self.size = [], 0
        return line
