"""A tenant made from the template beside one made by migrations: rows, role, schema, grants, guards and the entry.

In turns, in transactions of the owner's login that are really committed. With the hooks means with what the other
applications do for a new tenant (a plan, and its entries), in a second transaction. By migrations is measured in two
ways: Django's executor in the same transaction, on the same connection; and django-tenants' own way, its backend and
its `migrate_schemas`, as its `Tenant.save` calls it.

All are dropped at the end: a file system may be slow to make files where many were deleted a minute ago.
"""

from __future__ import annotations

import secrets
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any
from unittest import mock

from django.core.management import call_command
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django_tenants.management.commands import migrate_schemas
from django_tenants.migration_executors import get_executor

from bench.base import Cost, Figure, cost, interleaved, percentile
from bench.tenants.stage import Stage, make
from tenants import provisioning, template
from tenants.models import Tenant
from tenants.owner.access import OWNER, owners_connection

ROUNDS, AIM, RATIO = 20, 50.0, 5.0
_STOCK = "django_tenants.postgresql_backend"


def run(stage: Stage) -> Iterator[Figure]:
    """Make a tenant of each kind per round."""
    made: list[Tenant] = []
    try:
        kinds = (_alone, _hooked, _by_django, _by_stock)
        alone, hooked, django, stock = interleaved(ROUNDS, *[_timer(kind, made) for kind in kinds])
        yield _figure(stage, "create a tenant: p50", alone, AIM)
        yield _figure(stage, "create a tenant, its hooks too: p50", hooked, AIM)
        yield _figure(stage, "by Django's executor: p50", django)
        yield _figure(stage, "by django-tenants' migrations: p50", stock)
        yield _ratio(stage, "template / Django's executor", alone, django)
        yield _ratio(stage, "template / django-tenants' migrations", alone, stock, 1 / RATIO)
    finally:
        drops = [_drop(tenant) for tenant in made]
    yield Figure(
        stage.at("drop a tenant: p50"), statistics.median(drops), "ms", None, f"p95 {percentile(drops, 95):.0f}"
    )


def _figure(stage: Stage, name: str, costs: Sequence[Cost], aim: float | None = None) -> Figure:
    clock = [one.clock * 1000 for one in costs]
    here, there = (statistics.median(getattr(one, part) for one in costs) * 1000 for part in ("here", "there"))
    note = f"quickest {min(clock):.0f}, p95 {percentile(clock, 95):.0f} ms; CPU {here:.0f} here, {there:.0f} there"
    return Figure(stage.at(name), statistics.median(clock), "ms", aim, note)


def _ratio(stage: Stage, name: str, fast: Sequence[Cost], slow: Sequence[Cost], aim: float | None = None) -> Figure:
    """Return the part of the time that is left: an aim is the most that a figure should be."""
    left = statistics.median(one.clock / other.clock for one, other in zip(fast, slow, strict=True))
    return Figure(stage.at(name), left, "times", aim, f"{1 / left:.1f} times as fast")


def _timer(create: Callable[[str], Tenant], made: list[Tenant]) -> Callable[[], Cost]:
    def work() -> None:
        made.append(create(f"new-{secrets.token_hex(4)}"))

    def timed() -> Cost:
        owners_connection().ensure_connection()
        return cost(work, 1, owners_connection().connection.info.backend_pid)

    return timed


def _drop(tenant: Tenant) -> float:
    began = perf_counter()
    provisioning.drop_tenant(tenant)
    return (perf_counter() - began) * 1000


def _hooked(slug: str) -> Tenant:
    return make(slug)


def _alone(slug: str) -> Tenant:
    with without_hooks():
        return make(slug)


def _by_django(slug: str) -> Tenant:
    with _built_by(_executor):
        return _alone(slug)


def _by_stock(slug: str) -> Tenant:
    with _built_by(lambda _connection, _tenant, _made: None):
        tenant = _alone(slug)
    with _stock_owner(), mock.patch.object(migrate_schemas, "GET_EXECUTOR_FUNCTION", get_executor):
        call_command("migrate_schemas", schema_name=tenant.schema_name, tenant=True, interactive=False, verbosity=0)
    return tenant


def _executor(connection: Any, tenant: Tenant, _made: template.Template) -> None:
    """Build a schema as Django does: one migration after the other."""
    apps = {app for app, _ in template.wanted()}
    with connection.in_schema(tenant.schema_name):
        executor = MigrationExecutor(connection)
        executor.migrate([node for node in executor.loader.graph.leaf_nodes() if node[0] in apps])


@contextmanager
def _built_by(build: Callable[[Any, Tenant, template.Template], None]) -> Iterator[None]:
    """Make schemas in another way in the block."""
    ours = provisioning._build  # noqa: SLF001
    setattr(provisioning, "_build", build)  # noqa: B010 - of another name's type
    try:
        yield
    finally:
        setattr(provisioning, "_build", ours)  # noqa: B010


@contextmanager
def _stock_owner() -> Iterator[None]:
    """Let the owner's alias be django-tenants' own backend in the block."""
    ours, given = connections[OWNER], connections.settings[OWNER]
    connections.settings[OWNER] = {**given, "ENGINE": _STOCK}
    del connections[OWNER]
    try:
        yield
    finally:
        connections[OWNER].close()
        connections.settings[OWNER] = given
        connections[OWNER] = ours


@contextmanager
def without_hooks() -> Iterator[None]:
    """Make tenants by provisioning alone in the block."""
    hooks = provisioning.on_created[:]
    provisioning.on_created.clear()
    try:
        yield
    finally:
        provisioning.on_created.extend(hooks)
