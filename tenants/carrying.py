"""Work that goes on elsewhere: what a job needs to act in the name of whoever enqueued it, and to leave nothing behind.

`ticket()` is taken where a job is enqueued, and travels with it as JSON; `go_on(ticket)` is the job's unit of work.
`tenants.contrib.celery` does both for Celery.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from tenants import gate
from tenants.backend.unit import committed
from tenants.context import Actor, Origin, Scope, platform_scope, program, scope_or_none, tenant_scope
from tenants.errors import NotFound, TenantSuspended

Ticket = dict[str, Any]


def ticket() -> Ticket | None:
    """Return whose data the open scope works on, who acts, and the request that it began with; None without a scope.

    What waits for a commit (`transaction.on_commit`) gets that of the scope that was committed.

    Plain JSON. It holds no secret and proves nothing: a queue that others may write to must not be trusted.
    """
    scope: Scope | None = scope_or_none() or committed.get()
    if scope is None:
        return None
    tenant = [str(scope.tenant.id), scope.tenant.slug] if scope.tenant else None
    return {"tenant": tenant, "actor": _told(scope.actor), "request_id": scope.origin.request_id}


@contextmanager
def go_on(carried: Ticket, *, name: str) -> Iterator[Scope]:
    """Open the unit of work of a job: the enqueuer's tenant, actor and request id, with the source `job`.

    `name` is what the trail says in the place of a user agent. Raises NotFound when the tenant is gone,
    TenantSuspended, ScopeConflict.
    """
    running = program.set(name)
    try:
        origin = Origin(request_id=carried["request_id"], source="job")
        actor = _actor(carried["actor"])
        if carried["tenant"] is None:
            with platform_scope(actor=actor, origin=origin) as scope:
                yield scope
            return
        with tenant_scope(_tenant(*carried["tenant"]), actor=actor, origin=origin) as scope:
            yield scope
    finally:
        program.reset(running)


def _tenant(key: str, slug: str) -> gate.TenantRef:
    tenant = gate.tenant(slug)
    # Another may have taken the name.
    if tenant is None or str(tenant.id) != key:
        raise NotFound(f"There is no tenant {slug!r} any more for whom the job was enqueued.")
    if tenant.suspended:
        raise TenantSuspended
    return tenant


def _told(actor: Actor) -> list[Any]:
    by = _told(actor.impersonator) if actor.impersonator else None
    return [actor.type, actor.id, actor.label, str(actor.user_id) if actor.user_id else None, by]


def _actor(told: list[Any]) -> Actor:
    kind, key, label, person, by = told
    return Actor(kind, key, label, UUID(person) if person else None, _actor(by) if by else None)
