"""Migrate the schemas of all tenants: what a migration does is found out once, and replayed in each schema.

A ledger (TenantMigration) says in one query who lacks what. Each pair of tenant and migration is one transaction
that also writes its row there, so a run that was killed goes on where it stopped. Failures are noted as well.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import DatabaseError, ProgrammingError, transaction
from django.db.migrations.executor import MigrationExecutor
from django_tenants.migration_executors.standard import StandardExecutor
from psycopg import errors

from tenants import template
from tenants.errors import Conflict, NotFound
from tenants.owner.access import OWNER, owners_connection
from tenants.template import Key, Step

UNMIGRATED = "The database has not been migrated to this release: run `manage.py upgrade`."
JOBS, MAX_FAILURES, LOCK_TIMEOUT = 2, 1, 5.0
# How often a migration waits for --lock-timeout before it counts as failed.
_ATTEMPTS = 3

_BEHIND = """
SELECT t.id, t.slug, t.schema_name,
       coalesce(jsonb_agg(jsonb_build_array(m.app, m.name)) FILTER (WHERE m.state = 'applied'), '[]')::text
  FROM shared.tenants_tenant AS t LEFT JOIN shared.tenants_tenantmigration AS m ON m.tenant_id = t.id
 WHERE %(only)s::text[] IS NULL OR t.slug = ANY(%(only)s) OR t.schema_name = ANY(%(only)s)
 GROUP BY t.id
HAVING count(*) FILTER (WHERE m.state = 'applied'
         AND (m.app, m.name) IN (SELECT * FROM unnest(%(apps)s::text[], %(names)s::text[]))) < %(count)s
 ORDER BY t.slug
"""
_NOTE = """
INSERT INTO shared.tenants_tenantmigration AS m (tenant_id, app, name, state, error)
SELECT t.id, %s, %s, %s, %s FROM shared.tenants_tenant AS t WHERE t.id = %s FOR KEY SHARE
ON CONFLICT (tenant_id, app, name) DO UPDATE SET state = excluded.state, error = excluded.error, changed_at = now()
 WHERE m.state <> 'applied'
"""

_APPLIED = """
SELECT EXISTS (SELECT FROM shared.tenants_tenantmigration
                WHERE tenant_id = %s AND app = %s AND name = %s AND state = 'applied')
"""
# Of what a migration says when it fails, at most so many characters are kept.
_MAX_ERROR = 500


class Busy(Conflict):
    """Another run migrates the tenants of this database now: let it end, and run this again."""


@dataclass(frozen=True, slots=True)
class Behind:
    """A tenant that lacks migrations, and those that it has."""

    id: UUID
    slug: str
    schema_name: str
    applied: frozenset[Key]


@dataclass(frozen=True, slots=True)
class Failure:
    """A migration that failed in a tenant, which is as it was before it."""

    slug: str
    migration: str
    error: str


@dataclass(slots=True)
class Outcome:
    """What a run did: how many tenants it brought up to date, how many it did not come to, what failed."""

    migrated: int = 0
    left: int = 0
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How to run: connections at once, failures after which no other tenant is begun, seconds to wait for a lock."""

    jobs: int = JOBS
    max_failures: int = MAX_FAILURES
    lock_timeout: float = LOCK_TIMEOUT
    # Called with (tenants done, tenants in all) whenever one more is done.
    progress: Callable[[int, int], object] = lambda _done, _total: None


def behind(only: Collection[str] | None = None) -> list[Behind]:
    """Return the tenants that lack migrations, in one query; of those named by slug or schema if `only` is given."""
    wanted = template.wanted()
    asked = None if only is None else list(only)
    apps, names = [key[0] for key in wanted], [key[1] for key in wanted]
    with owners_connection().cursor() as cursor:
        _check_names(cursor, asked)
        cursor.execute(_BEHIND, {"only": asked, "apps": apps, "names": names, "count": len(wanted)})
        return [
            Behind(tenant, slug, schema, frozenset((app, name) for app, name in json.loads(applied)))
            for tenant, slug, schema, applied in cursor.fetchall()
        ]


def plan(only: Collection[str] | None = None) -> tuple[list[str], dict[str, int]]:
    """Return the shared schema's pending migrations, and how many tenants lack each of the tenants' migrations."""
    lacking = Counter(key for tenant in behind(only) for key in _lacks(tenant.applied))
    tenants = {".".join(key): lacking[key] for key in template.wanted() if lacking[key]}
    # Django notes the tenants' migrations in the shared schema too, where they do nothing.
    own = {".".join(key) for key in template.wanted()}
    return [name for name in _shared_pending() if name not in own], tenants


def run(only: Collection[str] | None = None, manner: Manner | None = None, *, shared: bool = True) -> Outcome:
    """Bring the shared schema up to date (if `shared`), then the tenants. Raises Busy, NoOwner, NotFound, Unreplayable.

    A failure in a tenant is no exception: see `Outcome.failures`. Tenants that the release before makes meanwhile are
    migrated as well: it ends when it finds none behind but those that it has tried.
    """
    with _alone():
        if shared and _shared_pending():
            call_command("migrate_schemas", shared=True, verbosity=0)
        run, tried = _Run(manner or Manner()), set[UUID]()
        while not run.stopped and (found := [tenant for tenant in behind(only) if tenant.id not in tried]):
            tried |= {tenant.id for tenant in found}
            run.go([(tenant, made) for tenants, made in _groups(found) for tenant in tenants])
        return run.outcome


class _Run:
    """One run over the tenants that are behind: threads, each with a connection, take the next tenant in turn."""

    def __init__(self, manner: Manner) -> None:
        self._manner, self._total, self._lock = manner, 0, Lock()
        self._work: Iterator[tuple[Behind, template.Template]] = iter(())
        self.stopped = False
        self.outcome = Outcome()

    def go(self, work: list[tuple[Behind, template.Template]]) -> None:
        self._work = iter(work)
        self._total += len(work)
        self.outcome.left += len(work)
        jobs = min(self._manner.jobs, len(work))
        with ThreadPoolExecutor(jobs, thread_name_prefix="migrate") as threads:
            try:
                for ended in [threads.submit(self._take) for _ in range(jobs)]:
                    ended.result()
            except BaseException:
                # Ctrl-C as well: tenants that are begun are ended, no other is begun.
                self.stopped = True
                raise

    def _take(self) -> None:
        served = 0
        try:
            while (job := self._next()) is not None:
                # A session grows with each schema that it has worked in.
                if served and served % settings.CONNECTION_MAX_TENANTS == 0:
                    owners_connection().close()
                self._report(self._migrate(*job))
                served += 1
        except BaseException:
            self.stopped = True
            raise
        finally:
            owners_connection().close()

    def _next(self) -> tuple[Behind, template.Template] | None:
        with self._lock:
            return None if self.stopped else next(self._work, None)

    def _migrate(self, tenant: Behind, made: template.Template) -> Failure | None:
        for step in made.steps:
            base = () if tenant.applied or step is not made.steps[0] else made.base
            try:
                _patiently(tenant, base, step, self._manner.lock_timeout)
            except _Gone:
                return None
            except Exception as error:  # noqa: BLE001 - a migration's Python may raise anything
                if failure := _note_failure(tenant, step, error):
                    return failure
        return None

    def _report(self, failure: Failure | None) -> None:
        with self._lock:
            self.outcome.left -= 1
            if failure is None:
                self.outcome.migrated += 1
            else:
                self.outcome.failures.append(failure)
                # Never taken back: another thread, or Ctrl-C, may have stopped the run before.
                if len(self.outcome.failures) >= self._manner.max_failures:
                    self.stopped = True
            self._manner.progress(self._total - self.outcome.left, self._total)


class _Gone(Exception):
    """The tenant was dropped meanwhile."""


def _patiently(tenant: Behind, base: tuple[str, ...], step: Step, lock_timeout: float) -> None:
    """Apply a step; where a lock is not to be had, try again."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _apply(tenant, base, step, lock_timeout)
        except DatabaseError as error:
            waited = isinstance(error.__cause__, errors.LockNotAvailable | errors.DeadlockDetected)
            if not waited or attempt == _ATTEMPTS:
                raise
    return None


def _apply(tenant: Behind, base: tuple[str, ...], step: Step, lock_timeout: float) -> None:
    connection = owners_connection()
    with transaction.atomic(using=OWNER), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = {round(lock_timeout * 1000):d}")
        # Whoever drops the tenant waits, or has dropped it: without its schema, tables would be made in the shared one.
        # So does another run, should the lock of this one have been lost with its connection.
        cursor.execute("SELECT 1 FROM shared.tenants_tenant WHERE id = %s FOR NO KEY UPDATE", [tenant.id])
        if cursor.fetchone() is None:
            raise _Gone
        cursor.execute(_APPLIED, [tenant.id, *step.key])
        if cursor.fetchone()[0]:
            return
        if base:
            with connection.in_schema(tenant.schema_name):
                template.replay(connection, base)
        template.apply(connection, tenant.schema_name, step)
        cursor.execute(_NOTE, [*step.key, "applied", "", tenant.id])


def _note_failure(tenant: Behind, step: Step, error: Exception) -> Failure | None:
    """Tell the ledger, in a transaction of its own: that of the migration is rolled back.

    Returns None if the tenant was dropped meanwhile, or has the migration by another run.
    """
    said = _said(error)
    with transaction.atomic(using=OWNER), owners_connection().cursor() as cursor:
        cursor.execute(_NOTE, [*step.key, "failed", said, tenant.id])
        return Failure(tenant.slug, ".".join(step.key), said) if cursor.rowcount else None


def _said(error: Exception) -> str:
    """Return what went wrong, without PostgreSQL's details: they hold rows, and this is stored and printed."""
    cause = error.__cause__ if isinstance(error, DatabaseError) else error
    primary = cause.diag.message_primary if isinstance(cause, errors.Error) else None
    return f"{type(error).__name__}: {primary or str(error).partition(chr(10))[0]}".strip()[:_MAX_ERROR]


def _lacks(applied: frozenset[Key]) -> list[Key]:
    return [key for key in template.wanted() if key not in applied]


def _groups(tenants: list[Behind]) -> Iterator[tuple[list[Behind], template.Template]]:
    """Yield the tenants in the same state together, with what that state lacks."""
    states: dict[frozenset[Key], list[Behind]] = {}
    for tenant in tenants:
        states.setdefault(tenant.applied, []).append(tenant)
    for applied, together in states.items():
        yield together, template.compile_pending(applied)


def _check_names(cursor: Any, only: list[str] | None) -> None:
    """Raise NotFound if there is no such tenant."""
    if not only:
        return
    known = "SELECT 1 FROM shared.tenants_tenant WHERE slug = asked OR schema_name = asked"
    cursor.execute(f"SELECT asked FROM unnest(%s::text[]) AS asked WHERE NOT EXISTS ({known})", [only])  # noqa: S608
    if unknown := [repr(row[0]) for row in cursor.fetchall()]:
        raise NotFound(f"There is no tenant {', '.join(unknown)}; `manage.py tenants list` shows them all.")


def _shared_pending() -> list[str]:
    executor = MigrationExecutor(owners_connection())
    return [f"{step.app_label}.{step.name}" for step, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]


@contextmanager
def _alone() -> Iterator[None]:
    """Hold a lock that one run at a time gets, on a connection of its own, so that it ends with the process."""
    owner = owners_connection()
    with owner.get_new_connection(owner.get_connection_params()) as connection, connection.transaction():
        found = connection.execute("SELECT pg_try_advisory_xact_lock(hashtext('daybook.migrate'))").fetchone()
        if not found[0]:
            raise Busy
        yield


class OwnersExecutor(StandardExecutor):  # type: ignore[misc]
    """What `manage.py migrate_schemas` calls: the shared schema as ever, the tenants' by this room."""

    def run_migrations(self, tenants: Any = None) -> None:
        """Migrate the schemas of a list of names, or of all tenants (a queryset of names)."""
        if isinstance(tenants, list) and self.PUBLIC_SCHEMA_NAME in tenants:
            super().run_migrations([self.PUBLIC_SCHEMA_NAME])
            return
        asked = self.options.get("app_label")
        if asked is None or asked in {app for app, _ in template.wanted()}:
            self._tenants(tenants if isinstance(tenants, list) else None)

    def _tenants(self, only: list[str] | None) -> None:
        for option in ("migration_name", "fake", "fake_initial", "prune", "run_syncdb"):
            if self.options.get(option):
                raise CommandError(f"Tenants' schemas only go forward, to the newest state: leave out {option!r}.")
        if self.options.get("plan") or self.options.get("check_unapplied"):
            pending = self._plan(only)
            for name, count in pending.items():
                print(f"{name}: {count} tenants")  # noqa: T201 - as Django's own plan
            if pending and self.options.get("check_unapplied"):
                raise SystemExit(1)
            return
        outcome = run(only, shared=False)
        if outcome.failures:
            first = outcome.failures[0]
            raise CommandError(f"{first.migration} failed in {first.slug}: {first.error}")
        if int(self.options.get("verbosity", 1)) > 0:
            print(f"{outcome.migrated:,} tenants migrated." if outcome.migrated else "Every tenant is up to date.")  # noqa: T201

    def _plan(self, only: list[str] | None) -> dict[str, int]:
        try:
            return plan(only)[1]
        except ProgrammingError as error:
            if isinstance(error.__cause__, errors.UndefinedTable):
                raise CommandError(UNMIGRATED) from error
            raise


def executor(codename: str | None = None) -> type[OwnersExecutor]:  # noqa: ARG001 - called by this name
    """Return the executor, whichever `--executor` is asked for (settings.GET_EXECUTOR_FUNCTION). Raises NoOwner."""
    owners_connection()
    return OwnersExecutor
