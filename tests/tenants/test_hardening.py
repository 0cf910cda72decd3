"""Hardening and relaxing: what only a superuser can do, said in the platform log, undone for migrations alone."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import django.core.management
import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from psycopg.conninfo import make_conninfo
from world import World
from yard import Yard

from audit.models import AuditLog
from config import local
from tenants import hardening, migrator, provisioning
from tenants.context import SYSTEM, platform_scope
from tenants.errors import BadInput, ScopeConflict
from tenants.recording import record

TRIGGERS = "SELECT evtname, evtenabled FROM pg_event_trigger ORDER BY 1"
ALL = [("daybook_commands", "A"), ("daybook_drops", "A"), ("daybook_start", "A")]


def url(world: World) -> str:
    return make_conninfo(world.superuser, dbname=world.database)


def entries(world: World) -> list[tuple[Any, ...]]:
    """Return what the platform log says of hardening, oldest first, but for what a yard puts into the future."""
    return world.sql(
        "SELECT action, description FROM shared.platform_log"
        " WHERE action ~ '^database' AND created_at < now() + interval '1 minute' ORDER BY id"
    )


def privileges(world: World) -> list[Any]:
    """Return all rights, owners and guards of the database."""
    queries = (
        "SELECT oid::regprocedure::text, proacl::text, proowner, prosecdef, proconfig, prosrc FROM pg_proc ORDER BY 1",
        "SELECT oid, relacl::text, relowner FROM pg_class WHERE oid < 16384 ORDER BY 1",
        "SELECT oid, nspacl::text, nspowner FROM pg_namespace ORDER BY 1",
        "SELECT lanname, lanacl::text FROM pg_language ORDER BY 1",
        TRIGGERS,
    )
    return [world.sql(query) for query in queries]


def as_owner(world: World, *statements: str) -> None:
    """Run statements in one transaction of the owner's login."""
    with transaction.atomic(using="owner"), connections["owner"].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def test_the_worlds_database_is_hardened_and_says_so(world: World) -> None:
    assert world.sql(TRIGGERS) == ALL
    assert hardening.version(url(world)) == hardening.own_version()
    assert entries(world) == [("database.hardened", None)]


def test_hardening_again_changes_nothing_and_is_recorded_again(world: World) -> None:
    before = privileges(world)
    hardening.harden(url(world), actor=world.actor("sam"))
    assert [len(part) for part in privileges(world)] == [len(part) for part in before]
    # Functions and event triggers are others of the same names.
    assert privileges(world) == before
    actor = "SELECT actor_label FROM shared.platform_log WHERE action = 'database.hardened' ORDER BY id DESC LIMIT 1"
    assert world.sql(actor) == [("sam@daybook.example",)]


def test_relaxing_gives_the_owner_the_guards_and_tenants_nothing(world: World) -> None:
    yard = Yard(world)
    own = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'guard'::regnamespace AND proowner = 10"
    assert world.sql(own) > [(5,)]
    with yard.relaxed():
        assert world.sql(TRIGGERS) == []
        assert hardening.version(url(world)) is None
        assert world.sql(own) == [(0,)]
        assert world.sql("SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'guard'") == [
            ("daybook_owner",)
        ]
        as_owner(world, f"ALTER TABLE {yard.name('audit_log')} ADD COLUMN more int")
        as_owner(world, "CREATE FUNCTION guard.more() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        assert world.sql(
            "SELECT has_function_privilege('daybook_tenant', 'set_config(text,text,boolean)', 'EXECUTE')"
        ) == [(False,)]
        hardening.relax(url(world), reason="twice")
    assert entries(world)[-3:] == [
        ("database.relaxed", "a test"),
        ("database.relaxed", "twice"),
        ("database.hardened", None),
    ]
    assert world.sql(TRIGGERS) == ALL
    # What came meanwhile is the superuser's as well.
    assert world.sql("SELECT pg_get_userbyid(proowner) FROM pg_proc WHERE proname = 'more'") == [("postgres",)]


def test_the_owner_cannot_become_the_guard_but_in_a_relaxed_database(world: World) -> None:
    yard = Yard(world)
    with yard.relaxed():
        as_owner(world, 'SET LOCAL ROLE "daybook_guard"')
        hardening.harden(url(world))
        with pytest.raises(Exception, match="permission denied to set role"):
            as_owner(world, 'SET LOCAL ROLE "daybook_guard"')


def test_no_language_of_code_is_everybodys(world: World) -> None:
    world.sql(
        "CREATE TRUSTED LANGUAGE other HANDLER plpgsql_call_handler INLINE plpgsql_inline_handler"
        " VALIDATOR plpgsql_validator"
    )
    code = "DO LANGUAGE other 'BEGIN END'"
    with Yard(world).as_role("tenant") as connection:
        connection.execute(code)
        hardening.harden(url(world))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(code)
    as_owner(world, code)


def test_nobody_is_given_the_passwords_that_subscriptions_hold(world: World) -> None:
    world.sql("GRANT SELECT ON pg_subscription TO daybook_owner, pg_monitor, PUBLIC")  # as a former release did
    may = (
        "SELECT r, has_column_privilege(r, 'pg_subscription', 'subconninfo', 'SELECT'),"
        " has_column_privilege(r, 'pg_subscription', 'subname', 'SELECT')"
        " FROM unnest(ARRAY['daybook_owner', 'pg_monitor', 'daybook_tenant']::name[]) AS r"
    )
    for _ in range(2):
        hardening.harden(url(world))
        assert world.sql(may) == [
            ("daybook_owner", False, False), ("pg_monitor", False, True), ("daybook_tenant", False, False)
        ]  # fmt: skip


def test_both_addresses_must_name_one_database(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before = entries(world)
    other = f"other_{uuid.uuid4().hex[:16]}"
    with psycopg.connect(world.superuser, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {other}")
        try:
            with psycopg.connect(world.superuser, dbname=other) as there:
                there.execute("CREATE SCHEMA shared CREATE TABLE platform_log ()")
            with pytest.raises(BadInput, match="names another database than MIGRATION_DATABASE_URL"):
                hardening.relax(make_conninfo(world.superuser, dbname=other), reason="a test")
        finally:
            connection.execute(f"DROP DATABASE {other} WITH (FORCE)")
    assert entries(world) == before


@pytest.mark.parametrize("reason", ["", "  ", "x" * 1001])
def test_relaxing_takes_a_reason(world: World, reason: str) -> None:
    with pytest.raises(BadInput, match="Say why"):
        hardening.relax(url(world), reason=reason)
    assert world.sql(TRIGGERS) == ALL


def test_it_takes_a_superuser(world: World) -> None:
    owner = make_conninfo(
        **{**world.dsn(), "user": "daybook_owner", "password": connections["owner"].settings_dict["PASSWORD"]}
    )
    before = entries(world)
    for given, error in (
        (owner, "daybook_owner is no superuser"),
        ("", "SUPERUSER_DATABASE_URL"),
        ("host=x", "SUPERUSER"),
    ):
        with pytest.raises(hardening.NoSuperuser, match=error):
            hardening.harden(given)
    with pytest.raises(BadInput, match="is not of the form"):
        hardening.harden("postgresql://[")
    assert entries(world) == before


def test_it_works_outside_any_scope_and_after_migrations_alone(world: World) -> None:
    with platform_scope(actor=SYSTEM), pytest.raises(ScopeConflict):
        hardening.harden(url(world))
    with pytest.raises(BadInput, match="has no tables yet"):
        hardening.harden(world.superuser)
    assert "superuser" not in connections


def test_a_failure_leaves_all_as_it_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before = privileges(world)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(hardening, "record", fail)
    with pytest.raises(RuntimeError):
        hardening.relax(url(world), reason="a test")
    assert privileges(world) == before


def test_a_tenant_made_in_a_hardened_database_is_protected_from_its_commit_on(world: World) -> None:
    tenant = provisioning.create_tenant(slug="initech", name="Initech", domain="initech.localhost")
    protected = {
        name
        for (name,) in world.sql(
            "SELECT c.relname FROM guard.protected AS p JOIN pg_class AS c ON c.oid = p.object"
            " WHERE p.kind = 'pg_class'::regclass AND c.relnamespace = %s::regnamespace"
            " AND c.relkind IN ('r', 'p', 'S')",
            tenant.schema_name,
        )
    }
    assert protected == {
        "audit_log", "audit_log_default", "audit_log_position", "usage_log", "usage_log_default", "audit_user_agent",
        "audit_user_agent_id_seq",
    }  # fmt: skip
    indexes = (
        "SELECT count(*) FROM pg_index AS i WHERE indrelid = ANY (SELECT object FROM guard.protected) AND NOT EXISTS"
    )
    assert world.sql(f"{indexes} (SELECT FROM guard.protected AS p WHERE p.object = i.indexrelid)") == [(0,)]
    with pytest.raises(Exception, match="tenants relax --reason"):
        as_owner(world, f"ALTER TABLE {tenant.schema_name}.audit_log DISABLE TRIGGER USER")
    as_owner(
        world,
        f"ALTER TABLE {tenant.schema_name}.audit_answer ADD COLUMN more int",
        f"CREATE INDEX more_of_it ON {tenant.schema_name}.audit_answer (more)",
        f"CREATE TABLE {tenant.schema_name}.more (id int)",
        f"DROP TABLE {tenant.schema_name}.more",
    )


def test_a_tenant_is_dropped_with_all_that_is_known_of_it(world: World) -> None:
    known = "SELECT kind, object, tenant FROM guard.protected ORDER BY 1, 2"
    before = world.sql(known)
    tenant = provisioning.create_tenant(slug="initech", name="Initech", domain="initech.localhost")
    assert len(world.sql(known)) > len(before) + 5
    provisioning.drop_tenant(tenant)
    assert world.sql("SELECT to_regnamespace(%s)", tenant.schema_name) == [(None,)]
    assert world.sql(known) == before


def test_a_schema_is_dropped_for_nobody_who_has_not_recorded_it_in_this_very_transaction(world: World) -> None:
    acme, globex = world.acme, world.globex
    refused = "does not say in this transaction that tenant"
    drop = f"SELECT guard.drop_schema('{acme.id}')"
    with pytest.raises(Exception, match=refused):
        as_owner(world, drop)
    with pytest.raises(Exception, match="DROP SCHEMA is refused"):
        as_owner(world, f"DROP SCHEMA {acme.schema_name} CASCADE")
    # Said of another tenant, of another action, in another transaction: none of them will do.
    for action, tenant in (("tenant.deleted", globex), ("tenant.suspended", acme)):
        with provisioning.owner_scope(SYSTEM, None) as connection, connection.cursor() as cursor:
            record(action, ("tenant", str(tenant.id), tenant.name), tenant_id=tenant.id)
            with pytest.raises(Exception, match=refused), transaction.atomic(using="owner"):
                cursor.execute(drop)
    with provisioning.owner_scope(SYSTEM, None):
        record("tenant.deleted", ("tenant", str(acme.id), acme.name), tenant_id=acme.id)
    with pytest.raises(Exception, match=refused):
        as_owner(world, drop)
    nobody = uuid.uuid4()
    with provisioning.owner_scope(SYSTEM, None) as connection, connection.cursor() as cursor:
        record("tenant.deleted", ("tenant", str(nobody), ""), tenant_id=nobody)
        with pytest.raises(Exception, match="No guarded schema"), transaction.atomic(using="owner"):
            cursor.execute(f"SELECT guard.drop_schema('{nobody}')")
    assert world.entries("acme") >= 0


@pytest.mark.parametrize("function", ["drop_schema('{id}')", "register('{trail}')", "forbidden(1, 2, 3)"])
def test_nobody_else_may_call_the_watchers_functions(world: World, function: str) -> None:
    call = function.format(id=world.acme.id, trail=f"{world.acme.schema_name}.audit_log")
    yard = Yard(world)
    for role in ("tenant", "platform", "auditor", "login"):
        with yard.as_role(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"SELECT guard.{call}")


def test_a_partition_is_made_by_the_guard_alone_and_belongs_to_the_owner(world: World) -> None:
    yard = Yard(world)
    trail = yard.name("audit_log")
    with pytest.raises(Exception, match="CREATE TABLE is refused"):
        as_owner(world, f"CALL guard.make_partition('{trail}', '2031-01-01')")
    as_owner(world, f"CALL guard.add_partition('{trail}', '2031-01-01')")
    assert world.sql("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'audit_log_2031_01'") == [
        ("daybook_owner",)
    ]
    assert world.sql("SELECT count(*) FROM guard.growing") == [(0,)]
    with pytest.raises(Exception, match="ALTER TABLE is refused"):
        as_owner(world, f"ALTER TABLE {trail}_2031_01 DISABLE TRIGGER USER")
    # One that fails leaves no permission behind.
    with pytest.raises(Exception, match="already exists"):
        as_owner(world, f"CALL guard.add_partition('{trail}', '2031-01-01')")
    assert world.sql("SELECT count(*) FROM guard.growing") == [(0,)]


def test_migrating_relaxes_only_for_what_is_pending(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(local.SUPERUSER, url(world))
    before = entries(world)
    local.migrate()
    assert entries(world) == before
    monkeypatch.setattr(migrator, "plan", lambda: (["tenants.0009_more"], {}))
    local.migrate()
    assert entries(world)[len(before) :] == [
        ("database.relaxed", "Migrations are pending."),
        ("database.hardened", None),
    ]
    # Another release's script is run as well.
    world.sql("COMMENT ON EVENT TRIGGER daybook_commands IS 'older'")
    monkeypatch.undo()
    monkeypatch.setenv(local.SUPERUSER, url(world))
    local.migrate()
    assert len(entries(world)) == len(before) + 3
    assert world.sql(TRIGGERS) == ALL


def test_migrations_that_fail_leave_the_database_hardened(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(local.SUPERUSER, url(world))
    monkeypatch.setattr(migrator, "plan", lambda: (["tenants.0009_more"], {}))
    before = entries(world)

    def fail(*_: object, **__: object) -> None:
        assert world.sql(TRIGGERS) == []
        raise RuntimeError("a broken migration")

    monkeypatch.setattr(django.core.management, "call_command", fail)
    with pytest.raises(RuntimeError, match="a broken migration"):
        local.migrate()
    assert world.sql(TRIGGERS) == ALL
    assert [action for action, _ in entries(world)[len(before) :]] == ["database.relaxed", "database.hardened"]


def test_without_a_superuser_migrating_hardens_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(local.SUPERUSER)
    before = entries(world)
    local.migrate()
    assert entries(world) == before


@pytest.mark.parametrize("way", ["url", "url_file", "environment", "environment's file"])
def test_the_commands_take_the_address_by_each_way(
    world: World, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "address"
    file.write_text(url(world) + "\n", encoding="utf-8")
    monkeypatch.delenv(local.SUPERUSER)
    if way.startswith("environment"):
        name, value = (local.SUPERUSER, url(world)) if way == "environment" else (f"{local.SUPERUSER}_FILE", str(file))
        monkeypatch.setenv(name, value)
    given = {"url": url(world)} if way == "url" else {"url_file": str(file)} if way == "url_file" else {}
    before = entries(world)
    call_command("tenants", "harden", actor="sam@daybook.example", **given)
    assert "Hardened" in capsys.readouterr().out
    assert entries(world)[len(before) :] == [("database.hardened", None)]


def test_the_command_relaxes_for_a_reason(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    yard = Yard(world)
    with yard.relaxed():
        call_command("tenants", "relax", reason="0009 widens the trail", url=url(world))
    assert "Run `manage.py tenants harden` afterwards" in capsys.readouterr().out
    assert ("database.relaxed", "0009 widens the trail") in entries(world)


def test_the_command_says_what_it_lacks(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(local.SUPERUSER)
    with pytest.raises(CommandError, match="set SUPERUSER_DATABASE_URL"):
        call_command("tenants", "harden")
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("tenants", "harden", url_file=str(tmp_path / "none"))
    assert world.sql(TRIGGERS) == ALL


def test_the_application_works_as_before(world: World) -> None:
    """Its own statements need nothing that was taken away; other tests say the same of each room."""
    with world.scope("acme", "alice"):
        AuditLog.log_action(None, "waved", "thing", "1", {"a": 1})
        assert AuditLog.objects.filter(action__startswith="wav").count() == 1
        assert list(AuditLog.objects.iterator(chunk_size=1))
