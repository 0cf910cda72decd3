"""Proof by doing: what must be refused is tried, as the role that an injection would have, and rolled back.

The statements touch no row, and are refused before they take a lock that anyone would wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import psycopg
from django.conf import settings
from psycopg import errors, sql

from tenants.backend.pool import password_of
from tenants.doctor.directory import Row, by_login
from tenants.doctor.expected import Attempt, attempts
from tenants.doctor.facts import connect, fixed_roles
from tenants.doctor.findings import Finding

Connection = psycopg.Connection[Any]
APPLICATION = "default"
_REFUSED = (errors.InsufficientPrivilege, errors.RestrictViolation)
# What is not there can be neither read nor changed; the facts tell that it is missing.
_ABSENT = (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedColumn)


def prove(rows: Sequence[Row], others: Sequence[Row]) -> Iterator[Finding]:
    """Try all attempts as each tenant's role; `others` are tenants whose schemas must stay closed to them."""
    for login, tenants in by_login(rows).items():
        yield from _signed_in(login, partial(_as_tenants, rows=tenants, others=others))
    yield from _signed_in("", partial(_as_application, rows=rows))


def _signed_in(login: str, work: Callable[[Connection], Iterator[Finding]]) -> Iterator[Finding]:
    """Do some work on a connection of a login (none: the application's own)."""
    try:
        connection = connect(APPLICATION, login, _password(login))
    except psycopg.OperationalError as error:
        name = login or str(settings.DATABASES[APPLICATION]["USER"])
        yield Finding(name, "login.refused", name, f"cannot sign in: {_line(error)}")
        return
    # Closed, not left: psycopg would commit what got through.
    with closing(connection):
        yield from work(connection)


def _as_application(connection: Connection, rows: Sequence[Row]) -> Iterator[Finding]:
    for attempt in attempts:
        if attempt.role != "tenant":
            for row in rows if "{schema}" in attempt.statement else rows[:1]:
                yield from _try(connection, row, row, attempt, fixed_roles()[attempt.role])


def _as_tenants(connection: Connection, rows: Sequence[Row], others: Sequence[Row]) -> Iterator[Finding]:
    for row in rows:
        yield from _as_tenant(connection, row, others)


def _as_tenant(connection: Connection, row: Row, others: Sequence[Row]) -> Iterator[Finding]:
    other = next((other for other in others if other.id != row.id), None)
    for attempt in attempts:
        if attempt.role == "tenant" and (other or "{other}" not in attempt.statement):
            yield from _try(connection, row, other or row, attempt, row.role)


def _try(connection: Connection, row: Row, other: Row, attempt: Attempt, role: str) -> Iterator[Finding]:
    """Yield a finding if an attempt got through, or failed of something else than a wall."""
    tenant = row.slug if attempt.role == "tenant" or "{schema}" in attempt.statement else None
    words = {"schema": row.schema, "other": other.schema, **fixed_roles()}
    statement = attempt.statement.format_map(words)
    bound = sql.SQL("ROLLBACK; BEGIN; SET LOCAL ROLE {}; ").format(sql.Identifier(role)).as_string() + statement
    try:
        rows = _rows(connection, bound)
    except _REFUSED + _ABSENT:
        return
    except psycopg.DatabaseError as error:
        if connection.closed:
            raise
        yield Finding(tenant or "shared", "proof.unclear", attempt.name, f"{attempt.role}: {_line(error)}", tenant)
        return
    if rows > 0 or not attempt.empty:
        yield Finding(tenant or "shared", f"proof.{attempt.name}", role, f"got through: {attempt.statement}", tenant)


def _rows(connection: Connection, statements: str) -> int:
    """Run statements in one message, and return how many rows the last of them had, columns or none.

    It is not committed: the next message, or the end of the connection, rolls it back.
    """
    cursor = connection.execute(statements.encode())
    while cursor.nextset():
        pass
    return cursor.rowcount


def _password(login: str) -> str:
    secret = settings.DATABASES[APPLICATION].get("PASSWORD")
    return password_of(login, str(secret)) if secret else ""


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
