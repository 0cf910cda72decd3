"""`manage.py tenants migrate` over all tenants: nothing to do; a column and an index; the same, killed and resumed.

Each is a process of its own, as an operator runs it, on a hardened database. Whether anything was done twice is
asked of the ledger (when was it noted), of Django's table in each schema (how often), and of the catalogs (is the
index the one that the first run made). Afterwards all of it is taken back by SQL, so that it can be done again.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from bench.base import Bench, Figure
from bench.tenants.commands import Scratch, Took, scratch, start, timed
from bench.tenants.stage import Stage, ask
from tenants import hardening

JOBS, ROUNDS = 2, 3
NAME, TABLE, COLUMN = "0990_bench", "audit_answer", "bench_scratch"
TRAIL = "audit_log"
NOTHING, CHANGE = "migrate, nothing to do", f"migrate, a column and an index, {JOBS} jobs"
# Aims are for a thousand tenants.
_MANY, _NOTHING_AIM, _CHANGE_AIM, _GROWTH_AIM = 1000, 3.0, 15.0, 6.0
_KILL_AFTER = 0.4
_COMMAND = ("tenants", "migrate", "--jobs", str(JOBS))


def run(stage: Stage) -> Iterator[Figure]:
    """Time each, some of them several times."""
    few = stage.count <= _MANY
    times = [timed(*_COMMAND) for _ in range(ROUNDS)]
    yield _median(stage, NOTHING, times, _NOTHING_AIM if few else None)
    changes = [_change(stage, TABLE) for _ in range(ROUNDS if few else 1)]
    yield _median(stage, CHANGE, changes, _CHANGE_AIM if few else None)
    yield from _killed(stage, _CHANGE_AIM if few else None)
    yield from _on_the_trail(stage)


def growth(figures: Sequence[Figure]) -> Iterator[Figure]:
    """Yield how the time of a change grew with the tenants, if it was measured at two numbers of them."""
    found = [figure for figure in figures if figure.name.startswith(f"{CHANGE}, at ")]
    if len(found) == 2:
        few, many = found
        sizes = " / ".join(figure.name.split()[-2] for figure in (many, few))
        yield Figure(f"{CHANGE}: time({sizes})", many.value / few.value, "times", _GROWTH_AIM)


def _median(stage: Stage, name: str, runs: list[Took], aim: float | None) -> Figure:
    times, cpu = [run.clock for run in runs], statistics.median(run.cpu for run in runs)
    note = f"quickest {min(times):.1f}, slowest {max(times):.1f} s; {cpu:.1f} s of CPU in its process"
    return Figure(stage.at(name), statistics.median(times), "s", aim, note)


def _change(stage: Stage, table: str) -> Took:
    """Return how long it takes to give each tenant's table a column and an index. Undone afterwards."""
    with _prepared(stage, table) as migration:
        took = timed(*_COMMAND, scratch=migration)
        after = _state(stage.bench, table)
        assert len(after.complete) == stage.count, f"{len(after.complete)} of {stage.count} are migrated"
    return took


@contextmanager
def _prepared(stage: Stage, table: str) -> Iterator[Scratch]:
    """Give a migration that adds a column and an index, and take back what it did at the end."""
    change = f"ALTER TABLE {table} ADD COLUMN {COLUMN} text; CREATE INDEX {COLUMN} ON {table} ({COLUMN})"
    with scratch(NAME, change) as migration:
        try:
            yield migration
        finally:
            _undo(stage, table)


def _undo(stage: Stage, table: str) -> None:
    with stage.bench.admin() as admin:
        for tenant in stage.tenants:
            place = tenant.schema_name
            admin.execute(
                f"ALTER TABLE {place}.{table} DROP COLUMN IF EXISTS {COLUMN};"
                f"DELETE FROM {place}.django_migrations WHERE name = '{NAME}'".encode()
            )
        admin.execute("DELETE FROM shared.django_migrations WHERE name = %s", [NAME])
        admin.execute("DELETE FROM shared.tenants_tenantmigration WHERE name = %s", [NAME])


@dataclass(frozen=True)
class _State:
    """By schema: when the ledger noted the migration; the index's number; how often the column, and Django's row."""

    ledger: dict[str, Any]
    indexes: dict[str, int]
    columns: dict[str, int]
    noted: dict[str, int]

    @property
    def touched(self) -> set[str]:
        """The schemas that show any of it."""
        return {*self.ledger, *self.indexes, *self.columns, *(name for name, times in self.noted.items() if times)}

    @property
    def complete(self) -> set[str]:
        """The schemas that have all of it, once."""
        once = {name for name, times in self.noted.items() if times == 1 and self.columns.get(name) == 1}
        return once & self.ledger.keys() & self.indexes.keys()

    def again(self, before: _State) -> set[str]:
        """Return the schemas in which something was done that had been done before."""
        done = before.complete
        other = {name for name in done if self.ledger[name] != before.ledger[name]}
        return other | {name for name in done if self.indexes.get(name) != before.indexes[name]}


_LEDGER = """
SELECT t.schema_name, m.changed_at FROM shared.tenants_tenantmigration AS m
  JOIN shared.tenants_tenant AS t ON t.id = m.tenant_id WHERE m.name = %s AND m.state = 'applied'
"""
_INDEXES = """
SELECT n.nspname::text, c.oid::bigint FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relname = %s AND c.relkind IN ('i', 'I')
"""
_COLUMNS = """
SELECT n.nspname::text, count(*) FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE a.attname = %s AND c.relname = %s AND NOT a.attisdropped GROUP BY 1
"""


def _state(bench: Bench, table: str) -> _State:
    schemas = [row[0] for row in ask(bench, "SELECT schema_name FROM shared.tenants_tenant")]
    noted: dict[str, int] = {}
    with bench.admin() as admin:
        for schema in schemas:
            count = f"SELECT count(*) FROM {schema}.django_migrations WHERE name = '{NAME}'"
            noted[schema] = admin.execute(count.encode()).fetchone()[0]  # type: ignore[index]
    return _State(
        dict(ask(bench, _LEDGER, NAME)),
        dict(ask(bench, _INDEXES, COLUMN)),
        dict(ask(bench, _COLUMNS, COLUMN, table)),
        noted,
    )


def _killed(stage: Stage, aim: float | None) -> Iterator[Figure]:
    """Kill a run by SIGKILL when it has done a part of the tenants, and run it again."""
    with _prepared(stage, TABLE) as migration:
        first = _until_killed(stage, migration)
        before = _state(stage.bench, TABLE)
        rest = timed(*_COMMAND, scratch=migration)
        after = _state(stage.bench, TABLE)
    note = f"killed after {first:.1f} s with {len(before.complete):,} done; then: {rest.said}"
    yield Figure(stage.at("killed and resumed, both runs together"), first + rest.clock, "s", aim, note)
    half = before.touched - before.complete
    yield Figure(stage.at("tenants left half-way by the kill"), len(half), "", 0)
    yield Figure(stage.at("tenants in which anything was done twice"), len(after.again(before)), "", 0)
    yield Figure(stage.at("tenants not migrated in the end"), stage.count - len(after.complete), "", 0)


def _until_killed(stage: Stage, migration: Scratch) -> float:
    """Return how long the process ran until it was killed. Its connections have ended."""
    began = time.perf_counter()
    process = start(*_COMMAND, scratch=migration)
    _wait(lambda: len(ask(stage.bench, _LEDGER, NAME)) >= stage.count * _KILL_AFTER, process)
    process.kill()
    process.communicate()
    took = time.perf_counter() - began
    busy = "SELECT 1 FROM pg_stat_activity WHERE usename = %s AND datname = current_database() AND state <> 'idle'"
    _wait(lambda: not ask(stage.bench, busy, settings.DATABASE_OWNER_ROLE))
    return took


def _wait(done: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Poll until it is so. Raises AssertionError when the process ends before, or nothing happens for long."""
    deadline = time.monotonic() + 600
    while not done():
        assert process is None or process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < deadline, "waited for ten minutes"
        time.sleep(0.05)


def _on_the_trail(stage: Stage) -> Iterator[Figure]:
    """Change the trail itself: a partitioned table, which a hardened database lets migrations change when relaxed."""
    hardening.relax(stage.bench.superuser, reason="A benchmark migrates trails.")
    try:
        yield Figure(stage.at(f"{CHANGE}, of the trail itself"), _change(stage, TRAIL).clock, "s")
    finally:
        began = time.perf_counter()
        hardening.harden(stage.bench.superuser)
    yield Figure(stage.at("harden again"), time.perf_counter() - began, "s")
