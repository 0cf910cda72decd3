"""The tenants that stand on the server of a run."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from django.conf import settings
from django.db import connections

from bench.base import Bench, Figure
from subscriptions.models import Plan
from tenants import logins, provisioning
from tenants.context import SYSTEM, platform_scope
from tenants.models import Tenant
from tenants.owner.access import OWNER
from tenants.provisioning import owner_scope

THREADS = 2


@dataclass(frozen=True)
class Stage:
    """A run at one number of tenants, all of them listed."""

    bench: Bench
    tenants: list[Tenant]

    @property
    def count(self) -> int:
        """How many tenants there are."""
        return len(self.tenants)

    def at(self, what: str) -> str:
        """Return a figure's name with the number of tenants."""
        return f"{what}, at {self.count:,} tenants"


def standing(bench: Bench) -> int:
    """Return how many tenants there are."""
    return int(ask(bench, "SELECT count(*) FROM shared.tenants_tenant")[0][0])


def ask(bench: Bench, query: str, *parameters: Any) -> list[Any]:
    """Return the rows of a query of the superuser's."""
    with bench.admin() as admin:
        return admin.execute(query.encode(), parameters or None).fetchall()


def populate(bench: Bench, count: int) -> tuple[Stage, list[Figure]]:
    """Make tenants until there are `count`, and say what each took: milliseconds, disk and rows of catalogs."""
    with platform_scope(actor=SYSTEM):
        Plan.objects.get_or_create(slug="free", defaults={"name": "Free"})
    for left in Tenant.objects.using(OWNER).filter(slug__startswith="new-"):  # by a run that was killed
        provisioning.drop_tenant(left)
    before, began = _sizes(bench), perf_counter()
    there, first = ask(bench, _NUMBERS)[0]
    _make(range(first, first + count - there))
    took, after = perf_counter() - began, _sizes(bench)
    stage = Stage(bench, list(Tenant.objects.using(OWNER).order_by("slug")))
    for tenant in stage.tenants:
        tenant._state.db = tenant.shard  # noqa: SLF001 - they are the application's from here on
    return stage, _growth(stage, count - there, took, before, after) if count > there else []


def make(slug: str) -> Tenant:
    """Make one tenant."""
    return provisioning.create_tenant(slug=slug, name=slug, domain=f"{slug}.localhost")


def _make(numbers: range) -> None:
    """Make tenants in two threads: while one waits for its commit, the other works."""
    rest, done, stopped = iter(numbers), 0, False

    def work() -> None:
        nonlocal done
        try:
            while not stopped and (number := next(rest, None)) is not None:
                make(f"bench-{number:05}")
                done += 1
                if done % 500 == 0:
                    print(f"    {done:,} of {len(numbers):,} tenants made", flush=True)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(THREADS) as threads:
        try:
            for ended in [threads.submit(work) for _ in range(THREADS)]:
                ended.result()
        finally:
            stopped = True  # Ctrl-C as well


_NUMBERS = """
SELECT count(*), coalesce(max(substring(slug FROM '^bench-([0-9]+)$')::int), 0) + 1 FROM shared.tenants_tenant
"""
_SIZES = """
SELECT pg_database_size(current_database()),
       (SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace),
       (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_attribute)
"""


def _sizes(bench: Bench) -> list[float]:
    return [float(value) for value in ask(bench, _SIZES)[0]]


def _growth(stage: Stage, made: int, took: float, before: list[float], after: list[float]) -> list[Figure]:
    disk, catalogs, classes, columns = ((later - earlier) / made for later, earlier in zip(after, before, strict=True))
    return [
        Figure(stage.at("made in two threads, each"), took / made * 1000, "ms", None, f"{made:,} in {took:.0f} s"),
        Figure(stage.at("disk of an empty tenant"), disk / 1024, "KB", None, f"{catalogs / 1024:.0f} KB are catalogs"),
        Figure(stage.at("pg_class rows of a tenant"), classes, "", None, f"{columns:.0f} rows of pg_attribute"),
    ]


@contextmanager
def crowded(stage: Stage) -> Iterator[str]:
    """Within the block there is a login that may take on the role of every tenant, as no cell's login may."""
    login = f"{settings.DATABASE_ROLE_PREFIX}_bench_{secrets.token_hex(4)}"
    with owner_scope(SYSTEM, None) as connection, connection.cursor() as cursor:
        logins.create(cursor, login)
    with stage.bench.admin() as admin, admin.transaction():
        for tenant in stage.tenants:
            logins.grant(admin, tenant, login)
    try:
        yield login
    finally:
        connections["default"].close()
        connections["default"].close_pool()  # type: ignore[attr-defined]
        with stage.bench.admin() as admin:
            admin.execute(f"DROP OWNED BY {login}; DROP ROLE {login}".encode())


@contextmanager
def dropped_afterwards() -> Iterator[list[Tenant]]:
    """Drop the tenants that the block has put into the list."""
    made: list[Tenant] = []
    try:
        yield made
    finally:
        for tenant in made:
            provisioning.drop_tenant(tenant)
