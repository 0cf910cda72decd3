"""The tenants' directory as the doctor reads it, and what does not agree with it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings

from tenants.backend.unit import tenant_role
from tenants.doctor.facts import prefix
from tenants.doctor.findings import Finding

_SCHEMA = re.compile(r"t_[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Row:
    """A tenant as the directory has it."""

    id: UUID
    slug: str
    schema: str
    login: str

    @property
    def role(self) -> str:
        """The role of its units of work."""
        return tenant_role(self.id)


def read(connection: psycopg.Connection[Any]) -> list[Row]:
    """Return all tenants, by schema: neighbours in the catalog are examined together."""
    rows = connection.execute("SELECT id, slug, schema_name, login FROM shared.tenants_tenant ORDER BY schema_name")
    return [Row(*row) for row in rows]


def names(rows: Iterable[Row]) -> Iterator[Finding]:
    """Yield tenants whose schema's name is not random."""
    for row in rows:
        if not _SCHEMA.fullmatch(row.schema):
            yield Finding(row.slug, "schema.name", row.schema, "is not random", row.slug)


def orphans(connection: psycopg.Connection[Any], rows: Iterable[Row]) -> Iterator[Finding]:
    """Yield schemas and roles that look like a tenant's and are in no row of the directory.

    Roles are the cluster's: one without rights in this database is another database's, or a dropped one's.
    """
    known = {row.schema for row in rows} | {row.role for row in rows}
    schemas = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname ~ '^t_[0-9a-f]{16}$'")
    roles = connection.execute(
        "SELECT rolname FROM pg_roles AS r WHERE rolname ~ %s AND EXISTS (SELECT FROM pg_shdepend AS d"
        " WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid"
        " AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()))",
        [f"^{re.escape(prefix())}_t_[0-9a-f]{{32}}$"],
    )
    for kind, found in (("schema", schemas), ("role", roles)):
        for (name,) in found:
            if name not in known:
                yield Finding("directory", f"{kind}.orphan", name, "belongs to no tenant of the directory")


def logins(rows: Iterable[Row]) -> Iterator[Finding]:
    """Yield logins that have too many tenants, or are shared though they were made for one."""
    counts = Counter(row.login for row in rows)
    for login, count in counts.items():
        if count > settings.TENANTS_PER_LOGIN:
            found = f"{count} tenants, not {settings.TENANTS_PER_LOGIN} at most"
            yield Finding(login, "login.too_many_tenants", login, found)
    for row in rows:
        sealed = row.login.startswith(f"{prefix()}_sealed_")
        if sealed and row.login != f"{prefix()}_sealed_{row.id.hex}":
            yield Finding(row.slug, "login.shared", row.login, "was made for another tenant", row.slug)


def by_login(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Return the tenants of each login."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.login].append(row)
    return found
