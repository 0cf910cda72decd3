"""Create and drop tenants: schema, role, grants, tables and guards, in the transaction of the Tenant row.

Runs on the owner's connection (MIGRATION_DATABASE_URL), which the web process does not have.
"""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.db import connections, transaction
from django.db.migrations.executor import MigrationExecutor
from psycopg import sql

from tenants.backend.unit import SHARED_SCHEMA, tenant_role
from tenants.errors import BadInput, Conflict, DomainError
from tenants.models import Domain, Tenant

OWNER = "owner"
_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")

# What a tenant's role may do in its schema, and what the guard needs to clear pointers.
_GRANTS = """
GRANT USAGE ON SCHEMA {schema} TO {role}, {guard};
GRANT SELECT, INSERT ON {schema}.audit_log, {schema}.usage_log, {schema}.audit_user_agent TO {role};
GRANT SELECT, INSERT, UPDATE ON {schema}.audit_key TO {role};
GRANT SELECT, UPDATE (user_id) ON {schema}.audit_log TO {guard};
"""


class NoOwner(DomainError):
    """MIGRATION_DATABASE_URL is not set: tenants are created and dropped by the owner's login, which the web process does not have."""


def create_tenant(*, slug: str, name: str, domain: str) -> Tenant:
    """Create a tenant with its schema, role and tables. Raises BadInput, Conflict, NoOwner."""
    domain = domain.lower()
    if not _SLUG.fullmatch(slug) or not _HOST.fullmatch(domain):
        raise BadInput("A slug has lower-case letters, digits and hyphens; a domain is a host name without port.")
    connection = _owner()
    with transaction.atomic(using=OWNER):
        if Tenant.objects.using(OWNER).filter(slug=slug).exists():
            raise Conflict(f"There is a tenant {slug!r} already.")
        if Domain.objects.using(OWNER).filter(domain=domain).exists():
            raise Conflict(f"The domain {domain!r} belongs to a tenant already.")
        tenant = Tenant(slug=slug, name=name)
        tenant.save(using=OWNER, force_insert=True)
        Domain.objects.using(OWNER).create(tenant=tenant, domain=domain, is_primary=True)
        _create_schema(connection, tenant)
    # From here on it is the application's: relations to rows read by its login are allowed.
    tenant._state.db = tenant.shard  # noqa: SLF001
    return tenant


def drop_tenant(tenant: Tenant) -> None:
    """Drop a tenant with its schema, role and rows. There is no way back."""
    connection = _owner()
    names = _names(tenant)
    with transaction.atomic(using=OWNER), connection.cursor() as cursor:
        Tenant.objects.using(OWNER).get(pk=tenant.pk).delete()
        cursor.execute(sql.SQL("DROP SCHEMA {schema} CASCADE").format(**names).as_string())
        cursor.execute(sql.SQL("DROP OWNED BY {role}; DROP ROLE {role}").format(**names).as_string())


def _owner() -> Any:
    if OWNER not in connections:
        raise NoOwner
    return connections[OWNER]


def _names(tenant: Tenant) -> dict[str, sql.Composable]:
    return {
        "schema": sql.Identifier(tenant.schema_name),
        "role": sql.Identifier(tenant_role(tenant.pk)),
        "group": sql.Identifier(f"{settings.DATABASE_ROLE_PREFIX}_tenant"),
        "guard": sql.Identifier(f"{settings.DATABASE_ROLE_PREFIX}_guard"),
        "app": sql.Identifier(settings.DATABASES["default"]["USER"]),
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


def _migrate(connection: Any, tenant: Tenant) -> None:
    """Run the migrations of the tenants' applications in the new schema."""
    connection.set_schema(tenant.schema_name)
    try:
        executor = MigrationExecutor(connection)
        labels = {app.rpartition(".")[2] for app in settings.TENANT_APPS}
        executor.migrate([node for node in executor.loader.graph.leaf_nodes() if node[0] in labels])
    finally:
        connection.set_schema(SHARED_SCHEMA)
