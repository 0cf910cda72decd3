"""A filtered trail as a file of any size, in memory that does not grow: pages of lines of JSON, made into bytes.

PostgreSQL itself writes each entry as its line (`sql/line.sql`). Who reads slowly holds no transaction: each page is a
short unit of work of its own. Together they show what had been recorded when the export began, from the oldest on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.models import F, TextField
from django.db.models.expressions import RawSQL

import audit.sql
from audit import ledger, query
from audit.entry import first_id, millis_of
from audit.events import Event, Operation, Party
from audit.formats import FILES
from audit.formats.file import Gzipped, Writer
from audit.integrity.positions import Positions
from audit.models import AuditLog
from audit.query import Filter
from tenants.context import Scope, TenantLike, current_scope, tenant_scope
from tenants.errors import NoScope

Unit = Callable[[], AbstractContextManager[Scope]]

# Without what it says of itself. Django's queries number their parameters.
_SCRIPT = (Path(audit.sql.__path__[0]) / "line.sql").read_text(encoding="utf-8")
_LINE = "".join(line for line in _SCRIPT.splitlines(keepends=True) if not line.startswith("--"))
_LINE = _LINE.replace("%(tenant)s", "%s")
# Where a line says its id.
_ID = slice(len('{"id":"'), len('{"id":"') + 36)
# And that it has no position.
_NULL = slice(_ID.stop + len('","position":'), _ID.stop + len('","position":null'))
_PLACES = """SELECT entry.id::text, number * {block} + entry.place - 1
FROM {table}, unnest(ids) WITH ORDINALITY AS entry(id, place) WHERE span && int8range(%s, %s, '[]')"""
# A page ends with so many characters, whatever the entries' size: it is all that is held of the trail at a time.
_PAGE = 4 * 1024 * 1024
_FETCH = 250
# How many entries a page looks at; it grows while few of them are met, for as long as looking takes no time.
_LEAST, _REACH, _MOST = 500, 8_000, 512_000
_FEW, _QUICK, _SLOW = 1_000, 0.1, 0.5


def reopened() -> Unit:
    """Return what opens units of work like the open one, after its end: same tenant, actor and origin. Raises NoScope.

    An answer that is streamed goes out when the request's own unit is committed.
    """
    scope = current_scope()
    return partial(tenant_scope, _tenant(scope), actor=scope.actor, origin=scope.origin)


def bound() -> UUID:
    """Return the id that an entry would get now: an export that begins now ends before it."""
    with connections[current_scope().alias].cursor() as cursor:
        cursor.execute("SELECT guard.new_id()")
        found: UUID = cursor.fetchone()[0]
        return found


def record(action: str, said: dict[str, Any], resource: Party | None = None) -> None:
    """Write in the open unit of work that the trail leaves (`trail.exported` and the like), and how."""
    tenant = _tenant(current_scope())
    about = resource or Party("trail", str(tenant.id), tenant.slug)
    ledger.append(AuditLog, [Event(action=action, resource=about, operation=Operation.READ, metadata=said)])


def pages(unit: Unit, wanted: Filter, until: UUID) -> Iterator[list[str]]:
    """Yield the entries before an id, oldest first, as lines of JSON; each page is read in a `unit` of its own.

    No page is empty. It is yielded outside of the unit, so nothing is held while the caller takes his time.
    """
    after, end, reach = _begin(wanted), None, _REACH
    while after.int + 1 < until.int:
        began = perf_counter()
        with unit() as scope:
            tenant = _tenant(scope)
            end = end or _reached(after, until, reach)
            lines, whole = _read(tenant, wanted, after, end)
            lines = _placed(scope, lines)
        took = perf_counter() - began
        if not whole:
            after, reach = UUID(lines[-1][_ID]), max(_LEAST, reach // 2)
        else:
            after, end, reach = UUID(int=end.int - 1), None, _adapted(reach, len(lines), took)
        if lines:
            yield lines


def stream(form: str, found: Iterable[list[str]], *, compress: bool) -> Generator[bytes]:
    """Yield a file (one of `formats.FILES`) of pages of lines, in parts.

    If the pages fail, the file ends with a mark that entries are missing, and the error is let out after it: a
    connection that is then cut says so as well.
    """
    writer: Writer = FILES[form].writer()
    if compress:
        writer = Gzipped(writer)
    try:
        yield from filter(None, _parts(writer, found))
    except Exception:
        if mark := writer.broken():
            yield mark
        raise


def _parts(writer: Writer, found: Iterable[list[str]]) -> Iterator[bytes]:
    yield writer.begin()
    yield from map(writer.page, found)
    yield writer.end()


def _tenant(scope: Scope) -> TenantLike:
    if scope.tenant is None:
        raise NoScope("A tenant's trail is exported in a tenant's scope.")
    return scope.tenant


def _begin(wanted: Filter) -> UUID:
    """Return the id after which the first entry may be."""
    since = wanted.since and first_id(wanted.since)
    return UUID(int=max(0, since.int - 1)) if since else UUID(int=0)


def _reached(after: UUID, until: UUID, reach: int) -> UUID:
    """Return the id before which a page ends that looks at `reach` entries."""
    ids = AuditLog.objects.filter(id__gt=after, id__lt=until).order_by("id").values_list("id", flat=True)
    found: UUID | None = next(iter(ids[reach : reach + 1]), None)
    return found or until


def _read(tenant: TenantLike, wanted: Filter, after: UUID, end: UUID) -> tuple[list[str], bool]:
    """Return lines of the entries between two ids, and whether that is all of them."""
    entries = query.matching(AuditLog.objects.filter(id__gt=after, id__lt=end), wanted)
    whose = json.dumps({"id": str(tenant.id), "slug": tenant.slug}, separators=(",", ":"))
    # Named for the sake of its join, on which the line relies.
    joined = entries.annotate(agent_text=F("agent__user_agent"), line=RawSQL(_LINE, [whose], TextField()))  # noqa: S611
    lines: list[str] = []
    size = 0
    for agent_and_line in joined.by_id(ascending=True).values_list("agent_text", "line").iterator(chunk_size=_FETCH):
        lines.append(agent_and_line[1])
        size += len(lines[-1])
        if size >= _PAGE:
            return lines, False
    return lines, True


def _placed(scope: Scope, lines: list[str]) -> list[str]:
    """Return lines with the positions of those entries that have one by now: the line itself says null."""
    if not lines:
        return lines
    positions, ids = Positions(AuditLog, scope.alias), [line[_ID] for line in lines]
    if len(lines) < _FEW:
        known = {str(key): place for key, place in positions.of([UUID(key) for key in ids]).items()}
    else:
        # All that stand in these milliseconds, which is quicker than to look for each.
        first, last = (millis_of(UUID(key)) for key in (ids[0], ids[-1]))
        known = dict(positions.rows(_PLACES, first, last))
    return [
        line if (place := known.get(key)) is None else f"{line[: _NULL.start]}{place}{line[_NULL.stop :]}"
        for key, line in zip(ids, lines, strict=True)
    ]


def _adapted(reach: int, found: int, took: float) -> int:
    """Return how many entries the next page looks at."""
    if took > _SLOW:
        return max(_LEAST, reach // 2)
    return min(_MOST, reach * 2) if found < _FEW and took < _QUICK else reach
