"""Staff in a tenant's trail: reading it takes a reason, which both trails tell before anything is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from tenants.context import Actor, Origin, Scope, enter_tenant, fetch, platform_scope, scope_or_none
from tenants.errors import BadInput, Refused, ScopeConflict
from tenants.gate import TenantRef
from tenants.models import Tenant
from tenants.recording import record

MAX_REASON = 1000
# Whether the open unit names a reason that counts. Where it does not, the trail would merely look empty.
_COUNTS = "SELECT guard.reason_given('audit_log'::regclass)"


@dataclass(slots=True)
class Reading:
    """Opens one unit of work after another in which staff may read one tenant's trail, for as long as it takes.

    Before the first one, and again once the reason is too old, it commits the entries `trail.read` to the platform log
    and to the trail, so that nothing takes them back: the database shows the trail to no transaction that does not name
    such an entry of the last ten minutes.
    """

    tenant: Tenant | TenantRef
    actor: Actor
    reason: str
    origin: Origin | None = None
    _why: UUID | None = None

    def __post_init__(self) -> None:
        """Raise BadInput without a reason."""
        self.reason = self.reason.strip()
        if not self.reason or len(self.reason) > MAX_REASON:
            raise BadInput(f"Say why the trail is read, in 1 to {MAX_REASON} characters.")

    @contextmanager
    def __call__(self) -> Iterator[Scope]:
        """Open a unit of work of the platform within the tenant. Raises ScopeConflict inside any scope, Refused."""
        if scope_or_none() is not None:
            raise ScopeConflict("A trail is read outside any other unit of work: why it is read is committed first.")
        for known in (self._why, None):
            self._why = known or self._give()
            with (
                platform_scope(actor=self.actor, origin=self.origin),
                enter_tenant(self.tenant, reason=self._why) as scope,
            ):
                if fetch(_COUNTS)[0]:
                    yield scope
                    return
        raise Refused("The reason for reading this trail was recorded, but does not count.")

    def _give(self) -> UUID:
        resource = ("tenant", str(self.tenant.id), self.tenant.name)
        with platform_scope(actor=self.actor, origin=self.origin):
            why = record("trail.read", resource, description=self.reason, tenant_id=self.tenant.id)
            with enter_tenant(self.tenant):
                record("trail.read", resource, description=self.reason)
        return why


@contextmanager
def read_tenant(
    tenant: Tenant | TenantRef, *, actor: Actor, reason: str, origin: Origin | None = None
) -> Iterator[Scope]:
    """Open one unit of work in which a tenant's trail may be read, and appended to: `Reading`'s first.

    Raises BadInput without a reason, ScopeConflict inside any scope.
    """
    with Reading(tenant, actor, reason, origin)() as scope:
        yield scope
