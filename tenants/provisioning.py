"""Create, suspend, resume and drop tenants.

A tenant is a row, a role and a schema with tables, grants and guards: made, or dropped, in one transaction of
the owner's login (MIGRATION_DATABASE_URL), which the web process does not have. The entry in the platform log
is written in that same transaction. Suspending changes a row, and is done under the application's login.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import DatabaseError, IntegrityError, connections, transaction
from django.db.migrations.executor import MigrationExecutor
from psycopg import errors, sql

from tenants.backend.unit import SHARED_SCHEMA, current, tenant_role
from tenants.context import SYSTEM, Actor, Origin, Realm, Scope, TenantLike, enter_tenant, platform_scope, scope_or_none
from tenants.errors import BadInput, Conflict, DomainError, NotFound, ScopeConflict
from tenants.models import Domain, Tenant
from tenants.recording import record

OWNER = "owner"
MAX_REASON = 1000
_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_MAX_NAME = 200

# What a tenant's role may do in its schema, and what the guard needs to clear pointers.
_GRANTS = """
GRANT USAGE ON SCHEMA {schema} TO {role}, {guard};
GRANT SELECT, INSERT ON {schema}.audit_log, {schema}.usage_log, {schema}.audit_user_agent TO {role};
GRANT SELECT, INSERT, UPDATE ON {schema}.audit_key TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.audit_answer TO {role};
GRANT SELECT, UPDATE (user_id) ON {schema}.audit_log TO {guard};
"""

# What other applications do for a new tenant, each in a platform scope: `config` fills the list.
on_created: list[Callable[[Tenant], object]] = []


class NoOwner(DomainError):
    """Tenants are created and dropped by the owner's login: set MIGRATION_DATABASE_URL for this command."""


def create_tenant(*, slug: str, name: str, domain: str, actor: Actor = SYSTEM, origin: Origin | None = None) -> Tenant:
    """Create a tenant with schema, role, tables and its entry in the platform log: all of it, or nothing.

    Then `on_created` runs in a transaction of the application's login. If that fails the tenant is dropped
    again; a process killed between the two leaves a tenant without what the hooks give (a plan), which can be
    given later. Opens its own transactions. Raises BadInput, Conflict, NoOwner, ScopeConflict.
    """
    domain = domain.lower()
    _check(slug, name, domain)
    try:
        with _owner_scope(actor, origin) as connection:
            tenant = _insert(slug, name, domain)
            _create_schema(connection, tenant)
            _record("tenant.created", tenant, changes={"slug": slug, "name": name, "domain": domain})
    except IntegrityError as error:
        raise Conflict(f"The slug {slug!r} or the domain {domain!r} was taken a moment ago.") from error
    # From here on it is the application's: relations to rows read by its login are allowed.
    tenant._state.db = tenant.shard  # noqa: SLF001
    try:
        with platform_scope(actor=actor, origin=origin):
            for hook in on_created:
                hook(tenant)
    except BaseException:
        drop_tenant(tenant, actor=actor, origin=origin)
        raise
    return tenant


def suspend_tenant(tenant: TenantLike, *, actor: Actor, reason: str, origin: Origin | None = None) -> Tenant:
    """Refuse a tenant's hosts and keys from the next request on; its trail is kept.

    Opens a platform scope, or joins it. Leaves an entry in both trails. Raises BadInput, NotFound, Conflict.
    """
    return _set_status(tenant, Tenant.Status.SUSPENDED, "tenant.suspended", actor, origin, reason)


def resume_tenant(tenant: TenantLike, *, actor: Actor, reason: str = "", origin: Origin | None = None) -> Tenant:
    """Serve a suspended tenant again; otherwise as `suspend_tenant`, but that a reason is not needed."""
    return _set_status(tenant, Tenant.Status.ACTIVE, "tenant.resumed", actor, origin, reason or "resumed")


def drop_tenant(tenant: TenantLike, *, actor: Actor = SYSTEM, origin: Origin | None = None) -> None:
    """Drop a tenant with its schema, role and rows, trail included. There is no way back.

    What remains is what the platform log says of it. Raises NotFound, NoOwner, ScopeConflict, Conflict.
    """
    with _owner_scope(actor, origin) as connection:
        row = Tenant.objects.using(OWNER).select_for_update().filter(pk=tenant.id).first()
        if row is None:
            raise NotFound(f"There is no tenant {tenant.slug!r} any more.")
        _record("tenant.deleted", row, changes={"slug": row.slug, "name": row.name, "schema": row.schema_name})
        names = _names(row)
        row.delete()
        _drop_schema(connection, names)


@contextmanager
def _owner_scope(actor: Actor, origin: Origin | None) -> Iterator[Any]:
    """Open one transaction of the owner's login, in which the recorder writes the platform log as well."""
    if OWNER not in connections:
        raise NoOwner
    if scope_or_none() is not None:
        raise ScopeConflict("Tenants are created and dropped outside any scope: it takes another login.")
    with transaction.atomic(using=OWNER):
        token = current.set(Scope(Realm.PLATFORM, None, actor, origin or Origin(), database=OWNER))
        try:
            yield connections[OWNER]
        finally:
            current.reset(token)


def _check(slug: str, name: str, domain: str) -> None:
    if not _SLUG.fullmatch(slug):
        raise BadInput(f"{slug!r} is no slug: 1 to 63 lower-case letters, digits and hyphens, no hyphen at an end.")
    if not _HOST.fullmatch(domain):
        raise BadInput(f"{domain!r} is no host name: leave out the scheme, the port and the path.")
    if domain in settings.PLATFORM_HOSTS:
        raise BadInput(f"{domain!r} is the platform's own host (PLATFORM_HOSTS): give the tenant another.")
    if not name.strip() or len(name) > _MAX_NAME or not name.isprintable():
        raise BadInput(f"A name has 1 to {_MAX_NAME} printable characters.")


def _insert(slug: str, name: str, domain: str) -> Tenant:
    if Tenant.objects.using(OWNER).filter(slug=slug).exists():
        raise Conflict(f"There is a tenant {slug!r} already.")
    if Domain.objects.using(OWNER).filter(domain=domain).exists():
        raise Conflict(f"The domain {domain!r} belongs to a tenant already.")
    tenant = Tenant(slug=slug, name=name)
    tenant.save(using=OWNER, force_insert=True)
    Domain.objects.using(OWNER).create(tenant=tenant, domain=domain, is_primary=True)
    return tenant


def _set_status(
    tenant: TenantLike, status: Tenant.Status, action: str, actor: Actor, origin: Origin | None, reason: str
) -> Tenant:
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON:
        raise BadInput(f"Say why, in 1 to {MAX_REASON} characters.")
    with platform_scope(actor=actor, origin=origin):
        row: Tenant | None = Tenant.objects.select_for_update().filter(pk=tenant.id).first()
        if row is None:
            raise NotFound(f"There is no tenant {tenant.slug!r} any more.")
        if row.status == status:
            raise Conflict(f"The tenant {row.slug!r} is {status} already.")
        changes = {"status": {"old": row.status, "new": str(status)}}
        row.status = status
        row.save(update_fields=["status"])
        _record(action, row, changes=changes, reason=reason)
        with enter_tenant(row):
            _record(action, row, changes=changes, reason=reason)
    return row


def _record(action: str, tenant: Tenant, *, changes: dict[str, Any], reason: str = "") -> None:
    resource = ("tenant", str(tenant.pk), tenant.name)
    record(action, resource, changes=changes, description=reason, tenant_id=tenant.pk)


def _names(tenant: Tenant) -> dict[str, sql.Composable]:
    return {
        "schema": sql.Identifier(tenant.schema_name),
        "role": sql.Identifier(tenant_role(tenant.pk)),
        "group": sql.Identifier(f"{settings.DATABASE_ROLE_PREFIX}_tenant"),
        "guard": sql.Identifier(f"{settings.DATABASE_ROLE_PREFIX}_guard"),
        "app": sql.Identifier(str(settings.DATABASES["default"]["USER"])),
    }


def _create_schema(connection: Any, tenant: Tenant) -> None:
    names = _names(tenant)
    role = """
    CREATE ROLE {role} NOLOGIN;
    GRANT {group} TO {role} WITH INHERIT TRUE, SET FALSE;
    GRANT {role} TO {app} WITH INHERIT FALSE, SET TRUE;
    CREATE SCHEMA {schema};
    """
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(role).format(**names).as_string())
    _migrate(connection, tenant)
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(_GRANTS).format(**names).as_string())


def _drop_schema(connection: Any, names: dict[str, sql.Composable]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("DROP SCHEMA {schema} CASCADE").format(**names).as_string())
        try:
            cursor.execute(sql.SQL("DROP ROLE {role}").format(**names).as_string())
        except DatabaseError as error:
            if isinstance(error.__cause__, errors.DependentObjectsStillExist):
                told = "Its role has rights in another database of this server, a copy perhaps: drop that one first."
                raise Conflict(f"The tenant was not dropped. {told}") from error
            raise


def _migrate(connection: Any, tenant: Tenant) -> None:
    """Run the migrations of the tenants' applications in the new schema."""
    connection.set_schema(tenant.schema_name)
    try:
        executor = MigrationExecutor(connection)
        labels = {app.rpartition(".")[2] for app in settings.TENANT_APPS}
        executor.migrate([node for node in executor.loader.graph.leaf_nodes() if node[0] in labels])
    finally:
        connection.set_schema(SHARED_SCHEMA)
