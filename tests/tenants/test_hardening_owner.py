"""What the owner leaves for the next hardening, of a name, a right or a role, gives him nothing over the guards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connections, transaction
from psycopg.conninfo import make_conninfo
from world import World
from yard import Yard

from tenants import hardening, sql


def url(world: World) -> str:
    return make_conninfo(world.superuser, dbname=world.database)


def as_owner(world: World, statement: str) -> None:
    """Run a statement in a transaction of the owner's login."""
    with transaction.atomic(using="owner"), connections["owner"].cursor() as cursor:
        cursor.execute(statement)


PLANTED = {
    "the registry": "CREATE TABLE guard.protected"
    " (kind regclass, object oid, tenant uuid, since xid8, PRIMARY KEY (object, kind))",
    "the growing": "CREATE TABLE guard.growing (trail regclass PRIMARY KEY)",
    "a watcher": "CREATE FUNCTION guard.forbidden(class oid, thing oid, relation oid) RETURNS boolean"
    " LANGUAGE sql SECURITY DEFINER AS 'SELECT false'",
    "a watcher of nearer types": "CREATE FUNCTION guard.forbidden(class regclass, thing oid, relation oid)"
    " RETURNS boolean LANGUAGE sql SECURITY DEFINER AS 'SELECT false'",
    "another procedure": "CREATE PROCEDURE guard.make_partition(trail regclass, month date)"
    " LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN END'",
}


@pytest.mark.parametrize("planted", PLANTED)
def test_what_the_owner_prepared_is_not_taken_for_the_guards(world: World, planted: str) -> None:
    yard = Yard(world)
    with yard.relaxed():
        as_owner(world, PLANTED[planted])
        hardening.harden(url(world))
        owned = (
            "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'guard'::regnamespace AND relowner <> 10"
            " AND relowner <> 'daybook_guard'::regrole"
            " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'guard'::regnamespace AND proowner <> 10"
            " AND proname ~ 'forbidden|watch|drop|add|register|refuse'"
        )
        assert world.sql(owned) == []
        for attack in ("DELETE FROM guard.protected", f"ALTER TABLE {yard.name('audit_log')} DISABLE TRIGGER USER"):
            with pytest.raises(Exception, match=r"permission denied|is refused"):
                as_owner(world, attack)


def test_a_view_in_the_registrys_place_stops_the_hardening(world: World) -> None:
    with Yard(world).relaxed():
        as_owner(world, "CREATE VIEW guard.protected AS SELECT 1")
        with pytest.raises(Exception, match='"protected" is not a table'):
            hardening.harden(url(world))
        assert hardening.version(url(world)) is None
        as_owner(world, "DROP VIEW guard.protected")


def test_who_else_may_put_functions_among_the_guards_stops_the_hardening(world: World) -> None:
    with Yard(world).relaxed():
        as_owner(world, 'GRANT CREATE ON SCHEMA guard TO "daybook_platform"')
        with pytest.raises(Exception, match="somebody else has CREATE in the schema guard"):
            hardening.harden(url(world))
        assert hardening.version(url(world)) is None
        as_owner(world, 'REVOKE CREATE ON SCHEMA guard FROM "daybook_platform"')


@pytest.fixture
def admin(world: World) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's open transaction, in which `admin_of_roles` may grant the guard: memberships are all databases'."""
    with psycopg.connect(url(world)) as connection:
        connection.execute(
            "CREATE ROLE admin_of_roles CREATEROLE; GRANT daybook_guard TO admin_of_roles WITH ADMIN TRUE"
        )
        yield connection
        connection.rollback()


def run_scripts(connection: psycopg.Connection[Any]) -> None:
    """Do what `harden` does, in the open transaction."""
    for name in ("unguard.sql", "harden.sql"):
        connection.execute(sql.load(str(Path(sql.__file__).parent), name, version="test").encode())


def test_the_guard_is_taken_from_the_owner_whoever_granted_it(admin: psycopg.Connection[Any]) -> None:
    admin.execute(
        "SET ROLE admin_of_roles; GRANT daybook_guard TO daybook_owner WITH INHERIT FALSE, SET TRUE; RESET ROLE"
    )
    member = "SELECT pg_has_role('daybook_owner', 'daybook_guard', 'MEMBER')"
    assert admin.execute(member).fetchall() == [(True,)]
    run_scripts(admin)
    assert admin.execute(member).fetchall() == [(False,)]


def test_an_owner_who_is_the_guard_by_another_role_stops_the_hardening(admin: psycopg.Connection[Any]) -> None:
    admin.execute("GRANT admin_of_roles TO daybook_owner")
    with pytest.raises(psycopg.errors.RaiseException, match="somebody else has the role daybook_guard"):
        run_scripts(admin)
