"""A login and a database for each peer on the server of the run, and settings of that server for a while."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bench.base import DATABASE, Bench
from bench.capture.adapter import DATABASE_VARIABLE
from bench.capture.roster import Entrant

# Tables whose growth is not that of a log: the model's own.
_SIZE = """
SELECT sum(pg_total_relation_size(pg_class.oid))::bigint FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind IN ('r', 'm') AND nspname NOT IN ('pg_catalog', 'information_schema')
  AND relname NOT IN ('docs_doc', 'docs_plain_doc', 'docs_author')
"""


@dataclass(frozen=True)
class Databases:
    """Databases of peers: all of one login that owns them and can nothing else."""

    bench: Bench
    login: str
    password: str

    def environment(self, entrant: Entrant) -> dict[str, str]:
        """Make the entrant's database anew; return what its worker's environment is to be."""
        if entrant.ours:
            return {**os.environ, "DJANGO_SETTINGS_MODULE": "bench.capture.settings"}
        name = self._name(entrant)
        with self.bench.admin() as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            admin.execute(f"CREATE DATABASE {name} OWNER {self.login}".encode())
        server = conninfo_to_dict(self.bench.superuser)
        address = {"HOST": server["host"], "PORT": server.get("port", ""), "NAME": name}
        login = {"USER": self.login, "PASSWORD": self.password}
        # Nothing of the project's own settings: a peer finds its database by this alone.
        return {"PATH": os.environ["PATH"], DATABASE_VARIABLE: json.dumps({**address, **login})}

    def size(self, entrant: Entrant) -> int:
        """Return the bytes of all tables and indexes but the model's own."""
        name = DATABASE if entrant.ours else self._name(entrant)
        with psycopg.connect(make_conninfo(self.bench.superuser, dbname=name)) as connection:
            row = connection.execute(_SIZE).fetchone()
        assert row
        return int(row[0])

    def drop(self, entrant: Entrant) -> None:
        """Remove the entrant's database, which may hold gigabytes."""
        if not entrant.ours:
            with self.bench.admin() as admin:
                admin.execute(f"DROP DATABASE IF EXISTS {self._name(entrant)} WITH (FORCE)".encode())

    def _name(self, entrant: Entrant) -> str:
        return f"{self.login}_{entrant.name}"


def databases(bench: Bench) -> Databases:
    """Make the login of the peers, or give the one of an earlier run a new password."""
    found = Databases(bench, f"{DATABASE}_peer", secrets.token_hex(16))
    with bench.admin() as admin:
        exists = admin.execute("SELECT FROM pg_roles WHERE rolname = %s", [found.login]).fetchone()
        verb = "ALTER" if exists else "CREATE"
        admin.execute(f"{verb} ROLE {found.login} LOGIN PASSWORD '{found.password}'".encode())
    return found


@contextmanager
def committing(bench: Bench, *, durably: bool) -> Iterator[None]:
    """Let the server's commits wait for the disk in the block, or not."""
    with bench.admin() as admin:
        _set(admin, f"ALTER SYSTEM SET synchronous_commit = {'on' if durably else 'off'}")
        try:
            yield
        finally:
            _set(admin, "ALTER SYSTEM RESET synchronous_commit")


def _set(admin: psycopg.Connection[tuple[object, ...]], statement: str) -> None:
    admin.execute(statement.encode())
    admin.execute("SELECT pg_reload_conf()")
