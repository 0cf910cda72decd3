"""What the creation of a tenant costs the next unit of work on connections that other tenants are served by.

After any change of roles each connection lists anew whose roles its login may take on, at its next SET ROLE: the
more there are, the longer it takes. So beside a cell's login there is one that may take on all tenants' roles. New
tables also make connections forget what they know of others, which the time for reading a page shows.
"""

from __future__ import annotations

import secrets
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter

from django.db import connection

from audit import query
from audit.api.representation import represent
from audit.models import AuditLog
from audit.query import Order
from bench.base import Figure, percentile
from bench.tenants.creation import without_hooks
from bench.tenants.stage import Stage, crowded, dropped_afterwards, make
from tenants.context import SYSTEM, TenantLike, tenant_scope
from tenants.gate import TenantRef

ROUNDS = 24


def reference(tenant: TenantLike, login: str = "") -> TenantRef:
    """Return what the gate would tell of a tenant, served by a login (its own unless named)."""
    return TenantRef(
        tenant.id, tenant.slug, tenant.slug, tenant.schema_name, tenant.shard, "active", login or tenant.login
    )


def nothing(_tenant: TenantLike) -> None:
    """Send the smallest query there is."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def page(tenant: TenantLike) -> int:
    """Read a page of the trail as the API does; return how many entries it has."""
    entries = query.page(AuditLog.objects.prefetch_related("agent"), query.Filter(), Order.DESC, None, 100).entries
    return len([represent(entry, tenant) for entry in entries])


def unit(tenant: TenantLike, work: Callable[[TenantLike], object]) -> float:
    """Return the milliseconds of a unit of work."""
    began = perf_counter()
    with tenant_scope(tenant, actor=SYSTEM):
        work(tenant)
    return (perf_counter() - began) * 1000


@dataclass(frozen=True)
class _Sample:
    first: float
    second: float


def run(stage: Stage) -> Iterator[Figure]:
    """Time the first and the second unit of work after a creation, on a connection of each kind of login."""
    full = max(stage.tenants, key=lambda tenant: _size(stage, tenant.login))
    with crowded(stage) as login:
        served = {_size(stage, full.login): reference(full), stage.count: reference(full, login)}
        for work in (nothing, page):
            for tenants, samples in _sampled(served, work).items():
                yield from _figures(stage, work, tenants, samples)


def _size(stage: Stage, login: str) -> int:
    return sum(tenant.login == login for tenant in stage.tenants)


def _sampled(served: dict[int, TenantRef], work: Callable[[TenantLike], object]) -> dict[int, list[_Sample]]:
    samples: dict[int, list[_Sample]] = {tenants: [] for tenants in served}
    with dropped_afterwards() as made, without_hooks():
        for _ in range(ROUNDS):
            for tenant in served.values():
                unit(tenant, work)
            made.append(make(f"new-{secrets.token_hex(4)}"))
            for tenants, tenant in served.items():
                samples[tenants].append(_Sample(unit(tenant, work), unit(tenant, work)))
    return samples


def _figures(
    stage: Stage, work: Callable[[TenantLike], object], tenants: int, samples: list[_Sample]
) -> Iterator[Figure]:
    kind = "SELECT 1" if work is nothing else "a page"
    first, second = ([one.first for one in samples], [one.second for one in samples])
    stall = statistics.median(one.first - one.second for one in samples)
    note = (
        f"{statistics.median(first):.1f} instead of {statistics.median(second):.1f} ms, p95 {percentile(first, 95):.1f}"
    )
    yield Figure(stage.at(f"stall by a creation, login of {tenants:,}, {kind}"), stall, "ms", None, note)
