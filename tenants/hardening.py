"""What only a superuser can do to the walls: `harden` closes what PostgreSQL leaves open, `relax` lets migrations in.

`sql/harden.sql` takes from everybody what tenants' statements do not need (settings, code, SQL from text, catalogs)
and takes the guards of the trails out of the owner's hands. `sql/relax.sql` gives the owner back the guards alone,
for migrations that change trails. Both begin with `sql/unguard.sql`, may be run again and again, and say in the
platform log that they ran. Where no superuser is to be had, nothing depends on it; `manage.py tenants doctor` says
what remains open then.

The owner may have put code of his own anywhere but into a hardened database's guards: the superuser's session reads
catalogs alone, and names nothing by a path that the owner may write. The entry is the owner's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import connections, transaction
from django.db.backends.postgresql.base import DatabaseWrapper
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from tenants import sql
from tenants.context import SYSTEM, Actor, Origin, scope_or_none
from tenants.errors import BadInput, DomainError, ScopeConflict
from tenants.provisioning import owner_scope
from tenants.recording import record

MAX_REASON = 1000
_FOLDER = str(Path(sql.__file__).parent)
_HARDEN, _RELAX = ("unguard.sql", "harden.sql"), ("unguard.sql", "relax.sql")
_ALIAS = "superuser"
# Nobody may wait behind it for long: it takes a lock that creating a tenant waits for.
_OPTIONS = "-c search_path=pg_catalog,pg_temp -c timezone=UTC -c lock_timeout=10s"
_VERSION = "SELECT obj_description(oid, 'pg_event_trigger') FROM pg_event_trigger WHERE evtname = 'daybook_commands'"
# Whether a session of the owner's, by its process and its transaction, is one of this server in this database.
_SAME = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s AND backend_xid::text = %s AND datname = current_database())
"""


class NoSuperuser(DomainError):
    """Hardening takes a superuser: say --url, or set SUPERUSER_DATABASE_URL, with his address for this database."""


def harden(url: str, *, actor: Actor = SYSTEM, origin: Origin | None = None) -> None:
    """Close what only a superuser can close, in the database that `url` names. One transaction, any number of times.

    `url` is a libpq address or connection string of a superuser. Leaves `database.hardened` in the platform log,
    as the owner. Raises BadInput, NoSuperuser, NoOwner, ScopeConflict.
    """
    _run(url, _HARDEN, "database.hardened", "", actor, origin)


def relax(url: str, *, reason: str, actor: Actor = SYSTEM, origin: Origin | None = None) -> None:
    """Give the owner back trails and guards, so that a migration may change them, until `harden` runs again.

    Leaves `database.relaxed` with the reason in the platform log. Otherwise as `harden`.
    """
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON:
        raise BadInput(f"Say why, in 1 to {MAX_REASON} characters.")
    _run(url, _RELAX, "database.relaxed", reason, actor, origin)


def version(url: str) -> str | None:
    """Return which script hardened the database that `url` names; None if the owner's commands are not watched.

    Raises BadInput, NoSuperuser.
    """
    with _superuser(url) as connection, connection.cursor() as cursor:
        cursor.execute(_VERSION)
        row = cursor.fetchone()
        return None if row is None else str(row[0])


def own_version() -> str:
    """Return which script `harden` of this release would run."""
    return hashlib.sha256(b"".join((Path(_FOLDER) / name).read_bytes() for name in _HARDEN)).hexdigest()[:16]


def _run(url: str, scripts: tuple[str, ...], action: str, reason: str, actor: Actor, origin: Origin | None) -> None:
    """Run scripts as the superuser, within the owner's transaction that says so: it commits after them."""
    if scope_or_none() is not None:
        raise ScopeConflict("The database is hardened and relaxed outside any scope: it takes another login.")
    with _superuser(url) as connection, connection.cursor() as cursor:
        _check_migrated(cursor)
        name = str(connection.settings_dict["NAME"])
        with owner_scope(actor, origin) as owner:
            record(action, ("database", name, name), description=reason)
            _check_same(cursor, owner)
            with transaction.atomic(using=_ALIAS):
                for script in scripts:
                    cursor.execute(sql.load(_FOLDER, script, version=own_version()))


@contextmanager
def _superuser(url: str) -> Iterator[DatabaseWrapper]:
    """Connect as the superuser under an alias that exists for the time of the block, in this thread alone."""
    connection = DatabaseWrapper(_settings(url), _ALIAS)
    connections[_ALIAS] = connection
    try:
        _check(connection)
        yield connection
    finally:
        del connections[_ALIAS]
        connection.close()


def _settings(url: str) -> dict[str, Any]:
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except ProgrammingError as error:
        raise BadInput(
            "The superuser's address is not of the form postgresql://login:password@host/database."
        ) from error
    if not url or "dbname" not in parts:
        raise NoSuperuser
    named = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    own = {name: parts.pop(part, "") for name, part in named.items()}
    like = {**connections.settings["default"], "CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": False}
    return {**like, **own, "OPTIONS": {**parts, "options": _OPTIONS}}


def _check(connection: DatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        if not cursor.fetchone()[0]:
            raise NoSuperuser(
                f"{connection.settings_dict['USER'] or 'This login'} is no superuser: hardening takes one."
            )


def _check_migrated(cursor: Any) -> None:
    cursor.execute("SELECT to_regclass('shared.platform_log') IS NOT NULL")
    if not cursor.fetchone()[0]:
        raise BadInput("The database has no tables yet: run `manage.py upgrade` first.")


def _check_same(cursor: Any, owner: DatabaseWrapper) -> None:
    with owner.cursor() as other:
        other.execute("SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_current_xact_id()::text")
        pid, full = other.fetchone()
    # Activity tells of a transaction's last 32 bits.
    cursor.execute(_SAME, [pid, str(int(full) % 2**32)])
    if not cursor.fetchone()[0]:
        raise BadInput("The superuser's address names another database than MIGRATION_DATABASE_URL: they share one.")
