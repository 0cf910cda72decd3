"""Events of other products as events of a trail: one pure module for each format.

Nothing is lost: every (path, value) of an accepted line stands either unchanged in a field of the entry or, at its
own path, in `metadata["<format>"]`. That is where the original of all that was mapped stays, too: times, outcomes,
kinds of actors, what was cut. `reader` reads the lines.

In FORMATS each line is an event by itself: a function takes one parsed line and returns an Event, or raises
Unmappable with the reason. In DUMPS, Django's dumps of tables, events need other lines of the file (`dumps`).
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, BinaryIO

from audit.importers import auditlog, cloudtrail, daybook, github, okta, pghistory, simple_history
from audit.importers.dumps import Dump, row_of
from audit.importers.leaves import Unmappable, storable
from audit.importers.reader import BadLine, Found, Joined, Mapped, read_lines
from audit.importers.spill import Spill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from audit.events import Event
    from audit.importers.naming import Names

__all__ = ["DUMPS", "FORMATS", "Unmappable", "read_events"]

FORMATS: dict[str, Callable[[dict[str, Any]], Event]] = {
    "github": github.to_event,
    "okta": okta.to_event,
    "cloudtrail": cloudtrail.to_event,
    "daybook": daybook.to_event,
}
DUMPS: dict[str, Dump] = {
    "django-auditlog": auditlog.DUMP,
    "simple-history": simple_history.DUMP,
    "pghistory": pghistory.DUMP,
}


def read_events(vendor: str, stream: BinaryIO, names: Names) -> Iterator[Found]:
    """Yield what becomes of each line that is not blank, once; `names` are for dumps.

    Lines of FORMATS come in the order of the file. A dump is read to its end first, and then its events come in
    order of time. Raises sqlite3.Error when there is no room to put a dump in order.
    """
    if vendor in DUMPS:
        yield from _read_dump(DUMPS[vendor], stream, names)
        return
    for number, line in read_lines(stream):
        yield line if isinstance(line, BadLine) else _mapped(vendor, number, line)


def _mapped(vendor: str, number: int, line: dict[str, Any]) -> Found:
    try:
        return Mapped(number, line, FORMATS[vendor](line))
    except Unmappable as error:
        return BadLine(number, str(error))


def _read_dump(dump: Dump, stream: BinaryIO, names: Names) -> Iterator[Found]:
    with closing(Spill()) as spill:
        for number, line in read_lines(stream):
            bad = line if isinstance(line, BadLine) else _put(dump, spill, number, line, names)
            if bad is not None:
                yield bad
        spill.close_input()
        for number in spill.attached():
            yield Joined(number)
        for number in spill.alone():
            yield BadLine(number, dump.orphaned) if dump.orphaned else Joined(number)
        for told in spill.events():
            try:
                yield Mapped(told.row.number, told.row.line, dump.event(told, names))
            except Unmappable as error:
                yield BadLine(told.row.number, str(error))


def _put(dump: Dump, spill: Spill, number: int, line: dict[str, Any], names: Names) -> BadLine | None:
    try:
        storable(line)
        row = row_of(number, line)
        spill.put(row, dump.place(row, names))
    except Unmappable as error:
        return BadLine(number, str(error))
    return None
