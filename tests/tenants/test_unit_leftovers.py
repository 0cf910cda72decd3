"""What a unit of work leaves behind on its connection does not reach the next one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from psycopg import errors
from units import raw, run
from world import World

from audit.models import AuditLog
from tenants.backend.connection import UnitConnection
from tenants.backend.unit import Binding
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


# What a unit of acme leaves to its session, and a question by which a unit of globex would notice it.
LEFTOVERS = {
    "a time-out": ("SET statement_timeout = 0", "SHOW statement_timeout"),
    "a lock time-out": ("SET lock_timeout = 0", "SHOW lock_timeout"),
    "a time zone": ("SET TimeZone = 'Asia/Tokyo'", "SHOW TimeZone"),
    "a setting of its own": ("SET my.own = 'of acme'", "SELECT nullif(current_setting('my.own', true), '')"),
    "read-only transactions": ("SET default_transaction_read_only = on", "SHOW transaction_read_only"),
    "transactions of a sort": (
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, DEFERRABLE",
        "SELECT current_setting('transaction_isolation') || current_setting('transaction_deferrable')",
    ),
    "a held cursor": ("DECLARE held CURSOR WITH HOLD FOR SELECT 'of acme'", "FETCH ALL FROM held"),
    "a prepared statement": ("PREPARE mine AS SELECT 'of acme'", "EXECUTE mine"),
}


def answered(question: str) -> Any:
    """Return the answer to a question, or the kind of its refusal."""
    try:
        with transaction.atomic():
            return run(question)
    except DatabaseError as error:
        return type(error.__cause__)


def crossed(world: World, leave: str, question: str) -> tuple[Any, Any]:
    """Return the answer of a unit of globex on a fresh connection, and after a unit of acme."""
    with tenant_scope(world.globex, actor=SYSTEM):
        fresh = answered(question)
    connection.close()
    return fresh, units_on_one_connection(world, lambda: run(leave), lambda: answered(question))


@pytest.mark.parametrize("name", LEFTOVERS)
def test_what_a_unit_leaves_to_its_session_does_not_cross(world: World, name: str) -> None:
    fresh, found = crossed(world, *LEFTOVERS[name])
    assert found == fresh


@pytest.fixture
def uncleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let units of work begin without clearing the session."""
    monkeypatch.setattr(Binding, "first_message", lambda binding, quote, *_how: b"BEGIN;" + binding.settings(quote))


@pytest.mark.usefixtures("uncleaned")
@pytest.mark.parametrize("name", LEFTOVERS)
def test_control_without_the_cleaning_it_does(world: World, name: str) -> None:
    fresh, found = crossed(world, *LEFTOVERS[name])
    assert found != fresh


@pytest.fixture
def lenient(world: World) -> None:
    """Give the rights to what outlives a transaction, which a hardened server takes."""
    functions = "pg_advisory_lock(bigint), pg_advisory_lock_shared(int, int), pg_listening_channels()"
    world.sql(f"GRANT EXECUTE ON FUNCTION {functions} TO PUBLIC")


def locks(world: World, lock: str) -> int:
    """Take a lock in a unit of acme; return how many there are in the unit of globex after it."""
    count = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = %s"
    found = units_on_one_connection(
        world, lambda: run(f"SELECT {lock}"), lambda: world.sql(count, run("SELECT pg_backend_pid()"))
    )
    return int(found[0][0])


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("lock", ["pg_advisory_lock(7)", "pg_advisory_lock_shared(7, 7)"])
def test_an_advisory_lock_does_not_cross(world: World, lock: str) -> None:
    assert locks(world, lock) == 0


@pytest.mark.usefixtures("lenient", "uncleaned")
def test_control_without_the_cleaning_an_advisory_lock_does(world: World) -> None:
    assert locks(world, "pg_advisory_lock(7)") == 1


@pytest.mark.parametrize("name", ["read-only transactions", "a time-out"])
def test_a_unit_that_fails_does_not_bring_a_leftover_back_for_good(world: World, name: str) -> None:
    """Its rollback undoes the cleaning too; the unit after it cleans again."""
    acme, globex = world.acme, world.globex
    leave, question = LEFTOVERS[name]
    with tenant_scope(globex, actor=SYSTEM):
        fresh = run(question)
    with tenant_scope(acme, actor=SYSTEM):
        run(leave)
    for _turn in range(2):
        with pytest.raises(DatabaseError), tenant_scope(globex, actor=SYSTEM):
            run("SELECT nothing")
        with tenant_scope(globex, actor=SYSTEM):
            assert run(question) == fresh


HEARD = "SELECT count(*) FROM pg_listening_channels()"


def heard(world: World) -> Any:
    """Listen in a unit of acme; return what is heard in the second unit of globex after it.

    UNLISTEN works from the commit on.
    """
    globex = world.globex
    units_on_one_connection(world, lambda: run("LISTEN acme"), lambda: run("SELECT 1"))
    with tenant_scope(globex, actor=SYSTEM):
        return run(HEARD)


@pytest.mark.usefixtures("lenient")
def test_listening_does_not_cross(world: World) -> None:
    assert heard(world) == 0


@pytest.mark.usefixtures("lenient", "uncleaned")
def test_control_without_the_cleaning_a_channel_is_still_heard(world: World) -> None:
    assert heard(world) == 1


def stay(world: World) -> None:
    """Leave acme's role and path to the session."""
    run(f"SET SESSION ROLE daybook_t_{world_id(world)}")
    run(f"SET SESSION search_path = {run('SELECT current_schema()')}, shared")


def world_id(world: World) -> str:
    return str(world.sql("SELECT replace(id::text, '-', '') FROM shared.tenants_tenant WHERE slug = 'acme'")[0][0])


def rows() -> Any:
    return AuditLog.objects.filter(action="of acme").count()


def test_a_role_and_a_path_left_to_the_session_read_nothing_for_the_next(world: World) -> None:
    with world.scope("acme"):
        AuditLog.log_action(None, "of acme", "thing", "1")
    assert units_on_one_connection(world, lambda: stay(world), rows) == 0


def test_control_a_unit_that_is_not_bound_reads_by_the_role_and_path_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world.scope("acme"):
        AuditLog.log_action(None, "of acme", "thing", "1")
    bind, globex = Binding.first_message, world.globex.id.hex

    def all_but_globex(binding: Binding, *how: Any) -> bytes:
        return b"BEGIN" if globex in (binding.role or "") else bind(binding, *how)

    monkeypatch.setattr(Binding, "first_message", all_but_globex)
    assert units_on_one_connection(world, lambda: stay(world), rows) == 1


def test_a_leaked_session_role_does_not_cross(world: World) -> None:
    acme, globex = world.acme, world.globex
    role = f"daybook_t_{acme.id.hex}"
    user = units_on_one_connection(world, lambda: run(f"SET SESSION ROLE {role}"), lambda: run("SELECT current_user"))
    assert user.endswith(globex.id.hex)
    with world.scope("acme"):
        run(f"SET SESSION ROLE {role}")
    with gate_scope():
        assert run("SELECT current_user") == "daybook_app"


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


@pytest.mark.parametrize("role", ["acme", "platform", "gate"])
def test_nobody_makes_temporary_tables(world: World, role: str) -> None:
    opened = {"acme": lambda: world.scope("acme"), "platform": world.platform, "gate": gate_scope}[role]()
    with pytest.raises(DatabaseError, match="permission denied"), opened:
        run("CREATE TEMP TABLE tenants_tenant (id int)")


def test_control_with_the_right_to_temporary_tables_one_carries_rows_over(world: World) -> None:
    world.sql(f"GRANT TEMP ON DATABASE {world.database} TO PUBLIC")

    def leave() -> None:
        run("CREATE TEMP TABLE carried AS SELECT 'of acme' AS whose")
        run("GRANT SELECT ON carried TO PUBLIC")

    assert units_on_one_connection(world, leave, lambda: run("SELECT whose FROM carried")) == "of acme"


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


@pytest.mark.parametrize("role", ["daybook_app", "daybook_platform", "daybook_owner", "postgres"])
def test_nobody_becomes_another_session(world: World, role: str) -> None:
    acme = world.acme
    with pytest.raises(DatabaseError, match="permission denied"), tenant_scope(acme, actor=SYSTEM):
        run(f"SET SESSION AUTHORIZATION {role}")
    with tenant_scope(acme, actor=SYSTEM):
        assert run("SELECT current_user").endswith(acme.id.hex)


def test_whoever_becomes_the_login_itself_has_no_rights_at_all(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    acme = world.acme
    with tenant_scope(acme, actor=SYSTEM):
        become = f"SET SESSION AUTHORIZATION {run('SELECT session_user')}"
        run(become)
        assert run("SELECT current_user").endswith(acme.id.hex)
        monkeypatch.setattr(UnitConnection, "restore", lambda _connection, _tag=None: None)
        run(become)
        assert answered(f"SELECT count(*) FROM {acme.schema_name}.audit_log") is errors.InsufficientPrivilege


def test_no_transaction_is_prepared_for_later(world: World) -> None:
    with pytest.raises(DatabaseError, match="prepared transactions are disabled"), world.scope("acme"):
        run("PREPARE TRANSACTION 'of acme'")


def count_agents() -> None:
    run("INSERT INTO audit_user_agent (user_agent) VALUES ('of acme')")


def test_the_last_number_of_a_sequence_is_told_to_whoever_may_use_it_alone(world: World) -> None:
    """It stays in the session, and nothing but DISCARD clears it."""
    last = units_on_one_connection(world, count_agents, lambda: answered("SELECT lastval()"))
    assert last is errors.InsufficientPrivilege


def test_control_with_rights_on_the_sequence_its_last_number_crosses(world: World) -> None:
    role = f"daybook_t_{world.globex.id.hex}"
    schema = world.acme.schema_name
    world.sql(f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role}; GRANT USAGE ON SCHEMA {schema} TO {role}")
    assert units_on_one_connection(world, count_agents, lambda: answered("SELECT lastval()")) == 1
