"""Three that must agree on a tenant's migrations: the code, the tenant's schema, and the central ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql

from tenants import template
from tenants.doctor.directory import Row
from tenants.doctor.findings import Finding

Key = tuple[str, str]


class Ledger:
    """What the migrations of some tenants are, by all three."""

    def __init__(self, connection: psycopg.Connection[Any], rows: Sequence[Row], readable: Iterable[str]) -> None:
        """Read it, in two queries. `readable` are the schemas whose own table can be read."""
        self.wanted = template.wanted()
        self._applied = _applied(connection, [row for row in rows if row.schema in set(readable)])
        self._told = _told(connection, rows)

    def complete(self, row: Row) -> bool:
        """Tell whether a schema has all migrations of the code, and no other."""
        return not self._pending(row) and not self._unknown(row)

    def findings(self, row: Row) -> Iterator[Finding]:
        """Yield where the three differ; nothing of a schema that cannot be read."""
        if row.schema not in self._applied:
            return
        told = self._told[row.id]
        failed = {key: error for key, (state, error) in told.items() if state == "failed"}
        differing = (self._applied[row.schema] ^ (told.keys() - failed.keys())) - self._unknown(row)
        pending = self._pending(row) - failed.keys() - differing
        yield from _each(row, "migration.pending", pending, "was not run in this schema")
        yield from _each(row, "migration.unknown", self._unknown(row), "was run, and is none of this version's")
        yield from _each(
            row, "migration.ledger", differing - failed.keys(), "stands in the schema or the ledger, not in both"
        )
        for key, error in sorted(failed.items()):
            yield Finding(row.slug, "migration.failed", ".".join(key), error.partition("\n")[0][:200], row.slug)

    def _pending(self, row: Row) -> set[Key]:
        applied = self._applied.get(row.schema, set())
        return {key for key in self.wanted if key not in applied and not _stands_for(key, applied)}

    def _unknown(self, row: Row) -> set[Key]:
        replaced = {old for key in self.wanted for old in template.replaced(key)}
        return self._applied.get(row.schema, set()) - set(self.wanted) - replaced


def _stands_for(key: Key, applied: set[Key]) -> bool:
    replaced = template.replaced(key)
    return bool(replaced) and applied.issuperset(replaced)


def _each(row: Row, name: str, keys: Iterable[Key], found: str) -> Iterator[Finding]:
    for key in sorted(keys):
        yield Finding(row.slug, name, ".".join(key), found, row.slug)


def _applied(connection: psycopg.Connection[Any], rows: Sequence[Row]) -> dict[str, set[Key]]:
    found: dict[str, set[Key]] = {row.schema: set() for row in rows}
    if not rows:
        return found
    question = "SELECT {} AS schema, app, name FROM {}.django_migrations"
    parts = [sql.SQL(question).format(row.schema, sql.Identifier(row.schema)) for row in rows]
    for schema, app, name in connection.execute(sql.SQL(" UNION ALL ").join(parts)):
        found[schema].add((app, name))
    return found


def _told(connection: psycopg.Connection[Any], rows: Sequence[Row]) -> dict[Any, dict[Key, tuple[str, str]]]:
    found: dict[Any, dict[Key, tuple[str, str]]] = defaultdict(dict)
    question = (
        "SELECT tenant_id, app, name, state, error FROM shared.tenants_tenantmigration WHERE tenant_id = ANY (%s)"
    )
    for tenant, app, name, state, error in connection.execute(question, [[row.id for row in rows]]):
        found[tenant][app, name] = (state, error)
    return found
