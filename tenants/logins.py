"""The database logins that take on tenants' roles: cells of many tenants, and sealed ones of a single tenant.

An injection that could change its role would reach the tenants of the same login, and nothing else: neither the
platform's role, nor the gate, nor tenants of other logins. Logins are roles of the cluster, made by the owner.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from django.conf import settings
from psycopg import sql

from tenants.backend.pool import password_of
from tenants.backend.unit import tenant_role
from tenants.context import TenantLike


def cell(number: int) -> str:
    """Return the login of a cell, counted from 1."""
    return f"{settings.DATABASE_ROLE_PREFIX}_cell_{number}"


def sealed(tenant: TenantLike) -> str:
    """Return the login that a tenant has for itself on the sealed tier."""
    return f"{settings.DATABASE_ROLE_PREFIX}_sealed_{tenant.id.hex}"


def choose(cursor: Any) -> str:
    """Return the login of the first cell with room for a tenant, made if needed. In a transaction of the owner.

    Until it ends no other one chooses, so that no cell gets more than settings.TENANTS_PER_LOGIN.
    """
    cursor.execute("SELECT pg_advisory_xact_lock(hashtext('daybook.logins'))")
    cursor.execute("SELECT login, count(*) FROM shared.tenants_tenant GROUP BY login")
    tenants = dict(cursor.fetchall())
    login = next(login for login in map(cell, count(1)) if tenants.get(login, 0) < settings.TENANTS_PER_LOGIN)
    if login not in tenants:
        create(cursor, login)
    return login


def create(cursor: Any, login: str) -> None:
    """Create a login unless it is there: another database of the cluster may have it. In the owner's transaction."""
    cursor.execute("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", [login])
    if cursor.fetchone():
        return
    group = sql.Identifier(f"{settings.DATABASE_ROLE_PREFIX}_login")
    make = sql.SQL(
        "CREATE ROLE {login} LOGIN NOINHERIT {password}; GRANT {group} TO {login} WITH INHERIT TRUE, SET FALSE"
    )
    body = make.format(login=sql.Identifier(login), password=_password(cursor, login), group=group).as_string()
    guarded = sql.SQL("DO {}").format(sql.Literal(f"BEGIN {body}; EXCEPTION WHEN duplicate_object THEN NULL; END"))
    cursor.execute(guarded.as_string())


def renew(cursor: Any) -> list[str]:
    """Give each login the password that follows from the application's own, and return their names."""
    # Of the cluster's roles, not of the directory: a cell that is empty today is filled tomorrow.
    names = f"^{settings.DATABASE_ROLE_PREFIX}_(cell_[0-9]+|sealed_[0-9a-f]{{32}})$"
    cursor.execute("SELECT rolname FROM pg_catalog.pg_roles WHERE rolname ~ %s ORDER BY 1", [names])
    logins = [row[0] for row in cursor.fetchall()]
    for login in logins:
        change = sql.SQL("ALTER ROLE {} {}").format(sql.Identifier(login), _password(cursor, login))
        cursor.execute(change.as_string())
    return logins


def grant(cursor: Any, tenant: TenantLike, login: str) -> None:
    """Let a login take on a tenant's role."""
    _change(cursor, "GRANT {role} TO {login} WITH INHERIT FALSE, SET TRUE", tenant, login)


def revoke(cursor: Any, tenant: TenantLike) -> None:
    """Take a tenant's role from its login; one that it had for itself is dropped."""
    _change(cursor, "REVOKE {role} FROM {login}", tenant, tenant.login)
    if tenant.login == sealed(tenant):
        cursor.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(tenant.login)).as_string())


def _change(cursor: Any, statement: str, tenant: TenantLike, login: str) -> None:
    names = {"role": sql.Identifier(tenant_role(tenant.id)), "login": sql.Identifier(login)}
    cursor.execute(sql.SQL(statement).format(**names).as_string())


def _password(cursor: Any, login: str) -> sql.Composable:
    """Return the PASSWORD clause; what the server is told is a verifier, so that its log holds no secret."""
    given = settings.DATABASES["default"].get("PASSWORD")
    if not given:
        return sql.SQL("")
    pgconn = cursor.connection.pgconn
    secret = password_of(login, str(given)).encode()
    verifier = pgconn.encrypt_password(secret, login.encode(), b"scram-sha-256")
    return sql.SQL("PASSWORD {}").format(sql.Literal(verifier.decode()))
