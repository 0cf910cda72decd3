"""The sealed tier: a tenant's own database login and pool, so that no injection anywhere else can become its role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tenants import logins
from tenants.context import SYSTEM, Actor, Origin, TenantLike
from tenants.errors import Conflict, NotFound
from tenants.models import Tenant
from tenants.provisioning import OWNER, owner_scope
from tenants.recording import record


def seal_tenant(tenant: TenantLike, *, actor: Actor = SYSTEM, origin: Origin | None = None) -> Tenant:
    """Give a tenant a login of its own. From the next request on it is served by a pool of its own.

    In one transaction of the owner's login, its entry in the platform log included; a unit of work that begins in
    the very moment may be refused once. Raises Conflict when it is sealed, NotFound, NoOwner, ScopeConflict.
    """

    def choose(cursor: Any, row: Tenant) -> str:
        login = logins.sealed(row)
        if row.login == login:
            raise Conflict(f"The tenant {row.slug!r} is sealed already.")
        logins.create(cursor, login)
        return login

    return _move(tenant, choose, "tenant.sealed", actor, origin)


def unseal_tenant(tenant: TenantLike, *, actor: Actor = SYSTEM, origin: Origin | None = None) -> Tenant:
    """Put a sealed tenant back into a cell, and drop its login; otherwise as `seal_tenant`."""

    def choose(cursor: Any, row: Tenant) -> str:
        if row.login != logins.sealed(row):
            raise Conflict(f"The tenant {row.slug!r} is not sealed.")
        return logins.choose(cursor)

    return _move(tenant, choose, "tenant.unsealed", actor, origin)


def renew_passwords(*, actor: Actor = SYSTEM, origin: Origin | None = None) -> list[str]:
    """Give all tenants' logins the passwords that follow from the application's own; return their names.

    Needed once the password in DATABASE_URL was changed. In one transaction of the owner's login.
    """
    with owner_scope(actor, origin) as connection, connection.cursor() as cursor:
        renewed = logins.renew(cursor)
        record("logins.renewed", ("database", "logins", ""), changes={"logins": renewed})
    return renewed


def _move(
    tenant: TenantLike, choose: Callable[[Any, Tenant], str], action: str, actor: Actor, origin: Origin | None
) -> Tenant:
    with owner_scope(actor, origin) as connection, connection.cursor() as cursor:
        row: Tenant | None = Tenant.objects.using(OWNER).select_for_update().filter(pk=tenant.id).first()
        if row is None:
            raise NotFound(f"There is no tenant {tenant.slug!r} any more.")
        login = choose(cursor, row)
        changes = {"login": {"old": row.login, "new": login}}
        logins.grant(cursor, row, login)
        logins.revoke(cursor, row)
        row.login = login
        row.save(using=OWNER, update_fields=["login"])
        record(action, ("tenant", str(row.pk), row.name), changes=changes, tenant_id=row.pk)
    row._state.db = row.shard  # noqa: SLF001
    return row
