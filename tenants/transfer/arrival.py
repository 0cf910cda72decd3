"""Import: a tenant made of an exported directory, in one transaction of the owner: all of it, or nothing.

Rows of long ago pass no guard, which take an id of the past for a forgery. So they are loaded while the guards of
the new schema do not fire yet, in the transaction that makes it, before which nobody sees it and after which they
stand. What was loaded is read back and must have the hashes of the manifest; only then are pointers adjusted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import IntegrityError
from psycopg import sql

from tenants import logins, provisioning
from tenants.backend.unit import current, tenant_role
from tenants.context import SYSTEM, Actor, Origin, Realm, Scope, current_scope
from tenants.errors import Conflict
from tenants.gate import TenantRef
from tenants.models import Domain, Tenant
from tenants.provisioning import OWNER, owner_scope
from tenants.recording import record
from tenants.transfer import companions, manifest, tables
from tenants.transfer.companions import Settled
from tenants.transfer.manifest import BadExport, Manifest

_RIGHTS = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_shdepend AS d
                WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass AND d.refobjid = r.oid AND d.dbid <> 0)
  FROM pg_catalog.pg_roles AS r WHERE r.rolname = %s
"""
# What the guards ask of each entry, but for what is of its time: they do not fire on what is loaded.
_UNSOUND = """
SELECT EXISTS (
  SELECT FROM {} WHERE num_nonnulls(actor_uuid, actor_key) <> 1 OR num_nonnulls(resource_uuid, resource_key) <> 1
                    OR user_id IS NOT NULL AND user_id IS DISTINCT FROM actor_uuid)
"""
_CLEAR = """
UPDATE {} AS t SET {pointer} = NULL
 WHERE {pointer} IS NOT NULL AND NOT EXISTS (SELECT FROM shared.tenants_user AS u WHERE u.id = t.{pointer})
"""
_NAMING = {"actor_uuid", "actor_key", "resource_uuid", "resource_key", "user_id"}
_SCHEMA = re.compile(r"t_[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Adjusted:
    """What the trail says otherwise than in the place it came from."""

    transactions_shifted_by: int
    pointers_cleared: int


@dataclass(frozen=True, slots=True)
class Imported:
    """A tenant that was imported, and what its operator should know.

    `copied`: it has an id of its own, since the exported one is taken here.
    """

    tenant: Tenant
    manifest: Manifest
    copied: bool
    settled: Settled
    adjusted: Adjusted


def import_tenant(
    directory: Path,
    *,
    slug: str | None = None,
    domain: str | None = None,
    actor: Actor = SYSTEM,
    origin: Origin | None = None,
) -> Imported:
    """Make a tenant of an exported directory, with its entries as they were: ids, times, order.

    It keeps its id. Where that is taken (in this database or, by its role, in another one of the server) a `slug`
    makes it a copy with an id of its own. A `domain` takes the place of the exported hosts. Opens its own
    transaction, as the owner. Raises BadExport, BadInput, Conflict, NoOwner, ScopeConflict.
    """
    said = manifest.read(directory)
    _check_version(said)
    packed = json.loads((directory / manifest.PLATFORM).read_bytes())
    hosts = _hosts(packed, domain)
    _check_tenant(said, packed["tenant"])
    for host in hosts:
        provisioning.check(slug or said.tenant["slug"], said.tenant["name"], host.domain)
    try:
        with owner_scope(actor, origin) as connection, connection.cursor() as cursor:
            return _import(connection, cursor, _Arriving(said, directory, packed, slug, hosts))
    except IntegrityError as error:
        raise Conflict("The slug, a domain or a key of the export was taken a moment ago.") from error


@dataclass(frozen=True, slots=True)
class _Arriving:
    said: Manifest
    directory: Path
    packed: dict[str, Any]
    slug: str | None
    hosts: list[Domain]


def _import(connection: Any, cursor: Any, arriving: _Arriving) -> Imported:
    tables.write_one_way(cursor)
    tenant, shift = _tenant(cursor, arriving)
    copied = str(tenant.pk) != arriving.said.tenant["id"]
    settled = companions.unpack(tenant, arriving.packed, with_keys=not copied)
    cleared = 0

    def fill() -> None:
        nonlocal cleared
        with tables.guards_off(cursor, tenant.schema_name):
            own = _load(cursor, tenant, arriving)
            cleared = sum(_adjust(cursor, table, shift) for table in own)
            cursor.execute("CALL guard.note_missing(%s::regclass)", [f"{tenant.schema_name}.audit_log"])

    provisioning.create_schema(connection, tenant, fill=fill)
    companions.unpack_companions(tenant, arriving.packed)
    imported = Imported(tenant, arriving.said, copied, settled, Adjusted(shift, cleared))
    _record(connection, imported)
    return imported


def _check_version(said: Manifest) -> None:
    here = tables.own_version()
    if said.schema_version == here:
        return
    other = ", ".join(sorted(set(said.schema_version) ^ set(here)))
    raise BadExport(
        f"The export is of another schema version: it differs by {other}. Export it with the tenant migrated to the "
        "release that runs here, or import it with the release that wrote it and migrate then."
    )


def _check_tenant(said: Manifest, row: companions.Row) -> None:
    """Refuse a tenant that is not the manifest's, or whose schema has a name that no tenant's has."""
    if {name: row.get(name) for name in said.tenant} != said.tenant:
        raise BadExport(f"{manifest.PLATFORM} tells of another tenant than {manifest.NAME}.")
    if not _SCHEMA.fullmatch(said.tenant["schema_name"]):
        raise BadExport(f"{said.tenant['schema_name']!r} is no name of a tenant's schema.")


def _hosts(packed: dict[str, Any], domain: str | None) -> list[Domain]:
    if domain:
        return [Domain(domain=domain.lower(), is_primary=True)]
    hosts = [companions.made(Domain, companions.values(Domain, row)) for row in packed["domains"]]
    if not hosts:
        raise BadExport("The export has no host name: name one with `--domain`.")
    return sorted(hosts, key=lambda host: not host.is_primary)


def _tenant(cursor: Any, arriving: _Arriving) -> tuple[Tenant, int]:
    """Write the row of the tenant and those of its hosts; return it, and by how much its transactions must shift."""
    kept = companions.values(Tenant, arriving.packed["tenant"])
    shift = _shift(cursor, arriving.said)
    if _taken(cursor, kept["id"]):
        if arriving.slug is None:
            raise Conflict(
                f"The tenant {kept['slug']!r} is on this server already, here or in another database. Drop it there "
                "to have it here, or name a slug (and a domain) to make a copy with an id of its own."
            )
        del kept["id"], kept["schema_name"]
        arriving.hosts[:] = [Domain(domain=host.domain, is_primary=host.is_primary) for host in arriving.hosts]
    # Cursors of pollers are bound to the schema's name: those made elsewhere must not be read as of here.
    elif shift:
        del kept["schema_name"]
    kept["slug"] = arriving.slug or kept["slug"]
    _check_free(kept["slug"], arriving.hosts)
    tenant = companions.made(Tenant, {**kept, "login": logins.choose(cursor)})
    tenant.save(using=OWNER, force_insert=True)
    for host in arriving.hosts:
        host.tenant = tenant
        host.save(using=OWNER, force_insert=True)
    return tenant, shift


def _check_free(slug: str, hosts: list[Domain]) -> None:
    if Tenant.objects.using(OWNER).filter(slug=slug).exists():
        raise Conflict(f"There is a tenant {slug!r} already: name another slug.")
    taken = Domain.objects.using(OWNER).filter(domain__in=[host.domain for host in hosts])
    if names := ", ".join(sorted(taken.values_list("domain", flat=True))):
        raise Conflict(f"{names} belongs to a tenant already: name another domain.")


def _taken(cursor: Any, tenant_id: UUID) -> bool:
    """Tell whether the tenant is here, or its role has rights in another database of the server.

    A role that has none is left over from a database that is gone: it is dropped, to be made anew.
    """
    if Tenant.objects.using(OWNER).filter(pk=tenant_id).exists():
        return True
    cursor.execute(_RIGHTS, [tenant_role(tenant_id)])
    (role,) = cursor.fetchall() or [None]
    if role and not role[0]:
        cursor.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(tenant_role(tenant_id))).as_string())
    return bool(role and role[0])


def _shift(cursor: Any, said: Manifest) -> int:
    """Return by how much the transactions of the export lie too high here: 0 if this server is past them all.

    Polling goes by them. One that this server has not reached yet would hide its entries until it has.
    """
    cursor.execute("SELECT pg_current_xact_id()::text::bigint")
    return max(0, said.next_transaction - int(cursor.fetchone()[0]))


def _load(cursor: Any, tenant: Tenant, arriving: _Arriving) -> list[tables.Table]:
    """Load each table, and read it back: what is there now must be what was exported."""
    own = {table.name: table for table in tables.tables_of(cursor, tenant.schema_name)}
    if set(own) != set(arriving.said.rows):
        differ = ", ".join(sorted(set(own) ^ set(arriving.said.rows)))
        raise BadExport(f"The export and this release differ in the tables {differ}. Use the release that wrote it.")
    tables.clear(cursor, own.values())
    for file in arriving.said.tables:
        table = own[file.table]
        if set(table.columns) != set(file.columns):
            raise BadExport(f"{file.table} has other columns in this release. Use the release that wrote the export.")
        rows = tables.load(cursor, table, file.columns, manifest.chunks(arriving.directory / file.name))
        back = tables.read(cursor, replace(table, columns=file.columns))
        if (rows, *back) != (file.rows, file.rows, file.bytes, file.sha256):
            raise BadExport(f"{file.table} has {back.rows} rows after the load that are not those of the manifest.")
        tables.go_on(cursor, table, file.last)
        _check_named(cursor, table)
    return list(own.values())


def _check_named(cursor: Any, table: tables.Table) -> None:
    """Refuse entries that name not one actor and one resource, or point to another person than who acted."""
    if not _is_trail(table):
        return
    cursor.execute(sql.SQL(_UNSOUND).format(table.place).as_string())
    if cursor.fetchone()[0]:
        raise BadExport(f"{table.name} has entries that name no actor or resource, or two, or point to somebody else.")


def _is_trail(table: tables.Table) -> bool:
    return table.numbered and set(table.columns) >= _NAMING


def _adjust(cursor: Any, table: tables.Table, shift: int) -> int:
    """Shift the transactions of a table, and clear pointers to people who are not here; return how many."""
    if shift and table.numbered:
        shifted = sql.SQL("UPDATE {} SET transaction_id = transaction_id - {}")
        cursor.execute(shifted.format(table.place, sql.Literal(shift)).as_string())
    cleared = 0
    # A trail's is no foreign key. What else is called so, in a table of the host's, may be anything.
    for column in {*table.pointers, *(["user_id"] if _is_trail(table) else [])}:
        cursor.execute(sql.SQL(_CLEAR).format(table.place, pointer=sql.Identifier(column)).as_string())
        cleared += cursor.rowcount
    return cleared


def _record(connection: Any, imported: Imported) -> None:
    """Write the entries of the import: the platform's, and the tenant's own after all that was loaded."""
    tenant, said = imported.tenant, imported.manifest
    resource = ("tenant", str(tenant.pk), tenant.name)
    changes = {
        "rows": said.rows,
        "manifest": said.sha256,
        "exported_at": said.created_at,
        "exported_id": said.tenant["id"],
        "transactions_shifted_by": imported.adjusted.transactions_shifted_by,
        "pointers_cleared": imported.adjusted.pointers_cleared,
    }
    record("tenant.imported", resource, changes=changes, tenant_id=tenant.pk)
    with _within(connection, tenant):
        record("tenant.imported", resource, changes=changes)


@contextmanager
def _within(connection: Any, tenant: Tenant) -> Iterator[None]:
    """Act in the new schema in the owner's transaction, as `enter_tenant` does in the platform's."""
    outer = current_scope()
    owned = TenantRef(
        tenant.pk, tenant.slug, tenant.name, tenant.schema_name, shard=OWNER, status=tenant.status, login=tenant.login
    )
    token = current.set(Scope(Realm.TENANT, owned, outer.actor, outer.origin, outer))
    try:
        with connection.in_schema(tenant.schema_name):
            yield
    finally:
        current.reset(token)
