"""What the doctor proves of this product's walls: the file of facts, and what nobody may do to a trail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from psycopg import Connection

from audit.capture.installed import differences
from tenants.doctor import expected
from tenants.doctor.directory import Row
from tenants.doctor.expected import Attempt
from tenants.doctor.findings import Finding

# The append-only tables of a tenant's schema, each with a column.
_TRAILS = {"audit_log": "action", "usage_log": "metric", "audit_user_agent": "user_agent"}


def fill() -> None:
    """Tell the doctor."""
    expected.files[:] = settings.WALLS
    expected.examiners[:] = [_captured]
    for table, column in _TRAILS.items():
        expected.attempts.extend(_changes(f"{{schema}}.{table}", column, "tenant"))
    expected.attempts.extend(_changes("shared.platform_log", "action", "platform"))
    expected.attempts += [
        Attempt("read_platform_log", "SELECT FROM shared.platform_log"),
        Attempt("platform_reads", "SELECT FROM {schema}.audit_log", role="platform"),
        # Row security shows nothing to a transaction that has not said why.
        Attempt("reads_without_reason", "SELECT FROM {schema}.audit_log LIMIT 1", role="auditor", empty=True),
    ]


def _captured(connection: Connection[Any], rows: Sequence[Row]) -> Iterator[Finding]:
    """Yield what differs of capture in tenants' schemas; that of the shared tables stands in the file of facts."""
    slugs = {row.schema: row.slug for row in rows}
    for each in differences(connection, list(slugs)):
        if each.schema in slugs:
            slug = slugs[each.schema]
            yield Finding(slug, f"capture.{each.word}", each.subject, f"is {each.word}", slug)


def _changes(table: str, column: str, role: str) -> list[Attempt]:
    name = table.rpartition(".")[2]
    return [
        Attempt(f"update_{name}", f"UPDATE {table} SET {column} = {column} WHERE false", role=role),  # noqa: S608
        Attempt(f"delete_{name}", f"DELETE FROM {table} WHERE false", role=role),  # noqa: S608
        Attempt(f"truncate_{name}", f"TRUNCATE {table}", role=role),
    ]
