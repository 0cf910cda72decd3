"""Staff in a tenant's trail: reading it takes a reason, which both trails tell before anything is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tenants.context import Actor, Origin, Scope, enter_tenant, platform_scope, scope_or_none
from tenants.errors import BadInput, ScopeConflict
from tenants.gate import TenantRef
from tenants.models import Tenant
from tenants.recording import record

MAX_REASON = 1000


@contextmanager
def read_tenant(
    tenant: Tenant | TenantRef, *, actor: Actor, reason: str, origin: Origin | None = None
) -> Iterator[Scope]:
    """Open a platform's unit of work in which one tenant's trail may be read, and appended to.

    A unit before it commits the entries `trail.read` to the platform log and to the trail, so that nothing takes them
    back; the database shows the trail to no transaction that does not name such an entry of the last ten minutes.
    Raises BadInput without a reason, ScopeConflict inside any scope.
    """
    if scope_or_none() is not None:
        raise ScopeConflict("A trail is read outside any other unit of work: why it is read is committed first.")
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON:
        raise BadInput(f"Say why the trail is read, in 1 to {MAX_REASON} characters.")
    resource = ("tenant", str(tenant.id), tenant.name)
    with platform_scope(actor=actor, origin=origin):
        why = record("trail.read", resource, description=reason, tenant_id=tenant.id)
        with enter_tenant(tenant):
            record("trail.read", resource, description=reason)
    with platform_scope(actor=actor, origin=origin), enter_tenant(tenant, reason=why) as scope:
        yield scope
