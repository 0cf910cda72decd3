"""What only a superuser can close (`manage.py tenants harden`): whether it is closed, judged by its effect.

On a managed PostgreSQL nobody may do it. Then these are notes that say what remains possible, not breaches.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg

from tenants.doctor.facts import fixed_roles
from tenants.doctor.findings import BREACH, NOTE, Finding
from tenants.hardening import own_version

_VERSION = "SELECT obj_description(oid, 'pg_event_trigger') FROM pg_event_trigger WHERE evtname = 'daybook_commands'"
EVENT_TRIGGERS = ("daybook_start", "daybook_commands", "daybook_drops")

# What a tenant's role can do where a right is open: id, the question to the catalog, what remains possible.
_OPEN: tuple[tuple[str, str, str], ...] = (
    ("set_config", "has_function_privilege(%(role)s, 'pg_catalog.set_config(text,text,boolean)', 'EXECUTE')",
     "an injected SELECT can change its role to another tenant's of the same login"),
    ("do", "has_language_privilege(%(role)s, 'plpgsql', 'USAGE')",
     "an injection at a statement's start can run a block of code (DO)"),
    ("pg_settings", "has_table_privilege(%(role)s, 'pg_catalog.pg_settings', 'UPDATE')",
     "an injected UPDATE of pg_settings can change its role to another tenant's of the same login"),
    ("sql_from_text",
     "has_function_privilege(%(role)s, 'pg_catalog.query_to_xml(text,boolean,boolean,text)', 'EXECUTE')",
     "an injected SELECT can run other statements that it carries as text"),
    ("ts_stat", "has_function_privilege(%(role)s, 'pg_catalog.ts_stat(text)', 'EXECUTE')",
     "an injected SELECT can run other statements that it carries as text"),
    ("catalogs", "has_table_privilege(%(role)s, 'pg_catalog.pg_namespace', 'SELECT')",
     "a tenant can count the others and read the names of their schemas, which say nothing"),
    ("large_objects", "has_function_privilege(%(role)s, 'pg_catalog.lo_create(oid)', 'EXECUTE')",
     "a tenant can keep large objects outside its schema"),
    ("session_locks", "has_function_privilege(%(role)s, 'pg_catalog.pg_advisory_lock(bigint)', 'EXECUTE')",
     "a tenant can hold advisory locks until its session ends"),
)  # fmt: skip

# Other languages that a tenant's role may write a block of code in; sql has none.
_LANGUAGES = (
    "SELECT lanname FROM pg_language WHERE lanpltrusted AND lanname NOT IN ('sql', 'plpgsql')"
    " AND has_language_privilege(%s, oid, 'USAGE') ORDER BY 1"
)


def hardened(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether a superuser has hardened this database, be it in part."""
    return bool(_event_triggers(connection)) or bool(
        _one(connection, "SELECT to_regclass('guard.protected') IS NOT NULL")
    )


def examine(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    """Yield what is open. Where a superuser has been at work it is a breach, elsewhere a note."""
    role = fixed_roles()["tenant"]
    still_open = [each for each in _OPEN if _one(connection, f"SELECT {each[1]}", role=role)]
    level = BREACH if hardened(connection) or len(still_open) < len(_OPEN) else NOTE
    for name, _, possible in still_open:
        yield Finding("database", f"hardening.{name}", name, possible, level=level)
    for (language,) in connection.execute(_LANGUAGES, [role]).fetchall():
        found = "an injection at a statement's start can run a block of code (DO) in it"
        yield Finding("database", "hardening.language", language, found, level=level)
    modes = _event_triggers(connection)
    for trigger in EVENT_TRIGGERS:
        if modes.get(trigger) != "A":
            what = {None: "is not there", "D": "is disabled"}.get(modes.get(trigger), "does not fire always")
            found = f"{what}: the owner's login can take the guards off a trail"
            yield Finding("database", "hardening.event_trigger", trigger, found, level=level)
    if modes and _one(connection, _VERSION) != own_version():
        yield Finding("database", "hardening.old", "harden.sql", "was run by another version", level=level)


def unprotected(connection: psycopg.Connection[Any], schemas: list[str]) -> list[tuple[str, str]]:
    """Return (schema, table) of guarded tables that the registry of a hardened database does not have."""
    if not _one(connection, "SELECT has_table_privilege(to_regclass('guard.protected'), 'SELECT')"):
        return []  # It is missing or closed, which is a finding of its own.
    return connection.execute(
        "SELECT n.nspname, c.relname FROM pg_namespace AS n JOIN pg_class AS c ON c.relnamespace = n.oid"
        " WHERE n.nspname = ANY (%s) AND c.relkind IN ('r', 'p')"
        " AND EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgname = 'refuse_truncate')"
        " AND NOT EXISTS (SELECT FROM guard.protected AS p WHERE p.kind = 'pg_class'::regclass AND p.object = c.oid)"
        " ORDER BY 1, 2",
        [schemas],
    ).fetchall()


def _event_triggers(connection: psycopg.Connection[Any]) -> dict[str, str]:
    rows = connection.execute(
        "SELECT evtname, evtenabled::text FROM pg_event_trigger WHERE evtname = ANY (%s)", [list(EVENT_TRIGGERS)]
    )
    return dict(rows.fetchall())


def _one(connection: psycopg.Connection[Any], question: str, **parameters: str) -> Any:
    row = connection.execute(question.encode(), parameters or None).fetchone()
    return row[0] if row else None
