"""A yard with a row in every trail and partition, where the guards are tried under each role: `Yard.succeeded`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
from attacks import DDL
from django.conf import settings
from psycopg import sql
from psycopg.conninfo import make_conninfo
from world import World

from audit.entry import first_id
from audit.models import AuditLog
from audit.usage import record_usage
from subscriptions import platform_log
from tenants import hardening
from tenants.backend.unit import auditor_role, platform_role, tenant_role
from tenants.context import Origin, platform_scope

Connection = psycopg.Connection[Any]
_GUARDS = (
    "SELECT tgrelid, tgname, tgfoid, tgenabled, tgtype, tgargs FROM pg_trigger ORDER BY 1, 2",
    "SELECT ev_class, rulename FROM pg_rewrite WHERE rulename <> '_RETURN' ORDER BY 1, 2",
    "SELECT polrelid, polname, polqual::text, polroles::text FROM pg_policy ORDER BY 1, 2",
    "SELECT oid, relname, relnamespace, relowner, relrowsecurity FROM pg_class WHERE relkind <> 't' ORDER BY 1",
    "SELECT attrelid, attname, attnotnull, atttypid FROM pg_attribute WHERE attrelid >= 16384 ORDER BY 1, 2",
    "SELECT conrelid, conname, convalidated FROM pg_constraint ORDER BY 1, 2",
    "SELECT inhrelid, inhparent FROM pg_inherits ORDER BY 1, 2",
    "SELECT oid, proname, proowner, prosrc, prosecdef, proconfig FROM pg_proc WHERE oid >= 16384 ORDER BY 1",
    "SELECT oid, nspname, nspowner FROM pg_namespace ORDER BY 1",
    "SELECT evtname, evtenabled FROM pg_event_trigger ORDER BY 1",
    "SELECT kind, object FROM guard.protected ORDER BY 1, 2",
)
NEXT_MONTH = (datetime.now(UTC).replace(day=1) + timedelta(days=40)).replace(day=1)
TRAILS = {"audit_log": "acme", "usage_log": "acme", "platform_log": "shared"}
AGENTS = {"audit_user_agent": "acme", "platform_user_agent": "shared"}
PARTS = ("", "_default", f"_{NEXT_MONTH:%Y_%m}")
RELATIONS = [trail + part for trail in TRAILS for part in PARTS] + list(AGENTS)
ROLES = ("tenant", "platform", "auditor", "owner", "login")

CHANGES = {
    "update": "UPDATE {t} SET {column} = {column}",
    "update of another column": "UPDATE {t} SET id = id",
    "delete": "DELETE FROM {t}",
    "truncate": "TRUNCATE {t}",
    "truncate of partitions alone": "TRUNCATE ONLY {t}",
    "on conflict do update": "INSERT INTO {t} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {t} "
    "ON CONFLICT (id) DO UPDATE SET {column} = excluded.{column}",
    "merge update": "MERGE INTO {t} USING (SELECT 1) ON true WHEN MATCHED THEN UPDATE SET {column} = {column}",
    "merge delete": "MERGE INTO {t} USING (SELECT 1) ON true WHEN MATCHED THEN DELETE",
    "writable cte": "WITH gone AS (DELETE FROM {t} RETURNING 1) SELECT count(*) FROM gone",
    "update of locked rows": "UPDATE {t} SET {column} = {column} WHERE id IN (SELECT id FROM {t} FOR UPDATE)",
}
FALSE_IDS: dict[str, Callable[[], UUID]] = {
    "past": lambda: id_of(datetime(2020, 1, 1, tzinfo=UTC)),
    "recent": lambda: id_of(datetime.now(UTC) - timedelta(seconds=2)),
    "future": lambda: id_of(NEXT_MONTH + timedelta(days=3)),
    "random": uuid4,
    "nil": lambda: UUID(int=0),
}


def id_of(moment: datetime) -> UUID:
    """Return a UUIDv7 that says a moment."""
    return UUID(int=first_id(moment).int | 7 << 76 | 2 << 62 | uuid4().int & 0xFFFFFFFF)


class Yard:
    """A world with rows in each trail and partition, and connections as each of the roles."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.schemas = {"acme": world.acme.schema_name, "shared": "shared"}
        with world.scope("acme", "alice", user_agent="probe/1.0"):
            AuditLog.log_action(None, "updated", "organization", "1", {"plan": {"old": "free", "new": "premium"}})
            record_usage("events", 1)
        with platform_scope(actor=world.actor("sam"), origin=Origin(user_agent="probe/1.0")):
            platform_log.log_action("updated", "plan", "1")
        for trail in TRAILS:
            self._partition(trail)

    def _partition(self, trail: str) -> None:
        """Make next month's partition as the owner, and put a row into it, which takes a superuser."""
        part = self.name(trail + PARTS[2])
        with self.as_role("owner") as connection:
            connection.execute(f"CALL guard.add_partition('{self.name(trail)}', '{NEXT_MONTH:%Y-%m-%d}')")
        columns = self.columns(trail)
        values = columns.replace(" id", f" '{FALSE_IDS['future']()}'", 1)
        self.world.sql(f"""ALTER TABLE {part} DISABLE TRIGGER check_id;
            INSERT INTO {part} ({columns}) SELECT {values} FROM {self.name(trail)} LIMIT 1;
            ALTER TABLE {part} ENABLE ALWAYS TRIGGER check_id""")

    def name(self, relation: str) -> str:
        """Return a relation's name with its schema."""
        tables = {**TRAILS, **AGENTS}
        return f"{self.schemas[tables[max((t for t in tables if relation.startswith(t)), key=len)]]}.{relation}"

    def columns(self, relation: str) -> str:
        """Return the columns that can be written, each after a space."""
        rows = self.world.sql(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND attgenerated = ''"
            " AND NOT attisdropped ORDER BY attnum",
            self.name(relation),
        )
        return " " + ", ".join(row[0] for row in rows)

    def contents(self) -> dict[str, str]:
        """Return a hash of each trail and dictionary, read beyond all walls."""
        query = "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} t"
        return {name: self.world.sql(query.format(self.name(name)))[0][0] for name in (*TRAILS, *AGENTS)}

    @contextmanager
    def as_role(self, role: str) -> Iterator[Connection]:
        """Connect as the owner or a superuser, or as one of the application's logins with a role of the wall set."""
        roles = {
            "tenant": tenant_role(self.world.acme.id),
            "platform": platform_role(),
            "auditor": auditor_role(),
        }
        with psycopg.connect(**self._dsn(role), autocommit=True) as connection:
            if role in roles:
                connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(roles[role])))
            yield connection

    def _dsn(self, role: str) -> dict[str, Any]:
        if role == "superuser":
            return {"conninfo": self.world.superuser, "dbname": self.world.database}
        dsn = self.world.dsn("acme" if role == "tenant" else None)
        owner = settings.DATABASES["owner"]
        return dsn | ({"user": owner["USER"], "password": owner["PASSWORD"]} if role == "owner" else {})

    @staticmethod
    def parts(trail: str) -> list[str]:
        """Return a trail, its partitions and its dictionary of user agents."""
        agents = {"audit_log": ["audit_user_agent"], "platform_log": ["platform_user_agent"]}
        return [trail + part for part in PARTS] + agents.get(trail, [])

    def guards(self) -> list[Any]:
        """Return all that guards the trails: triggers, rules, policies, columns, constraints, functions, owners."""
        return [self.world.sql(query) for query in _GUARDS]

    @contextmanager
    def relaxed(self) -> Iterator[None]:
        """Relax this database."""
        url = make_conninfo(self.world.superuser, dbname=self.world.database)
        hardening.relax(url, reason="a test")
        try:
            yield
        finally:
            hardening.harden(url)

    def ddl(self, relation: str) -> dict[str, Callable[[Connection], object]]:
        """Return the commands that may be tried on a relation, by name."""
        table = self.name(relation)
        trail = re.sub(r"_(default|\d{4}_\d\d)$", "", table)
        kind = "agents" if "agent" in relation else "trail" if table == trail else "part"
        names = {
            "t": table, "trail": trail, "name": relation, "schema": table.partition(".")[0],
            "column": "user_agent" if kind == "agents" else "metadata",
            "guard": f"{settings.DATABASE_ROLE_PREFIX}_guard", "me": settings.DATABASE_OWNER_ROLE,
        }  # fmt: skip
        tried = {name: attack.statement for name, attack in DDL.items() if kind in attack.on}
        return {name: self._statement(statement.format(**names)) for name, statement in tried.items()}

    def attacks(self, relation: str) -> dict[str, Callable[[Connection], object]]:
        """Return what may be tried on a relation, by name."""
        table, columns = self.name(relation), self.columns(relation)
        column = "user_agent" if "agent" in relation else "metadata"
        names = {"t": table, "columns": columns, "column": column}
        found: dict[str, Callable[[Connection], object]] = {
            name: self._statement(text.format(**names)) for name, text in CHANGES.items()
        }
        if "agent" in relation:
            return found
        # Without what the database itself would refuse: each check has to hold alone.
        columns = columns.replace(" transaction_id,", "").replace(", transaction_id", "")
        for name, false_id in FALSE_IDS.items():
            found[f"insert of a {name} id"] = self._insert(table, columns, false_id)
            found[f"copy of a {name} id"] = self._copy(table, columns, false_id)
        plain = columns.replace(" id,", "")
        for name, column, value in (
            ("created_at", "created_at", "now() - interval '1 day'"),
            ("transaction", "transaction_id", "1"),
        ):
            said = f"INSERT INTO {table} ({column}, {plain}) SELECT {value}, {plain} FROM {table} LIMIT 1"
            found[f"insert of a {name}"] = self._statement(said)
        return found

    @staticmethod
    def _statement(text: str) -> Callable[[Connection], object]:
        return lambda connection: connection.execute(text).rowcount

    def _insert(self, table: str, columns: str, false_id: Callable[[], UUID]) -> Callable[[Connection], object]:
        def insert(connection: Connection) -> int:
            values = columns.replace(" id", f" '{false_id()}'", 1)
            return connection.execute(f"INSERT INTO {table} ({columns}) SELECT {values} FROM {table} LIMIT 1").rowcount

        return insert

    def _copy(self, table: str, columns: str, false_id: Callable[[], UUID]) -> Callable[[Connection], object]:
        parent = re.sub(r"_(default|\d{4}_\d\d)$", "", table)
        with (
            psycopg.connect(self.world.superuser, dbname=self.world.database) as connection,
            connection.cursor().copy(f"COPY (SELECT {columns} FROM {parent} LIMIT 1) TO STDOUT") as out,
        ):
            row = b"".join(bytes(part) for part in out)

        def copy(connection: Connection) -> None:
            number = columns.replace(" ", "").split(",").index("id")
            fields = row.split(b"\t")
            fields[number] = str(false_id()).encode() + (b"\n" if number == len(fields) - 1 else b"")
            with connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as into:
                into.write(b"\t".join(fields))

        return copy

    def succeeded(
        self, role: str, relation: str, attacks: Mapping[str, Callable[[Connection], object]], *, undo: bool = False
    ) -> set[str]:
        """Try attacks on a relation as a role; return the names of those that the database did not refuse."""
        through = set()
        with self.as_role(role) as connection:
            for name, attack in attacks.items():
                with suppress(psycopg.DatabaseError), connection.transaction(force_rollback=undo):
                    # What found no row to change has changed nothing.
                    if attack(connection) != 0:
                        through.add(name)
        return through
