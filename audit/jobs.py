"""What the schedule calls: short functions that find their work themselves, may run anywhere, and at any time again.

They know no engine. Each looks up which tenants have something due, and works in units of work of those alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic

import structlog

from audit import export, exports
from audit.api import asking
from audit.export import Unit
from audit.exports import Written
from audit.models import AuditExport
from tenants import gate
from tenants.context import SYSTEM, Origin, tenant_scope
from tenants.errors import BadInput
from tenants.gate import TenantRef

_WORK = AuditExport._meta.db_table  # noqa: SLF001 - the table's name is what the gate is asked for
log = structlog.get_logger("daybook.exports")


class _Lost(Exception):
    """Another worker has taken the job meanwhile."""


def run_exports() -> int:
    """Write the files of all exports that wait, one after the other; return how many have become ready.

    It takes as long as the files take. Several may run at a time: no job is worked at by two. Tenants take turns, one
    export each, so that who asks for many is waited for by nobody else.
    """
    ready = list[AuditExport]()
    while _everywhere(partial(_turn, ready)):
        pass
    return len(ready)


def expire_exports() -> int:
    """Remove the files of exports that are kept no longer; return how many."""
    return _everywhere(_expired)


def _everywhere(work: Callable[[Unit], int]) -> int:
    """Do a work for each tenant that has something due; one in which it cannot be done holds up no other."""
    done = 0
    for tenant in gate.due(_WORK):
        try:
            done += work(_unit(tenant))
        except Exception:
            log.exception("exports_stuck", tenant=tenant.slug)
    return done


def _unit(tenant: TenantRef) -> Unit:
    return partial(tenant_scope, tenant, actor=SYSTEM, origin=Origin(source="job", user_agent="exports"))


def _expired(unit: Unit) -> int:
    with unit():
        return exports.expire()


def _turn(ready: list[AuditExport], unit: Unit) -> int:
    """Try to write one export of a tenant, if one waits; add it to those that are ready. Return how many were tried."""
    job = _claimed(unit)
    if job is None:
        return 0
    if _attempted(unit, job):
        ready.append(job)
    return 1


def _claimed(unit: Unit) -> AuditExport | None:
    with unit():
        return exports.claim()


def _attempted(unit: Unit, job: AuditExport) -> bool:
    """Try to write a job's file; tell whether it has become ready. An attempt that fails is made again later."""
    try:
        if _written(unit, job):
            return True
    except _Lost:
        log.warning("export_lost", export=str(job.pk))
    except BadInput:
        # The filter was one when it was asked for: this release reads it no more, and will not later.
        log.exception("export_refused", export=str(job.pk))
        with unit():
            exports.fail(job)
    except Exception:
        # A disk that is full, a database that was away: whatever it is, the next attempt may do better.
        log.exception("export_broke_off", export=str(job.pk), attempt=job.attempts)
        with unit():
            exports.postpone(job)
    exports.remove(job.file)
    return False


def _written(unit: Unit, job: AuditExport) -> bool:
    asked = asking.read(asking.parameters(job.parameters, job.format, compress=job.compress))
    found = _Counted(unit, job, export.pages(unit, asked.filter, job.until))
    file = Written(export.stream(asked.form, found, compress=asked.compress), str(job.file))
    exports.storage().save(str(job.file), file)
    with unit():
        return exports.finish(job, file, found.entries)


class _Counted:
    """Pages of a job: counted, and between them the worker says that it lives. Raises _Lost."""

    def __init__(self, unit: Unit, job: AuditExport, pages: Iterator[list[str]]) -> None:
        self.entries = 0
        self._unit, self._job, self._pages, self._said = unit, job, pages, monotonic()

    def __iter__(self) -> Iterator[list[str]]:
        for page in self._pages:
            self.entries += len(page)
            if monotonic() - self._said > exports.LEASE.total_seconds() / 8:
                self._say()
            yield page

    def _say(self) -> None:
        with self._unit():
            if not exports.still_claimed(self._job, self.entries):
                raise _Lost
        self._said = monotonic()
