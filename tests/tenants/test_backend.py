"""The backend: what is sent, in how many messages, and what does not cross from one unit of work to the next."""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.db.transaction import TransactionManagementError
from django.db.utils import DataError
from psycopg.pq import TransactionStatus
from units import raw, round_trips, run, sent, traced
from world import World

from audit.models import AuditLog
from tenants import gate
from tenants.backend.connection import UnitConnection
from tenants.backend.unit import Binding
from tenants.context import SYSTEM, enter_tenant, platform_scope, scope_or_none, tenant_scope
from tenants.errors import NoScope, ScopeConflict
from tenants.models import Tenant

# --- what is sent


def test_a_unit_of_one_query_takes_no_round_trip_more_than_a_plain_transaction(world: World) -> None:
    acme = world.acme
    with psycopg.connect(**world.dsn()) as plain, traced(plain.pgconn) as bare:
        plain.execute("SELECT 1")
        plain.commit()
    with traced(raw(acme.login).pgconn) as bound, tenant_scope(acme, actor=SYSTEM):
        assert run("SELECT 1") == 1
    assert sent(bare) == ["Query", "Query", "Query"]
    # The query's own by the extended protocol, in one go.
    assert sent(bound) == ["Query", "Parse", "Bind", "Describe", "Execute", "Sync", "Query"]
    assert round_trips(bound) == round_trips(bare) == 3


def test_a_unit_without_a_query_sends_nothing(world: World) -> None:
    acme = world.acme
    with traced(raw(acme.login).pgconn) as lines, tenant_scope(acme, actor=SYSTEM):
        pass
    assert lines == []


def test_a_query_without_a_scope_is_not_sent(world: World) -> None:
    connection_ = raw()
    with traced(connection_.pgconn) as lines:
        for attempt in (
            connection.cursor,
            AuditLog.objects.count,
            lambda: list(Tenant.objects.iterator()),
            lambda: connection_.execute("SELECT 1"),
            lambda: connection_.cursor().executemany("SELECT %s", [(1,), (2,)]),
            lambda: named(connection_),
            lambda: connection_.pipeline().__enter__(),
            lambda: connection_.cursor().copy("COPY (SELECT 1) TO STDOUT").__enter__(),
        ):
            with pytest.raises(NoScope):
                attempt()
    assert lines == []


def named(connection_: UnitConnection) -> None:
    with connection_.cursor("named") as cursor:
        cursor.execute("SELECT 1")


def test_psycopgs_own_transactions_are_refused(world: World) -> None:
    """They would begin unbound. psycopg rolls back what it could not begin."""
    with traced(raw().pgconn) as lines, pytest.raises(NoScope), raw().transaction():
        run("SELECT 1")
    assert [line.split("\t")[3] for line in lines if line.startswith("F")] == [' "ROLLBACK"']
    with world.scope("acme"), pytest.raises(NoScope), raw().transaction():
        run("SELECT 1")


def test_a_connection_from_the_pool_sends_nothing_by_itself(world: World) -> None:
    """Whoever takes one past Django gets no session that another unit left behind."""
    with world.scope("acme"):
        run("SELECT 1")
    with connection.pool.connection() as other:  # type: ignore[attr-defined]
        for autocommit in (True, False):
            other.autocommit = autocommit
            with traced(other.pgconn) as lines, pytest.raises(NoScope):
                other.execute("SELECT 1")
            assert lines == []
        other.autocommit = True


def test_a_cursor_kept_from_a_unit_sends_nothing_after_it(world: World) -> None:
    with world.scope("acme"):
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
    with traced(raw().pgconn) as lines, pytest.raises(NoScope):
        cursor.execute("SELECT 1")
    assert lines == []


# --- limits of time


def sleep_too_long() -> None:
    run("SET LOCAL statement_timeout = 50")
    run("SELECT pg_sleep(5)")


def test_time_outs_are_in_force(world: World) -> None:
    with world.scope("acme"):
        assert (run("SHOW statement_timeout"), run("SHOW lock_timeout")) == ("15s", "5s")
        assert run("SHOW idle_in_transaction_session_timeout") == "1min"
    with pytest.raises(OperationalError, match="statement timeout"), world.scope("acme"):
        sleep_too_long()
    with world.scope("acme"):
        assert run("SHOW statement_timeout") == "15s"


# --- ways to send queries


def test_pipeline_mode_works_in_a_unit_and_is_bound(world: World) -> None:
    acme = world.acme
    with tenant_scope(acme, actor=SYSTEM), raw().pipeline():
        cursors = [raw().execute("SELECT current_user || %s", [str(number)]) for number in range(3)]
        assert [cursor.fetchone() for cursor in cursors] == [
            (f"daybook_t_{acme.id.hex}{number}",) for number in range(3)
        ]
    with tenant_scope(acme, actor=SYSTEM):
        run("SELECT 1")
        with raw().pipeline(), raw().pipeline():
            assert raw().execute("SELECT 2").fetchone() == (2,)


def test_a_savepoint_in_pipeline_mode_undoes_what_came_after_it_and_stays_bound(world: World) -> None:
    acme = world.acme
    insert = "INSERT INTO audit_user_agent (user_agent) VALUES (%s)"
    with tenant_scope(acme, actor=SYSTEM):
        with raw().pipeline():
            with transaction.atomic():
                raw().execute(insert, ["kept"])
            with suppress(KeyError), transaction.atomic():
                raw().execute(insert, ["undone"])
                raise KeyError
            assert raw().execute("SELECT current_user").fetchone() == (f"daybook_t_{acme.id.hex}",)
        assert run("SELECT string_agg(user_agent, ',') FROM audit_user_agent") == "kept"


@pytest.mark.parametrize("first", [True, False])
def test_executemany_works_in_a_unit_and_is_bound(world: World, first: bool) -> None:
    acme = world.acme
    with tenant_scope(acme, actor=SYSTEM):
        if not first:
            run("SELECT 1")
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO audit_key (digest, entry_id) VALUES (%s, %s)", [(b"a", uuid4()), (b"b", uuid4())]
            )
    assert world.sql(f"SELECT count(*) FROM {acme.schema_name}.audit_key") == [(2,)]


def test_copy_works_in_a_unit_and_is_bound(world: World) -> None:
    acme = world.acme
    with tenant_scope(acme, actor=SYSTEM), connection.cursor() as cursor:
        with cursor.copy("COPY audit_key (digest, entry_id) FROM STDIN") as copy:
            copy.write_row((b"a", uuid4()))
        with cursor.copy("COPY (SELECT current_user) TO STDOUT") as copy:
            assert b"".join(bytes(part) for part in copy) == f"daybook_t_{acme.id.hex}\n".encode()
    assert world.sql(f"SELECT count(*) FROM {acme.schema_name}.audit_key") == [(1,)]


def test_server_side_cursors_work_in_a_unit_and_end_with_it(world: World) -> None:
    with world.scope("acme"):
        for number in range(5):
            AuditLog.log_action(None, "waved", "thing", str(number))
    with world.scope("acme"):
        rows = AuditLog.objects.filter(resource_type="thing").order_by("id").iterator(chunk_size=2)
        assert next(rows).resource_id == "0"
        assert [row.resource_id for row in rows] == ["1", "2", "3", "4"]
        rest = AuditLog.objects.filter(resource_type="thing").iterator(chunk_size=2)
        next(rest)
    with world.scope("globex"), pytest.raises(DatabaseError):
        list(rest)


# --- what goes wrong


def test_an_error_in_the_first_message_closes_the_connection(world: World) -> None:
    gone = gate.TenantRef(uuid4(), "gone", "Gone", "t_gone", "default", "active", "daybook_cell_1")
    connection_ = raw(gone.login)
    with pytest.raises(DataError, match="does not exist"), tenant_scope(gone, actor=SYSTEM):
        run("SELECT 1")
    assert connection_.closed
    with world.scope("acme"):
        assert raw() is not connection_
        assert run("SELECT current_user").endswith(world_id(world))


def world_id(world: World) -> str:
    return str(world.sql("SELECT id FROM shared.tenants_tenant WHERE slug = 'acme'")[0][0].hex)


def test_no_query_of_a_unit_runs_after_an_error_in_its_first_message(world: World) -> None:
    gone = gate.TenantRef(uuid4(), "gone", "Gone", "t_gone", "default", "active", "daybook_cell_1")

    def go_on() -> None:
        for _ in range(3):
            with pytest.raises(DatabaseError):
                run("SELECT 1")

    # The unit itself cannot end well: there is nothing left to commit on.
    with pytest.raises(OperationalError), tenant_scope(gone, actor=SYSTEM):
        go_on()
    with world.scope("acme"):
        assert run("SELECT 1") == 1


def test_a_role_of_another_login_cannot_be_bound(world: World) -> None:
    world.sql("CREATE ROLE daybook_t_ffffffffffffffffffffffffffffffff NOLOGIN")
    try:
        binding = Binding(role="daybook_t_ffffffffffffffffffffffffffffffff", path=("shared",))
        unit = connection.unit(SimpleNamespace(actor=None), binding, parent=None)  # type: ignore[attr-defined]
        with pytest.raises(psycopg.errors.InsufficientPrivilege), unit:
            raw().execute("SELECT 1")
    finally:
        world.sql("DROP ROLE daybook_t_ffffffffffffffffffffffffffffffff")


def test_a_unit_whose_error_was_passed_over_does_not_pretend_to_commit(world: World) -> None:
    def pass_over() -> None:
        with world.scope("acme"):
            AuditLog.log_action(None, "waved", "thing", "1")
            with suppress(DatabaseError):
                run("SELECT 1 / 0")

    with pytest.raises(TransactionManagementError, match="passed over"):
        pass_over()
    with world.scope("acme"):
        assert not AuditLog.objects.filter(action="waved").exists()
        AuditLog.log_action(None, "waved", "thing", "1")
        with suppress(DatabaseError), transaction.atomic():
            run("SELECT 1 / 0")
    with world.scope("acme"):
        assert AuditLog.objects.filter(action="waved").count() == 1


def test_a_connection_that_dies_in_the_middle_is_replaced_for_the_next_unit(world: World) -> None:
    with pytest.raises((OperationalError, InterfaceError)), world.scope("acme"):
        die_in_the_middle(world)
    assert world.sql("SELECT count(*) FROM shared.tenants_tenant") == [(2,)]
    with world.scope("acme"):
        assert not AuditLog.objects.filter(action="waved").exists()


def die_in_the_middle(world: World) -> None:
    AuditLog.log_action(None, "waved", "thing", "1")
    world.sql("SELECT pg_terminate_backend(%s)", run("SELECT pg_backend_pid()"))
    AuditLog.log_action(None, "waved", "thing", "2")


def test_a_connection_that_dies_in_an_inner_unit_does_not_go_on_as_the_outer(world: World) -> None:
    acme = world.acme
    with world.platform():
        Tenant.objects.count()
        with pytest.raises((OperationalError, InterfaceError)), enter_tenant(acme):
            die_in_the_middle(world)
        with pytest.raises(DatabaseError):
            Tenant.objects.count()
    with world.scope("acme"):
        assert not AuditLog.objects.filter(action="waved").exists()


def test_a_connection_closed_in_an_inner_unit_takes_the_outer_with_it(world: World) -> None:
    acme = world.acme
    with world.platform():
        connection_, before = raw(), Tenant.objects.count()
        with enter_tenant(acme):
            AuditLog.log_action(None, "waved", "thing", "1")
            connection.close()
        assert connection_.first_message is None
        with pytest.raises(DatabaseError):
            Tenant.objects.count()
    with world.platform():
        assert Tenant.objects.count() == before
    with world.scope("acme"):
        assert not AuditLog.objects.filter(action="waved").exists()


def test_a_unit_that_cannot_begin_leaves_nothing_bound(world: World) -> None:
    """In a transaction of somebody else's it begins with a savepoint, which a server that is gone refuses."""
    acme = world.acme
    connection_ = raw(acme.login)
    with suppress(OperationalError), transaction.atomic():
        world.sql("SELECT pg_terminate_backend(%s, 5000)", connection_.info.backend_pid)
        with pytest.raises(OperationalError), tenant_scope(acme, actor=SYSTEM):
            pytest.fail("the unit began")
        assert (connection_.first_message, scope_or_none()) == (None, None)
        with pytest.raises(NoScope):
            run("SELECT 1")
    with world.scope("acme"):
        assert run("SELECT 1") == 1


def test_a_transaction_that_one_scope_began_is_no_other_logins(world: World) -> None:
    acme, staff = world.acme, world.actor("sam")
    with transaction.atomic():
        with tenant_scope(acme, actor=SYSTEM):
            AuditLog.log_action(None, "waved", "thing", "1")
        connection_ = raw()
        with pytest.raises(ScopeConflict, match="begun for another scope"), platform_scope(actor=staff):
            pytest.fail("the unit began")
        assert raw() is connection_
    with platform_scope(actor=staff):
        assert run("SELECT current_user") == "daybook_platform"


def test_a_connection_closed_in_a_unit_goes_back_unbound(world: World) -> None:
    with world.scope("acme"):
        run("SELECT 1")
        connection_ = raw()
        connection.close()
        assert connection_.first_message is None
        assert connection_.pgconn.transaction_status == TransactionStatus.IDLE
        with pytest.raises(DatabaseError):
            run("SELECT 1")
    with world.scope("acme"):
        assert run("SELECT 1") == 1


def test_it_tells_whether_the_server_answers(world: World) -> None:
    assert not connection.is_usable()
    with traced(raw().pgconn) as lines:
        assert connection.is_usable()
    assert sent(lines) == ["Query"]
    world.sql("SELECT pg_terminate_backend(%s)", raw().info.backend_pid)
    assert not connection.is_usable()
    connection.close()
    closed = raw()
    closed.close()
    assert not closed.answers()
    connection.close()


def test_it_knows_the_servers_version_without_a_query(world: World) -> None:
    with traced(raw().pgconn) as lines:
        connection.__dict__.pop("pg_version", None)
        assert connection.pg_version >= 180000  # type: ignore[attr-defined]
    assert lines == []


# --- django-tenants' own ways


def test_it_refuses_the_ways_of_django_tenants(world: World) -> None:
    from django_tenants.utils import schema_context, tenant_context

    acme = Tenant(id=world.acme.id, schema_name=world.acme.schema_name, slug="acme")
    wrapper: Any = connection
    for choose, tenant in ((wrapper.set_tenant, acme), (wrapper.set_schema, acme.schema_name)):
        with pytest.raises(NoScope, match="tenant_scope"):
            choose(tenant)
    entered: Any = acme
    with pytest.raises(TypeError), entered:
        AuditLog.objects.count()
    contexts: Any = (schema_context, acme.schema_name), (tenant_context, acme)
    for context, argument in contexts:
        with context(argument), pytest.raises(NoScope):
            AuditLog.objects.count()
    wrapper.set_schema_to_public()
    with pytest.raises(NoScope):
        AuditLog.objects.count()


# --- settings


def test_it_needs_the_pool_which_makes_its_connections(world: World) -> None:
    broken = connection.copy()
    broken.settings_dict = {**connection.settings_dict, "OPTIONS": {}}
    with pytest.raises(ImproperlyConfigured, match="pool"):
        broken.get_connection_params()
    broken.settings_dict = {**connection.settings_dict, "CONN_HEALTH_CHECKS": True}
    with pytest.raises(ImproperlyConfigured, match="CONN_HEALTH_CHECKS"):
        broken.get_connection_params()


def test_a_unit_needs_a_connection_that_nobody_began_a_transaction_on(world: World) -> None:
    acme = world.acme
    connection_ = raw(acme.login)
    connection_.pgconn.exec_(b"BEGIN")
    with pytest.raises(ScopeConflict), tenant_scope(acme, actor=SYSTEM):
        run("SELECT 1")
    connection_.pgconn.exec_(b"ROLLBACK")
