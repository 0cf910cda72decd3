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
