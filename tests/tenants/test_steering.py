"""Statements that would steer the unit of work: another role, another path, the end of its transaction."""

from __future__ import annotations

from contextlib import suppress

import psycopg
import pytest
from django.db import DatabaseError, InterfaceError, OperationalError
from units import raw, run
from world import World

from audit.models import AuditLog
from tenants.backend.connection import UnitConnection
from tenants.context import SYSTEM, enter_tenant, tenant_scope
from tenants.errors import NoScope, ScopeConflict


@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN"])
def test_a_statement_that_ends_the_transaction_ends_the_connection(world: World, ending: str) -> None:
    def end() -> None:
        with world.scope("acme"):
            AuditLog.log_action(None, "waved", "thing", "1")
            try:
                run(ending)
            finally:
                with pytest.raises(DatabaseError):
                    run("SELECT current_user")

    with pytest.raises((ScopeConflict, OperationalError, InterfaceError)):
        end()
    with world.scope("acme"):
        assert run("SELECT current_user").startswith("daybook_t_")


def becomes(way: str, statement: str) -> None:
    """Run a statement in one of the ways that psycopg knows, whatever it says of it."""
    cursor = raw().cursor()
    with suppress(psycopg.Error):
        if way == "executemany":
            cursor.executemany(statement, [(), ()])
        elif way == "copy":
            with cursor.copy(statement):
                pass
        elif way == "stream":
            list(cursor.stream(statement))
        elif way == "pipeline":
            with raw().pipeline():
                raw().execute(statement)
        else:
            cursor.execute(statement)


@pytest.mark.parametrize("way", ["execute", "executemany", "copy", "stream", "pipeline"])
def test_in_whatever_way_a_role_is_set_the_next_statement_is_the_units_own_again(world: World, way: str) -> None:
    acme, globex = world.acme, world.globex
    with tenant_scope(acme, actor=SYSTEM):
        for statement in (f"SET ROLE daybook_t_{globex.id.hex}", f"SET search_path = {globex.schema_name}"):
            becomes(way, statement)
            assert run("SELECT current_user").endswith(acme.id.hex)
            assert run("SHOW search_path").startswith(acme.schema_name)


@pytest.mark.parametrize("way", ["execute", "executemany", "copy", "stream", "pipeline"])
def test_without_that_the_role_stays(world: World, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr(UnitConnection, "restore", lambda _connection, _tag=None: None)
    acme, globex = world.acme, world.globex
    with tenant_scope(acme, actor=SYSTEM):
        becomes(way, f"SET ROLE daybook_t_{globex.id.hex}")
        assert run("SELECT current_user").endswith(globex.id.hex)


def test_after_an_inner_unit_that_failed_a_setting_does_not_bring_its_role_back(world: World) -> None:
    acme = world.acme
    with world.platform():
        with suppress(DatabaseError), enter_tenant(acme):
            run("SELECT 1 / 0")
        run("SET LOCAL statement_timeout = '5s'")
        assert run("SELECT current_user") == "daybook_platform"


def test_a_transaction_that_ends_in_an_inner_unit_does_not_go_on_as_the_outer(world: World) -> None:
    acme = world.acme

    def end() -> None:
        with world.platform(), enter_tenant(acme):
            with suppress(ScopeConflict):
                run("ROLLBACK")
            with pytest.raises((DatabaseError, NoScope)):
                run("SELECT 1")

    with pytest.raises((DatabaseError, InterfaceError, ScopeConflict)):
        end()
