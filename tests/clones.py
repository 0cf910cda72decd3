"""Clones of a database, in which a test may break what it likes. Roles are the cluster's, and are not cloned."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from world import World

_ROLES = """
SELECT r.rolname, to_jsonb(r)::text FROM pg_roles AS r WHERE rolname = ANY (%(names)s)
UNION ALL SELECT m.roleid::regrole::text, to_jsonb(m)::text FROM pg_auth_members AS m
 WHERE m.roleid::regrole::text = ANY (%(names)s) AND m.member::regrole::text = ANY (%(names)s)
UNION ALL SELECT 'every role', setconfig::text FROM pg_db_role_setting WHERE setdatabase = 0 AND setrole = 0
"""


@contextmanager
def unchanged(superuser: psycopg.Connection[Any], names: list[str]) -> Iterator[None]:
    """Hold a test to leave roles, their memberships and settings as it found them, for those that come after it."""
    before = set(superuser.execute(_ROLES, {"names": names}))
    yield
    changed = before ^ set(superuser.execute(_ROLES, {"names": names}))
    assert not changed, f"The roles of all clones are not as they were before this test: {sorted(changed)}"


@contextmanager
def cloned(superuser: psycopg.Connection[Any], template: str) -> Iterator[World]:
    """Make a clone of a database for the time of the block, and point Django at it (about 30 ms)."""
    from django.db import connections

    before = connections["default"].settings_dict["NAME"]
    with copied(superuser, template) as there:
        _point(there.database)
        try:
            yield there
        finally:
            _point(before)


@contextmanager
def copied(superuser: psycopg.Connection[Any], template: str) -> Iterator[World]:
    """Make a clone of a database for the time of the block, beside the one that Django works in."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    superuser.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        # A clone has not the template's rights on the database itself.
        superuser.execute(
            f"REVOKE ALL ON DATABASE {name} FROM PUBLIC; GRANT CONNECT ON DATABASE {name} TO daybook_app, "
            f"daybook_login; GRANT CONNECT, CREATE ON DATABASE {name} TO daybook_owner"
        )
        yield World(name, os.environ["DAYBOOK_TEST_SUPERUSER"], json.loads(os.environ["DAYBOOK_TEST_KEYS"]))
    finally:
        superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")


def leave() -> None:
    """Close all connections to the present database: it can then be cloned."""
    from django.db import connections

    connections.close_all()
    close_pool()


def close_pool() -> None:
    """Close the pools of the application's logins, which may belong to another database."""
    from django.db import connections

    with suppress(KeyError):
        connections["default"].close_pool()  # type: ignore[attr-defined]


def _point(name: str) -> None:
    """Let Django's connections lead to another database."""
    from django.db import connections

    leave()
    for alias in connections:
        connections.settings[alias]["NAME"] = connections[alias].settings_dict["NAME"] = name
