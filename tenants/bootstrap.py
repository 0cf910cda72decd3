"""Prepare an empty PostgreSQL for Daybook: roles and one database. Needs an administrator, and no Django."""

from __future__ import annotations

from pathlib import Path

import psycopg
from psycopg import sql

_ROLES = ("owner", "app", "platform", "auditor", "account", "guard", "tenant", "login")
_FOLDER = Path(__file__).parent / "sql"


def bootstrap(
    admin_dsn: str, *, database: str, owner_password: str, app_password: str, prefix: str = "daybook"
) -> bool:
    """Create roles and database unless they exist. Returns whether the database is new.

    The logins are `<prefix>_owner` (for MIGRATION_DATABASE_URL) and `<prefix>_app` (for DATABASE_URL).
    """
    roles = {role: f"{prefix}_{role}" for role in _ROLES}
    with psycopg.connect(admin_dsn, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [roles["owner"]]).fetchone():
            with connection.transaction():
                connection.execute(
                    _fill("bootstrap.sql", roles, owner_password=owner_password, app_password=app_password)
                )
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
            # The builtin provider sorts by code point: ids and hashes mean the same on every machine.
            create = (
                "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
            )
            connection.execute(sql.SQL(create).format(sql.Identifier(database)))
    with psycopg.connect(admin_dsn, dbname=database) as connection:
        # A run that was killed may have left the database without its schemas; they come in one transaction.
        if connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'shared'").fetchone():
            return False
        connection.execute(_fill("database.sql", {**roles, "database": f'"{database}"'}))
    return True


def _fill(name: str, names: dict[str, str], **literals: str) -> bytes:
    text = (_FOLDER / name).read_text(encoding="utf-8")
    for word, value in {**names, **{key: sql.Literal(value).as_string() for key, value in literals.items()}}.items():
        text = text.replace("{" + word + "}", value)
    return text.encode()
