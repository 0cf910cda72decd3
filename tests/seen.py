"""What capture wrote of a test's rows, read beyond all walls: the oracle of the tests under tests/capture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from world import World

_ZERO = UUID(int=0)
Session = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Told:
    """An entry that the database wrote by itself. `changes` are all of them, `personal` those that can be erased."""

    action: str
    operation: str
    type: str
    id: str
    label: str | None
    changes: dict[str, Any]
    targets: Any
    actor: tuple[str, str, str | None]
    source: str
    transaction: int
    row: dict[str, Any] = field(repr=False, compare=False)

    @property
    def says(self) -> tuple[str, str, dict[str, Any]]:
        """Return what most tests ask: the action, the type, the changes."""
        return self.action, self.type, self.changes


class Trail:
    """One trail from a moment on: that of a tenant, or (without a slug) the platform log."""

    def __init__(self, world: World, slug: str | None = "acme") -> None:
        self._world, self._last = world, _ZERO
        place = world.tenant(slug).schema_name if slug else "shared"
        self.schema, self.table = place, f"{place}.{'audit_log' if slug else 'platform_log'}"
        self.told()

    def told(self) -> list[Told]:
        """Return what the database wrote by itself since this was asked before, oldest first."""
        return [_told(row) for row in self.rows() if row["captured"]]

    def rows(self) -> list[dict[str, Any]]:
        """Return all that was written since this was asked before, oldest first."""
        with psycopg.connect(self._world.superuser, dbname=self._world.database, row_factory=dict_row) as connection:
            query = f"SELECT * FROM {self.table} WHERE id > %s ORDER BY id"
            found = connection.execute(query.encode(), [self._last]).fetchall()
        self._last = found[-1]["id"] if found else self._last
        return found

    def text(self) -> str:
        """Return all that the trail and its dictionary of agents say, as one text."""
        agents = self.table.replace("_log", "_user_agent")
        rows = self._world.sql(f"SELECT to_jsonb(t)::text FROM {self.table} AS t")
        rows += self._world.sql(f"SELECT to_jsonb(t)::text FROM {agents} AS t")
        return "\n".join(text for (text,) in rows)


def _told(row: dict[str, Any]) -> Told:
    return Told(
        action=row["action"],
        operation=row["operation"],
        type=row["resource_type"],
        id=row["resource_id"],
        label=row["resource_label"],
        changes={**(row["changes"] or {}), **(row["personal"] or {})},
        targets=row["targets"],
        actor=(row["actor_type"], row["actor_id"], row["actor_label"]),
        source=row["source"],
        transaction=row["transaction_id"],
        row=row,
    )


def done(world: World, work: Callable[[], object], slug: str = "acme", name: str | None = "alice") -> list[Told]:
    """Run something in a tenant as one of its people; return what the database wrote of it."""
    trail = Trail(world, slug)
    with world.scope(slug, name):
        work()
    return trail.told()


@contextmanager
def session(world: World, who: str, slug: str = "acme") -> Iterator[Session]:
    """Connect as psql would, in a tenant's schema and without a context: `tenant` (its role), `owner`, `superuser`."""
    from django.conf import settings

    from tenants.backend.unit import tenant_role

    owner = settings.DATABASES["owner"]
    place: dict[str, Any] = {"dbname": world.database, "autocommit": True}
    if who == "tenant":
        place |= world.dsn(slug)
    elif who == "owner":
        place |= {"host": owner["HOST"], "port": owner["PORT"], "user": owner["USER"], "password": owner["PASSWORD"]}
    tenant = world.tenant(slug)
    with psycopg.connect(*([world.superuser] if who == "superuser" else []), **place) as connection:
        if who == "tenant":
            connection.execute(f"SET ROLE {tenant_role(tenant.id)}".encode())
        connection.execute(f"SET search_path = {tenant.schema_name}, shared".encode())
        yield connection


def install(world: World, table: str, key: dict[str, str], others: dict[str, str], **spec: Any) -> None:
    """Make a table in acme's schema with the types of columns that are given, and capture it as a migration would."""
    from audit.capture.operation import Capture
    from tenants.backend.unit import tenant_role

    both = {**key, **others}
    told = [[name, name, kind] for name, kind in both.items()]
    capture = Capture(table=table, resource_type="thing", **{"key": told[: len(key)], "columns": told, **spec})
    name, fields = _quoted(table), ", ".join(f"{_quoted(column)} {kind}" for column, kind in both.items())
    with session(world, "superuser") as psql:
        psql.execute("SET ROLE daybook_owner")
        psql.execute(f"CREATE TABLE {name} ({fields}, PRIMARY KEY ({', '.join(map(_quoted, key))}))".encode())
        psql.execute(str(capture.sql).encode())
        psql.execute(f"GRANT ALL ON {name} TO {tenant_role(world.acme.id)}".encode())


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
