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
from django.db import DatabaseError, IntegrityError, transaction
from psycopg import errors, sql

from tenants import logins, template
from tenants.backend.unit import auditor_role, current, tenant_role
from tenants.bookkeeping import TenantMigration
from tenants.context import SYSTEM, Actor, Origin, Realm, Scope, TenantLike, enter_tenant, platform_scope, scope_or_none
from tenants.errors import BadInput, Conflict, NotFound, ScopeConflict
from tenants.models import Domain, Tenant
from tenants.owner.access import OWNER, NoOwner, owners_connection
from tenants.owner.base import DatabaseWrapper
from tenants.recording import record

__all__ = [
    "OWNER",
    "NoOwner",
    "check",
    "create_schema",
    "create_tenant",
    "drop_tenant",
    "on_created",
    "owner_scope",
    "resume_tenant",
    "suspend_tenant",
]

MAX_REASON = 1000
_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_MAX_NAME = 200

# The role and the schema. Rights on tables stand beside the tables, in the applications' own migrations.
# The login becomes a member as `logins.grant` makes it (it is NOINHERIT), but in the same statement: a GRANT by
# the owner goes through all roles that it has made, which takes 10 ms at 3,000 of them.
_PREPARE = (
    "CREATE ROLE {role} NOLOGIN ROLE {login}",
    "GRANT {group} TO {role} WITH INHERIT TRUE, SET FALSE",
    "CREATE SCHEMA {schema}",
    "GRANT USAGE ON SCHEMA {schema} TO {role}, {guard}, {auditor}",
)

# What other applications do for a new tenant, each in a platform scope: `config` fills the list.
on_created: list[Callable[[Tenant], object]] = []


def create_tenant(*, slug: str, name: str, domain: str, actor: Actor = SYSTEM, origin: Origin | None = None) -> Tenant:
    """Create a tenant with schema, role, tables and its entry in the platform log: all of it, or nothing.

    Then `on_created` runs in a transaction of the application's login. If that fails the tenant is dropped
    again; a process killed between the two leaves a tenant without what the hooks give (a plan), which can be
    given later. Opens its own transactions. Raises BadInput, Conflict, NoOwner, ScopeConflict.
    """
    domain = domain.lower()
    check(slug, name, domain)
    try:
        with owner_scope(actor, origin) as connection:
            tenant = _insert(connection, slug, name, domain)
            create_schema(connection, tenant)
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


def drop_tenant(
    tenant: TenantLike,
    *,
    actor: Actor = SYSTEM,
    origin: Origin | None = None,
    prove: Callable[[Any, Tenant], object] | None = None,
) -> None:
    """Drop a tenant with its schema, role and rows, trail included. There is no way back.

    What remains is what the platform log says of it. `prove` is called first, with a cursor of the transaction
    that drops the tenant, and may raise to keep it. Raises NotFound, NoOwner, ScopeConflict, Conflict.
    """
    with owner_scope(actor, origin) as connection:
        row = Tenant.objects.using(OWNER).select_for_update().filter(pk=tenant.id).first()
        if row is None:
            raise NotFound(f"There is no tenant {tenant.slug!r} any more.")
        if prove:
            with connection.cursor() as cursor:
                prove(cursor, row)
        _record("tenant.deleted", row, changes={"slug": row.slug, "name": row.name, "schema": row.schema_name})
        _drop(connection, row)


@contextmanager
def owner_scope(actor: Actor, origin: Origin | None) -> Iterator[DatabaseWrapper]:
    """Open one transaction of the owner's login, in which the recorder writes the platform log as well.

    Raises NoOwner, and ScopeConflict inside any scope.
    """
    connection = owners_connection()
    if scope_or_none() is not None:
        raise ScopeConflict("Tenants are created and dropped outside any scope: it takes another login.")
    scope = Scope(Realm.PLATFORM, None, actor, origin or Origin(), database=OWNER)
    with transaction.atomic(using=OWNER):
        with connection.cursor() as cursor:
            # Without it the rows that change would be said to be changed by a login of the database.
            cursor.execute(sql.SQL("SET LOCAL daybook.context = {}").format(scope.context()).as_string())
        token = current.set(scope)
        try:
            yield connection
        finally:
            current.reset(token)


def check(slug: str, name: str, domain: str) -> None:
    """Refuse what cannot be a tenant's slug, name or host. Raises BadInput."""
    if not _SLUG.fullmatch(slug):
        raise BadInput(f"{slug!r} is no slug: 1 to 63 lower-case letters, digits and hyphens, no hyphen at an end.")
    if not _HOST.fullmatch(domain):
        raise BadInput(f"{domain!r} is no host name: leave out the scheme, the port and the path.")
    if domain in settings.PLATFORM_HOSTS:
        raise BadInput(f"{domain!r} is the platform's own host (PLATFORM_HOSTS): give the tenant another.")
    if not name.strip() or len(name) > _MAX_NAME or not name.isprintable():
        raise BadInput(f"A name has 1 to {_MAX_NAME} printable characters.")


def _insert(connection: Any, slug: str, name: str, domain: str) -> Tenant:
    if Tenant.objects.using(OWNER).filter(slug=slug).exists():
        raise Conflict(f"There is a tenant {slug!r} already.")
    if Domain.objects.using(OWNER).filter(domain=domain).exists():
        raise Conflict(f"The domain {domain!r} belongs to a tenant already.")
    with connection.cursor() as cursor:
        tenant = Tenant(slug=slug, name=name, login=logins.choose(cursor))
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
        "login": sql.Identifier(tenant.login),
        "group": sql.Identifier(f"{settings.DATABASE_ROLE_PREFIX}_tenant"),
        "guard": sql.Identifier(f"{settings.DATABASE_ROLE_PREFIX}_guard"),
        "auditor": sql.Identifier(auditor_role()),
    }


def create_schema(connection: DatabaseWrapper, tenant: Tenant, fill: Callable[[], object] | None = None) -> None:
    """Make the role and the schema of a tenant whose row stands, by the template, and tell the migrator's ledger.

    `fill` may load rows before anybody else sees the schema. In a transaction of the owner.
    """
    made = template.current()
    template.replay(connection, [sql.SQL(line).format(**_names(tenant)).as_string() for line in _PREPARE])
    _build(connection, tenant, made)
    if fill:
        fill()


def _build(connection: DatabaseWrapper, tenant: Tenant, made: template.Template) -> None:
    with connection.in_schema(tenant.schema_name):
        template.replay(connection, made.base)
    for step in made.steps:
        template.apply(connection, tenant.schema_name, step)
    applied = TenantMigration.State.APPLIED
    ledger = [TenantMigration(tenant=tenant, app=step.app, name=step.name, state=applied) for step in made.steps]
    TenantMigration.objects.using(OWNER).bulk_create(ledger)


def _drop(connection: DatabaseWrapper, tenant: Tenant) -> None:
    """Drop role, schema and row. Raises Conflict where the role has rights elsewhere."""
    names, wanted = _names(tenant), tenant.pk
    with connection.cursor() as cursor:
        logins.revoke(cursor, tenant)
        tenant.delete()
        # A hardened database lets the owner drop no trail but by this function, and this only of a deleted tenant.
        cursor.execute("SELECT to_regprocedure('guard.drop_schema(uuid)') IS NOT NULL")
        if cursor.fetchone()[0]:
            cursor.execute("SELECT guard.drop_schema(%s)", [wanted])
        else:
            cursor.execute(sql.SQL("DROP SCHEMA {schema} CASCADE").format(**names).as_string())
        try:
            cursor.execute(sql.SQL("DROP ROLE {role}").format(**names).as_string())
        except DatabaseError as error:
            if isinstance(error.__cause__, errors.DependentObjectsStillExist):
                told = "Its role has rights in another database of this server, a copy perhaps: drop that one first."
                raise Conflict(f"The tenant was not dropped. {told}") from error
            raise
