"""The guards: nobody changes an entry, or says that it was written at another time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.conf import settings
from psycopg import sql
from world import World

from audit.entry import first_id
from audit.models import AuditLog
from audit.usage import record_usage
from subscriptions import platform_log
from tenants.backend.unit import platform_role, tenant_role
from tenants.context import Origin, platform_scope

Connection = psycopg.Connection[Any]
NEXT_MONTH = (datetime.now(UTC).replace(day=1) + timedelta(days=40)).replace(day=1)
TRAILS = {"audit_log": "acme", "usage_log": "acme", "platform_log": "shared"}
AGENTS = {"audit_user_agent": "acme", "platform_user_agent": "shared"}
PARTS = ("", "_default", f"_{NEXT_MONTH:%Y_%m}")
RELATIONS = [trail + part for trail in TRAILS for part in PARTS] + list(AGENTS)
ROLES = ("tenant", "platform", "owner")

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
        """Connect as the owner, or as the application's login with a role of the wall set."""
        database = settings.DATABASES["owner" if role == "owner" else "default"]
        parts = {"user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
        dsn: dict[str, Any] = {name: database[key] for name, key in parts.items()}
        roles = {"tenant": tenant_role(self.world.acme.id), "platform": platform_role(), "owner": dsn["user"]}
        with psycopg.connect(**dsn, dbname=self.world.database, autocommit=True) as connection:
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(roles[role])))
            yield connection

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
        for name, false_id in FALSE_IDS.items():
            found[f"insert of a {name} id"] = self._insert(table, columns, false_id)
            found[f"copy of a {name} id"] = self._copy(table, columns, false_id)
        said = f"INSERT INTO {table} (created_at, {columns}) SELECT now() - interval '1 day', {columns} FROM {table}"
        return {**found, "insert of a created_at": self._statement(said)}

    @staticmethod
    def _statement(text: str) -> Callable[[Connection], object]:
        return lambda connection: connection.execute(text)

    def _insert(self, table: str, columns: str, false_id: Callable[[], UUID]) -> Callable[[Connection], object]:
        def insert(connection: Connection) -> None:
            values = columns.replace(" id", f" '{false_id()}'", 1)
            connection.execute(f"INSERT INTO {table} ({columns}) SELECT {values} FROM {table} LIMIT 1")

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

    def succeeded(self, role: str, relation: str, *, undo: bool = False) -> set[str]:
        """Try each attack as a role; return the names of those that the database did not refuse."""
        through = set()
        with self.as_role(role) as connection:
            for name, attack in self.attacks(relation).items():
                with suppress(psycopg.DatabaseError), connection.transaction(force_rollback=undo):
                    attack(connection)
                    through.add(name)
        return through


@pytest.fixture
def yard(world: World) -> Yard:
    return Yard(world)


@pytest.mark.parametrize("table", [*TRAILS, *AGENTS])
@pytest.mark.parametrize("role", ROLES)
def test_nobody_changes_an_entry_or_its_time(yard: Yard, role: str, table: str) -> None:
    before = yard.contents()
    parts = [relation for relation in RELATIONS if relation.startswith(table)]
    assert {part: yard.succeeded(role, part) for part in parts} == {part: set() for part in parts}
    assert yard.contents() == before


@pytest.mark.parametrize("relation", [*TRAILS, *AGENTS])
@pytest.mark.parametrize("role", ROLES)
def test_without_the_guards_the_same_attacks_succeed(yard: Yard, role: str, relation: str) -> None:
    for name in RELATIONS:
        yard.world.sql(f"ALTER TABLE {yard.name(name)} DISABLE TRIGGER USER")
    if role != "owner":
        group = f"{settings.DATABASE_ROLE_PREFIX}_{role}"
        yard.world.sql(f"""GRANT ALL ON {yard.name(relation)} TO {group};
            GRANT USAGE ON SCHEMA {yard.schemas["acme"]} TO {group}""")
    yard.world.sql(f"ALTER TABLE {yard.name(relation)} DISABLE ROW LEVEL SECURITY")
    # These PostgreSQL itself never allows: a computed column is not written, an identity not updated.
    never = {"insert of a created_at"}
    never |= {"update of another column"} if relation in AGENTS else {"truncate of partitions alone"}
    assert yard.succeeded(role, relation, undo=True) == set(yard.attacks(relation)) - never


def test_a_false_id_goes_in_once_its_check_alone_is_off(yard: Yard) -> None:
    yard.world.sql(f"ALTER TABLE {yard.name('usage_log')} DISABLE TRIGGER check_id")
    wanted = {f"{way} of a {name} id" for way in ("insert", "copy") for name in FALSE_IDS}
    assert yard.succeeded("tenant", "usage_log", undo=True) == wanted


def test_the_guards_fire_for_replication_too_and_on_each_partition(yard: Yard) -> None:
    for relation in RELATIONS:
        rows = yard.world.sql(
            "SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal",
            yard.name(relation),
        )
        wanted = {"refuse_change", "refuse_truncate"} | (set() if "agent" in relation else {"check_id"})
        assert {name for name, _ in rows} == wanted, relation
        assert {enabled for _, enabled in rows} == {"A"}, relation


def test_a_new_partition_takes_the_entries_of_its_month(yard: Yard) -> None:
    part = yard.name(f"audit_log{PARTS[2]}")
    bounds = yard.world.sql("SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = %s::regclass", part)[0][0]
    following = (NEXT_MONTH + timedelta(days=40)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    first = NEXT_MONTH.replace(hour=0, minute=0, second=0, microsecond=0)
    assert bounds == f"FOR VALUES FROM ('{first_id(first)}') TO ('{first_id(following)}')"


def test_only_the_owner_makes_partitions(yard: Yard) -> None:
    for role in ("tenant", "platform"):
        with yard.as_role(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"CALL guard.add_partition('{yard.name('audit_log')}', '2999-01-01')")


DDL = {
    "switch triggers off": "ALTER TABLE {t} DISABLE TRIGGER ALL",
    "drop a trigger": "DROP TRIGGER refuse_change ON {t}",
    "another trigger": "CREATE TRIGGER mine BEFORE INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION guard.refuse_change()",
    "play the replica": "SET session_replication_role = replica",
    "drop the table": "DROP TABLE {t}",
    "rename the table": "ALTER TABLE {t} RENAME TO other",
    "detach a partition": "ALTER TABLE {t} DETACH PARTITION {t}_default",
    "drop a column": "ALTER TABLE {t} DROP COLUMN metadata",
    "change a type": "ALTER TABLE {t} ALTER COLUMN metadata TYPE text USING 'x'",
    "a rule": "CREATE RULE mine AS ON INSERT TO {t} DO INSTEAD NOTHING",
    "a policy": "CREATE POLICY mine ON {t} USING (false)",
    "hide the rows": "ALTER TABLE {t} ENABLE ROW LEVEL SECURITY",
    "a unique index": "CREATE UNIQUE INDEX ON {t} (id, action)",
    "become the guard": 'SET ROLE "{guard}"',
    "become the owner": 'SET ROLE "{owner}"',
    "become somebody": "SET SESSION AUTHORIZATION postgres",
    "another guard function": "CREATE OR REPLACE FUNCTION guard.check_id() RETURNS trigger LANGUAGE sql AS 'SELECT 1'",
    "drop the guard function": "DROP FUNCTION guard.refuse_change CASCADE",
    "a function of one's own": "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "a schema": "CREATE SCHEMA mine",
    "a temporary table": "CREATE TEMP TABLE audit_log (id int)",
    "lock the writers out": "LOCK TABLE {t} IN ACCESS EXCLUSIVE MODE",
    "skip row security": "ALTER ROLE CURRENT_USER BYPASSRLS",
    "read files": "COPY {t} FROM '/etc/passwd'",
    "run programs": "COPY {t} TO PROGRAM 'cat'",
}


@pytest.mark.parametrize("role", ["tenant", "platform"])
def test_the_application_cannot_take_the_guards_away(yard: Yard, role: str) -> None:
    trail = yard.name("audit_log" if role == "tenant" else "platform_log")
    names = {"t": trail, "guard": f"{settings.DATABASE_ROLE_PREFIX}_guard", "owner": settings.DATABASE_OWNER_ROLE}
    before, through = yard.contents(), []
    with yard.as_role(role) as connection:
        for name, attack in DDL.items():
            with suppress(psycopg.DatabaseError), connection.transaction():
                connection.execute(attack.format(**names))
                through.append(name)
    assert through == []
    assert yard.contents() == before


def rights(world: World) -> list[Any]:
    """Return all rights on tables, schemas and functions, and whom row-level security lets through."""
    catalogs = {"pg_class": "relacl", "pg_namespace": "nspacl", "pg_proc": "proacl", "pg_policy": "polroles"}
    return [world.sql(f"SELECT oid, {acl}::text FROM {name} ORDER BY 1") for name, acl in catalogs.items()]


@pytest.mark.parametrize("role", ["tenant", "platform"])
def test_the_application_cannot_change_anybodys_rights(yard: Yard, role: str) -> None:
    trail, before = yard.name("audit_log" if role == "tenant" else "platform_log"), rights(yard.world)
    # PostgreSQL answers these with a warning that nothing was granted, revoked or dropped.
    with yard.as_role(role) as connection:
        connection.execute(f"GRANT ALL ON {trail} TO PUBLIC")
        connection.execute(f"REVOKE ALL ON {trail} FROM PUBLIC")
        if role == "tenant":
            connection.execute("DROP OWNED BY CURRENT_USER")
    assert rights(yard.world) == before


def test_a_platform_that_drops_what_it_owns_shuts_out_itself_alone(yard: Yard) -> None:
    """It falls out of the policies of row-level security: it sees nothing more, and nobody else is touched."""
    before = yard.contents()
    with yard.as_role("platform") as connection:
        connection.execute("DROP OWNED BY CURRENT_USER")
        assert connection.execute("SELECT count(*) FROM shared.platform_log").fetchone() == (0,)
    assert yard.contents() == before
    with yard.world.scope("acme"):
        AuditLog.log_action(None, "waved", "thing", "1")


def test_the_guards_function_clears_the_pointer_and_nothing_else(yard: Yard) -> None:
    alice = yard.world.person("alice")
    rows = "SELECT to_jsonb(t) FROM {} t ORDER BY id".format(yard.name("audit_log"))
    before = [row[0] for row in yard.world.sql(rows)]
    with yard.as_role("platform") as connection:
        found = connection.execute(
            "SELECT guard.clear_user(%s, 'audit_log', %s)", [yard.schemas["acme"], alice.pk]
        ).fetchone()
    # The row of next month is a copy of alice's.
    assert found in {(1,), (2,)}
    after = [row[0] for row in yard.world.sql(rows)]
    assert [{**row, "user_id": None} for row in before] == after
    assert any(row["user_id"] == str(alice.pk) for row in before)


def test_the_guards_function_is_for_the_platform_alone(yard: Yard) -> None:
    before = yard.contents()
    with yard.as_role("tenant") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(
            "SELECT guard.clear_user(%s, 'audit_log', %s)", [yard.schemas["acme"], yard.world.person("alice").pk]
        )
    assert yard.contents() == before


@pytest.mark.parametrize(
    "change",
    ["action = 'forged'", "user_id = gen_random_uuid()", "user_id = actor_uuid", "user_id = NULL, action = action"],
)
def test_the_owner_in_the_guards_role_changes_nothing_else(yard: Yard, change: str) -> None:
    before = yard.contents()
    with yard.as_role("owner") as connection:
        connection.execute(f'SET ROLE "{settings.DATABASE_ROLE_PREFIX}_guard"')
        with pytest.raises(psycopg.DatabaseError):
            connection.execute(f"UPDATE {yard.name('audit_log')} SET {change}")
    assert yard.contents() == before


def test_the_guard_with_rights_on_all_columns_still_changes_nothing_else(yard: Yard) -> None:
    guard = f"{settings.DATABASE_ROLE_PREFIX}_guard"
    yard.world.sql(f'GRANT UPDATE ON {yard.name("audit_log")} TO "{guard}"')
    before = yard.contents()
    for change in ("user_id = NULL, action = 'forged'", "user_id = NULL, salt = ''", "user_id = actor_uuid"):
        with yard.as_role("owner") as connection:
            connection.execute(f'SET ROLE "{guard}"')
            with pytest.raises(psycopg.errors.RestrictViolation):
                connection.execute(f"UPDATE {yard.name('audit_log')} SET {change}")
    assert yard.contents() == before


def test_the_owner_alone_cannot_clear_a_pointer(yard: Yard) -> None:
    before = yard.contents()
    with yard.as_role("owner") as connection, pytest.raises(psycopg.errors.RestrictViolation):
        connection.execute(f"UPDATE {yard.name('audit_log')} SET user_id = NULL")
    assert yard.contents() == before
