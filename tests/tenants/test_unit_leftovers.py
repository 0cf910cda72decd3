"""What a unit of work leaves behind on its connection does not reach the next one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError
from units import raw, run
from world import World

from audit.models import AuditLog
from tenants.context import SYSTEM, gate_scope, tenant_scope


def units_on_one_connection(world: World, first: Callable[[], object], second: Callable[[], Any]) -> Any:
    """Run `first` in a unit of acme and `second` in one of globex, on the same connection."""
    acme, globex = world.acme, world.globex
    with tenant_scope(acme, actor=SYSTEM):
        first()
        pid = run("SELECT pg_backend_pid()")
    with tenant_scope(globex, actor=SYSTEM):
        assert run("SELECT pg_backend_pid()") == pid
        return second()


def test_a_session_setting_does_not_cross(world: World) -> None:
    def change() -> None:
        for setting in ("search_path = acme", "statement_timeout = 0", "lock_timeout = 0", "daybook.context = 'forged'",
                        "my.own = '1'", "TimeZone = 'Asia/Tokyo'", "default_transaction_read_only = on"):  # fmt: skip
            run(f"SET {setting}")

    names = ("search_path", "statement_timeout", "lock_timeout", "TimeZone", "default_transaction_read_only")
    found = units_on_one_connection(world, change, lambda: [run("SELECT current_setting(%s)", name) for name in names])
    assert found == [f"{world.globex.schema_name}, shared, pg_temp", "15s", "5s", "UTC", "off"]
    with world.scope("globex"):
        assert run("SELECT current_setting('my.own', true)") == ""


def test_a_leaked_session_role_does_not_cross(world: World) -> None:
    acme, globex = world.acme, world.globex
    role = f"daybook_t_{acme.id.hex}"
    user = units_on_one_connection(world, lambda: run(f"SET SESSION ROLE {role}"), lambda: run("SELECT current_user"))
    assert user.endswith(globex.id.hex)
    with world.scope("acme"):
        run(f"SET SESSION ROLE {role}")
    with gate_scope():
        assert run("SELECT current_user") == "daybook_app"


def test_a_held_cursor_does_not_cross(world: World) -> None:
    held = "DECLARE held CURSOR WITH HOLD FOR SELECT 'of acme'"
    with pytest.raises(DatabaseError, match="does not exist"):
        units_on_one_connection(world, lambda: run(held), lambda: run("FETCH ALL FROM held"))


def test_a_prepared_statement_does_not_cross(world: World) -> None:
    with pytest.raises(DatabaseError, match="does not exist"):
        units_on_one_connection(world, lambda: run("PREPARE mine AS SELECT 'of acme'"), lambda: run("EXECUTE mine"))


def test_psycopg_prepares_anew_in_each_unit(world: World) -> None:
    def prepare() -> Any:
        run("SELECT 1")
        raw().prepare_threshold = 0
        with psycopg.Cursor(raw()) as cursor:
            for _ in range(3):
                cursor.execute("SELECT count(*) FROM audit_log WHERE action = %s", ["waved"], prepare=True)
            row = cursor.fetchone()
        return row and row[0]

    with world.scope("acme"):
        AuditLog.log_action(None, "waved", "thing", "1")
    assert units_on_one_connection(world, prepare, prepare) == 0
    assert units_on_one_connection(world, lambda: None, prepare) == 0


def test_an_advisory_lock_does_not_cross(world: World) -> None:
    count = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    assert units_on_one_connection(world, lambda: run("SELECT pg_advisory_lock(7)"), lambda: run(count)) == 0


def test_listening_does_not_cross(world: World) -> None:
    def heard() -> int:
        return int(run("SELECT count(*) FROM pg_listening_channels()"))

    assert units_on_one_connection(world, lambda: run("LISTEN acme"), lambda: None) is None
    with world.scope("globex"):
        assert heard() == 0


@pytest.mark.parametrize("role", ["acme", "platform", "gate"])
def test_nobody_makes_temporary_tables(world: World, role: str) -> None:
    opened = {"acme": lambda: world.scope("acme"), "platform": world.platform, "gate": gate_scope}[role]()
    with pytest.raises(DatabaseError, match="permission denied"), opened:
        run("CREATE TEMP TABLE tenants_tenant (id int)")


def test_a_temporary_table_would_shadow_nothing(world: World) -> None:
    """Were the right ever given, pg_temp stands last in the path."""
    world.sql(f"GRANT TEMP ON DATABASE {world.database} TO PUBLIC")
    with world.scope("acme"):
        run("CREATE TEMP TABLE audit_log (id int)")
        run("CREATE TEMP TABLE tenants_tenant (id int)")
        assert run("SELECT slug FROM tenants_tenant") == "acme"
        assert run("SELECT count(*) FROM audit_log") == world.entries("acme")


def test_an_aborted_unit_leaves_nothing_to_the_next(world: World) -> None:
    acme, globex = world.acme, world.globex
    with pytest.raises(DatabaseError), tenant_scope(acme, actor=SYSTEM):
        run("SELECT nothing")
    with tenant_scope(globex, actor=SYSTEM):
        assert run("SELECT current_user").endswith(globex.id.hex)
