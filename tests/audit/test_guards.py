"""The guards: nobody changes an entry, or says that it was written at another time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.conf import settings
from world import World
from yard import FALSE_IDS, NEXT_MONTH, PARTS, RELATIONS, Yard

from audit.entry import first_id


@pytest.fixture
def yard(world: World) -> Yard:
    return Yard(world)


def test_a_false_id_goes_in_once_its_check_alone_is_off(yard: Yard) -> None:
    yard.world.sql(f"ALTER TABLE {yard.name('usage_log')} DISABLE TRIGGER check_id")
    wanted = {f"{way} of a {name} id" for way in ("insert", "copy") for name in FALSE_IDS} | {"insert of a transaction"}
    assert yard.succeeded("tenant", "usage_log", yard.attacks("usage_log"), undo=True) == wanted


def test_the_guards_fire_for_replication_too_and_on_each_partition(yard: Yard) -> None:
    for relation in RELATIONS:
        rows = yard.world.sql(
            "SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal",
            yard.name(relation),
        )
        wanted = {"refuse_change", "refuse_truncate"} | (set() if "agent" in relation else {"check_id"})
        if relation.startswith(("audit_log", "shared.platform_log", "platform_log")):
            wanted |= {"note_entries"}
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


def test_a_platform_cannot_drop_what_it_owns(yard: Yard) -> None:
    """It would fall out of the policies of row-level security, and see and write nothing more."""
    before = yard.contents(), yard.guards()
    with yard.as_role("platform") as connection:
        with pytest.raises(psycopg.errors.RestrictViolation, match="belongs to a trail or its guards"):
            connection.execute("DROP OWNED BY CURRENT_USER")
        assert connection.execute("SELECT count(*) > 0 FROM shared.platform_log").fetchone() == (True,)
    assert (yard.contents(), yard.guards()) == before


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


def as_guard(yard: Yard, change: str) -> None:
    """Change the trail in the guard's own role, which takes a superuser."""
    with yard.as_role("superuser") as connection:
        connection.execute(f'SET ROLE "{settings.DATABASE_ROLE_PREFIX}_guard"')
        connection.execute(f"UPDATE {yard.name('audit_log')} SET {change}")


@pytest.mark.parametrize(
    "change",
    ["action = 'forged'", "user_id = gen_random_uuid()", "user_id = actor_uuid", "user_id = NULL, action = action"],
)
def test_the_guards_role_changes_nothing_else(yard: Yard, change: str) -> None:
    before = yard.contents()
    with pytest.raises(psycopg.DatabaseError):
        as_guard(yard, change)
    assert yard.contents() == before


def test_the_guard_with_rights_on_all_columns_still_changes_nothing_else(yard: Yard) -> None:
    yard.world.sql(f'GRANT UPDATE ON {yard.name("audit_log")} TO "{settings.DATABASE_ROLE_PREFIX}_guard"')
    before = yard.contents()
    for change in ("user_id = NULL, action = 'forged'", "user_id = NULL, salt = ''", "user_id = actor_uuid"):
        with pytest.raises(psycopg.errors.RestrictViolation):
            as_guard(yard, change)
    assert yard.contents() == before


def test_the_owner_alone_cannot_clear_a_pointer(yard: Yard) -> None:
    before = yard.contents()
    with yard.as_role("owner") as connection, pytest.raises(psycopg.errors.RestrictViolation):
        connection.execute(f"UPDATE {yard.name('audit_log')} SET user_id = NULL")
    assert yard.contents() == before
