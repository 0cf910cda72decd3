"""What may be tried on a trail, under each role: nothing alters, hides, forges or stops an entry.

The controls run the same attacks where they are not watched, so that none of them is refused for a mistake in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

import psycopg
import pytest
from attacks import DDL
from django.conf import settings
from django.db import DatabaseError
from psycopg.conninfo import make_conninfo
from world import World
from yard import AGENTS, CHANGES, FALSE_IDS, RELATIONS, ROLES, TRAILS, Connection, Yard

from tenants import hardening, provisioning
from tenants.context import SYSTEM
from tenants.recording import record

# By PostgreSQL itself: a computed column is not written, an identity not updated, a partitioned table holds no rows.
NEVER = {"insert of a created_at"}


@pytest.fixture
def yard(world: World) -> Yard:
    return Yard(world)


def all_attacks(yard: Yard, relation: str) -> dict[str, Callable[[Connection], object]]:
    return {**yard.attacks(relation), **yard.ddl(relation)}


def test_there_are_more_attacks_than_the_reference_knows() -> None:
    assert len(CHANGES) + 2 * len(FALSE_IDS) + len(NEVER) + len(DDL) >= 60


@pytest.mark.parametrize("trail", TRAILS)
@pytest.mark.parametrize("role", ROLES)
def test_no_attack_gets_through(yard: Yard, role: str, trail: str) -> None:
    contents, guards = yard.contents(), yard.guards()
    parts = yard.parts(trail)
    assert {part: yard.succeeded(role, part, all_attacks(yard, part)) for part in parts} == {
        part: set() for part in parts
    }
    assert yard.contents() == contents
    assert yard.guards() == guards


@pytest.mark.parametrize("role", ["tenant", "platform", "owner"])
def test_without_the_triggers_changes_and_false_ids_get_through(yard: Yard, role: str) -> None:
    group = f"{settings.DATABASE_ROLE_PREFIX}_{role}"
    yard.world.sql(f"GRANT USAGE ON SCHEMA {yard.schemas['acme']} TO {group}")
    for relation in RELATIONS:
        table = yard.name(relation)
        yard.world.sql(f"ALTER TABLE {table} DISABLE TRIGGER USER; GRANT ALL ON {table} TO {group}")
        yard.world.sql(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    for relation in (*TRAILS, *AGENTS):
        never = NEVER | ({"update of another column"} if relation in AGENTS else {"truncate of partitions alone"})
        attacks = yard.attacks(relation)
        assert yard.succeeded(role, relation, attacks, undo=True) == set(attacks) - never


def test_the_owner_of_a_relaxed_database_gets_every_command_through(yard: Yard) -> None:
    with yard.relaxed():
        for relation in RELATIONS:
            attacks = yard.ddl(relation)
            assert yard.succeeded("owner", relation, attacks, undo=True) == set(attacks), relation


def test_a_superuser_gets_every_command_through(yard: Yard) -> None:
    """Nothing in SQL stops him: docs/security.md says so."""
    for relation in RELATIONS:
        attacks = yard.ddl(relation)
        assert yard.succeeded("superuser", relation, attacks, undo=True) == set(attacks), relation


def test_a_superuser_who_leaves_the_guards_alone_is_stopped_by_them(yard: Yard) -> None:
    """Even where he plays a replica, for which triggers do not fire unless they fire always."""
    before = yard.contents()
    with yard.as_role("superuser") as connection:
        connection.execute("SET session_replication_role = replica")
        for change in ("UPDATE {} SET metadata = NULL", "DELETE FROM {}", "TRUNCATE {}"):
            with pytest.raises(psycopg.errors.RestrictViolation):
                connection.execute(change.format(yard.name("audit_log")))
    assert yard.contents() == before
    yard.world.sql(f"ALTER TABLE {yard.name('audit_log')} ENABLE TRIGGER refuse_change")
    with yard.as_role("superuser") as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(f"UPDATE {yard.name('audit_log')} SET metadata = '{{}}'")
    assert yard.contents() != before


POWERS = {
    "play the replica": "SET session_replication_role = replica",
    "play the replica from now on": "ALTER ROLE CURRENT_USER SET session_replication_role = replica",
    "no event triggers": "SET event_triggers = off",
    "no event triggers from now on": "ALTER DATABASE {database} SET event_triggers = off",
    "switch an event trigger off": "ALTER EVENT TRIGGER daybook_commands DISABLE",
    "drop an event trigger": "DROP EVENT TRIGGER daybook_drops",
    "another event trigger function": "CREATE OR REPLACE FUNCTION guard.watch_drops() RETURNS event_trigger"
    " LANGUAGE plpgsql AS 'BEGIN END'",
    "forget what is protected": "DELETE FROM guard.protected",
    "change since when it is": "UPDATE guard.protected SET since = pg_current_xact_id()",
    "expect a partition": "INSERT INTO guard.growing VALUES ('{t}')",
    "register something": "SELECT guard.register('{t}')",
    "take a guard's procedure away": "ALTER PROCEDURE guard.make_partition(regclass, date) SET SCHEMA {schema}",
    "take the look at the log away": "ALTER FUNCTION guard.deletion_recorded SET SCHEMA {schema}",
    "become a superuser": "SET SESSION AUTHORIZATION {superuser}",
    "be a superuser": "ALTER ROLE CURRENT_USER SUPERUSER",
    "skip row security": "ALTER ROLE CURRENT_USER BYPASSRLS",
    "write the catalog": "UPDATE pg_trigger SET tgenabled = 'D' WHERE tgname = 'refuse_change'",
    "run a program": "COPY (SELECT 1) TO PROGRAM 'cat > /dev/null'",
    "read a file": "CREATE TABLE {schema}.mine (line text); COPY {schema}.mine FROM '{file}'",
    "an untrusted language": "CREATE FUNCTION {schema}.mine() RETURNS int LANGUAGE internal AS 'int4pl'",
}


@pytest.mark.parametrize("role", [*ROLES, "superuser"])
def test_the_powers_to_take_guards_away_are_the_superusers_alone(yard: Yard, role: str) -> None:
    names = {
        "t": yard.name("audit_log"), "schema": yard.schemas["acme"], "database": yard.world.database,
        "superuser": "postgres", "file": "/etc/hostname",
    }  # fmt: skip
    before = yard.contents(), yard.guards()
    through = set()
    with yard.as_role(role) as connection:
        for name, statement in POWERS.items():
            try:
                with connection.transaction(force_rollback=True):
                    connection.execute(statement.format(**names))
                through.add(name)
            except psycopg.DatabaseError:
                pass
    assert through == (set(POWERS) if role == "superuser" else set())
    assert (yard.contents(), yard.guards()) == before


# Code of the owner's that says whose rights it runs with, where a superuser's function might meet it. None may see
# more than the owner's; it is called by a command that the owner may give, and that goes through.
_TELL = """
CREATE SCHEMA mine;
CREATE TABLE mine.seen (who text);
GRANT USAGE ON SCHEMA mine TO PUBLIC;
GRANT ALL ON mine.seen TO PUBLIC;
CREATE FUNCTION mine.tell() RETURNS text LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO mine.seen VALUES (current_user); RETURN 'x'; END $$;
CREATE TABLE mine.trail (id uuid);
"""
PLANTS = {
    "a view in place of the tenants": "ALTER TABLE shared.tenants_tenant RENAME TO real;"
    "CREATE VIEW shared.tenants_tenant AS SELECT gen_random_uuid() AS id, mine.tell() AS schema_name",
    "operators in the path": "CREATE FUNCTION shared.same(oid, regnamespace) RETURNS boolean LANGUAGE plpgsql AS"
    " 'BEGIN PERFORM mine.tell(); RETURN true; END';"
    "CREATE OPERATOR shared.= (FUNCTION = shared.same, LEFTARG = oid, RIGHTARG = regnamespace);"
    "CREATE FUNCTION shared.obj_description(oid, text) RETURNS text LANGUAGE plpgsql AS"
    " 'BEGIN RETURN mine.tell(); END'",
}
LOG_PLANTS = {
    "a trigger on the log": "CREATE FUNCTION mine.told() RETURNS trigger LANGUAGE plpgsql AS"
    " 'BEGIN PERFORM mine.tell(); RETURN NEW; END';"
    "CREATE TRIGGER a BEFORE INSERT ON shared.platform_log FOR EACH ROW EXECUTE FUNCTION mine.told()",
    "a default of the log": "ALTER TABLE shared.platform_log ALTER COLUMN description SET DEFAULT mine.tell()",
    "another first id": "CREATE OR REPLACE FUNCTION guard.first_id(moment timestamptz) RETURNS uuid LANGUAGE plpgsql AS"
    " 'BEGIN PERFORM mine.tell(); RETURN ''00000000-0000-0000-0000-000000000000''; END'",
}


def seen(yard: Yard) -> set[str]:
    """Return whose rights the owner's code ran with."""
    return {who for (who,) in yard.world.sql("SELECT who FROM mine.seen")}


@pytest.mark.parametrize("plant", PLANTS)
def test_code_of_the_owners_never_runs_as_a_superuser_in_a_hardened_database(yard: Yard, plant: str) -> None:
    tenant = yard.world.acme.id
    with yard.as_role("owner") as connection:
        connection.execute(_TELL + PLANTS[plant])
        # Each of these is watched by functions that run as a superuser.
        connection.execute("CREATE TRIGGER mine BEFORE TRUNCATE ON mine.trail EXECUTE FUNCTION guard.refuse_change()")
        connection.execute(f"CALL guard.add_partition('{yard.name('audit_log')}', '2031-01-01')")
        with pytest.raises(psycopg.errors.RestrictViolation):
            connection.execute(f"SELECT guard.drop_schema('{tenant}')")
    # Nor where a superuser's own session runs scripts.
    hardening.version(make_conninfo(yard.world.superuser, dbname=yard.world.database))
    with suppress(psycopg.Error, DatabaseError), yard.relaxed():
        pass
    assert seen(yard) <= {settings.DATABASE_OWNER_ROLE}


@pytest.mark.parametrize("plant", LOG_PLANTS)
def test_what_the_owner_left_in_a_relaxed_database_never_runs_as_a_superuser(yard: Yard, plant: str) -> None:
    with yard.relaxed(), yard.as_role("owner") as connection:
        connection.execute(_TELL + LOG_PLANTS[plant])
    acme = yard.world.acme
    with provisioning.owner_scope(SYSTEM, None) as connection, connection.cursor() as cursor:
        record("tenant.deleted", ("tenant", str(acme.id), acme.name), tenant_id=acme.id)
        cursor.execute(f"SELECT guard.drop_schema('{acme.id}')")
    # The control: it did run, with the owner's rights.
    assert seen(yard) == {settings.DATABASE_OWNER_ROLE}


HALFWAY = (
    "CREATE UNIQUE INDEX CONCURRENTLY mine ON {part} (id, action)",
    "CREATE UNIQUE INDEX /* so */ concurrently mine ON {agents} (id)",
    "DROP INDEX CONCURRENTLY {schema}.audit_user_agent_user_agent",
)


@pytest.mark.parametrize("statement", HALFWAY)
def test_a_command_that_commits_halfway_is_refused_before_it_begins(yard: Yard, statement: str) -> None:
    names = {
        "part": yard.name("audit_log_default"),
        "agents": yard.name("audit_user_agent"),
        "schema": yard.schemas["acme"],
    }
    before = yard.guards()
    with yard.as_role("owner") as connection:
        with pytest.raises(psycopg.errors.RestrictViolation, match="CONCURRENTLY is refused"):
            connection.execute(statement.format(**names))
        assert yard.guards() == before
        with yard.relaxed():
            connection.execute(statement.format(**names))
    assert yard.guards() != before


OPERATORS = """
CREATE SCHEMA mine;
CREATE FUNCTION mine.uuid_extract_version(uuid) RETURNS smallint LANGUAGE sql AS 'SELECT 7::smallint';
CREATE FUNCTION mine.uuid_extract_timestamp(uuid) RETURNS timestamptz LANGUAGE sql AS 'SELECT clock_timestamp()';
CREATE FUNCTION mine.same(name, name) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION mine.same(record, record) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
CREATE OPERATOR mine.= (FUNCTION = mine.same, LEFTARG = name, RIGHTARG = name);
CREATE OPERATOR mine.*= (FUNCTION = mine.same, LEFTARG = record, RIGHTARG = record);
SET search_path = mine, pg_catalog, pg_temp;
"""


def test_functions_and_operators_of_ones_own_do_not_answer_for_the_guards(yard: Yard) -> None:
    relation = "audit_log"
    tried = {name: yard.attacks(relation)[name] for name in ("update", "insert of a past id", "copy of a random id")}
    before = yard.contents()

    def succeeded() -> set[str]:
        through = set()
        with yard.as_role("owner") as connection:
            connection.execute(OPERATORS)
            for name, attack in tried.items():
                try:
                    with connection.transaction(force_rollback=True):
                        attack(connection)
                    through.add(name)
                except psycopg.DatabaseError:
                    pass
        yard.world.sql("DROP SCHEMA mine CASCADE")
        return through

    assert succeeded() == set()
    assert yard.contents() == before
    # The control: names that are looked up at each call, by leaving out their schemas.
    for function in ("check_entry", "refuse_change"):
        source = yard.world.sql(f"SELECT pg_get_functiondef('guard.{function}'::regproc)")[0][0]
        yard.world.sql(re.sub(r"OPERATOR\(pg_catalog\.(\S+)\)", r"\1", source).replace("pg_catalog.", ""))
    assert succeeded() == set(tried)
