"""Database logins as walls: what an injection that may say anything at all on a tenant's connection cannot become."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, connection
from psycopg.pq import ExecStatus
from stock import scope
from trying_urls import labels, write
from units import raw, run
from world import World

from tenants import provisioning, sealing
from tenants.auditing import read_tenant
from tenants.backend.unit import tenant_role
from tenants.context import Origin, enter_tenant, platform_scope
from tenants.models import Tenant

PREFIX = settings.DATABASE_ROLE_PREFIX
OTHERS = [f"{PREFIX}_{name}" for name in ("platform", "auditor", "owner", "guard", "app", "tenant", "login", "cell_1")]


@pytest.fixture
def initech(world: World) -> Iterator[Any]:
    """A sealed tenant: its login is of this test alone, as roles are the whole cluster's."""
    made = provisioning.create_tenant(slug="initech", name="Initech", domain="initech.localhost")
    yield sealing.seal_tenant(made)
    provisioning.drop_tenant(world.tenant("initech"))


def said_by_itself(tenant: Any, *statements: str) -> str | None:
    """Say statements in one message of the simple protocol within a tenant's unit, past all of our own code.

    Returns the first value of the last one, None where the server refused.
    """
    with scope(tenant):
        run("SELECT 1")
        result = raw().pgconn.exec_(";".join(statements).encode())
        value = None
        if result.status == ExecStatus.TUPLES_OK:
            value = (result.get_value(0, 0) or b"").decode()
        raw().pgconn.exec_(b"ROLLBACK")
        return value


def waved(tenant: Any) -> str:
    return f"SELECT resource_id FROM {tenant.schema_name}.audit_log WHERE action = 'waved'"


def taken(world: World, tenant: Any, role: str) -> str | None:
    """Take on a role from a tenant's connection; return who one is then."""
    return said_by_itself(tenant, f'SET ROLE "{role}"', "SELECT current_user")


def test_a_sealed_tenants_connection_becomes_nobody_else(world: World, initech: Any) -> None:
    others = [*OTHERS, "postgres", tenant_role(world.acme.id), tenant_role(world.globex.id)]
    assert {role: taken(world, initech, role) for role in others} == dict.fromkeys(others)
    assert taken(world, initech, tenant_role(initech.id)) == tenant_role(initech.id)


def test_a_cells_connection_becomes_no_one_beyond_its_cell(world: World, initech: Any) -> None:
    others = [*OTHERS[:-1], "postgres", tenant_role(initech.id), initech.login]
    assert {role: taken(world, world.acme, role) for role in others} == dict.fromkeys(others)
    # A cell is shared: this much is told in docs/security.md, and a sealed tenant is out of its reach.
    assert taken(world, world.acme, tenant_role(world.globex.id)) == tenant_role(world.globex.id)


def test_the_login_below_the_role_has_no_rights_to_fall_back_to(world: World, pair: dict[str, Any]) -> None:
    for tenant in pair.values():
        for back in ("RESET ROLE", "SET ROLE NONE", "RESET SESSION AUTHORIZATION"):
            for table in (f"{tenant.schema_name}.audit_log", "shared.tenants_user", "shared.platform_log"):
                assert said_by_itself(tenant, back, f"SELECT count(*) FROM {table}") is None


def test_control_a_login_that_may_take_on_another_tenant_reads_its_trail(
    world: World, initech: Any, pair: dict[str, Any]
) -> None:
    acme = pair["acme"]
    probe = (f'SET ROLE "{tenant_role(acme.id)}"', waved(acme))
    assert said_by_itself(initech, *probe) is None
    world.sql(f"GRANT {tenant_role(acme.id)} TO {initech.login} WITH INHERIT FALSE, SET TRUE")
    assert said_by_itself(initech, *probe) == "acme"


def test_control_a_login_that_inherits_needs_no_other_role_at_all(
    world: World, initech: Any, pair: dict[str, Any]
) -> None:
    acme = pair["acme"]
    probe = ("RESET ROLE", waved(acme))
    assert said_by_itself(initech, *probe) is None
    world.sql(f"GRANT {tenant_role(acme.id)} TO {initech.login} WITH INHERIT TRUE")
    assert said_by_itself(initech, *probe) == "acme"


def test_units_of_two_logins_follow_each_other_on_one_thread(world: World, initech: Any, pair: dict[str, Any]) -> None:
    with scope(initech):
        write("waved", "initech")
    for _turn in range(3):
        for slug, tenant in {**pair, "initech": initech}.items():
            with scope(tenant):
                assert (labels(), run("SELECT session_user")) == ([slug], tenant.login)


def test_a_unit_that_comes_by_another_tenants_login_is_refused(world: World, initech: Any) -> None:
    acme = world.acme
    for tenant, wrong in ((initech, acme.login), (acme, initech.login)):
        swapped = Tenant(id=tenant.id, slug=tenant.slug, schema_name=tenant.schema_name, login=wrong)
        with pytest.raises(DatabaseError, match="permission denied to set role"), scope(swapped):
            labels()


# --- the platform within a tenant


def test_control_were_any_reason_good_the_platform_reads_where_it_gave_none(world: World, pair: dict[str, Any]) -> None:
    def visit() -> list[list[str]]:
        acme, globex = world.acme, world.globex
        with read_tenant(acme, actor=world.actor("sam"), reason="Ticket 4711"):
            first = labels()
        with world.platform(), enter_tenant(globex):
            return [first, labels()]

    assert visit() == [["acme"], []]
    always = "guard.reason_given(trail regclass) RETURNS boolean LANGUAGE sql AS 'SELECT true'"
    world.sql(f"CREATE OR REPLACE FUNCTION {always}")
    assert visit() == [["acme"], ["globex"]]


def agents_seen(world: World, reason: str = "") -> list[list[str]]:
    """Enter acme as the platform; return the user agents seen there, and in globex by its qualified name."""
    globex, acme = world.globex.schema_name, world.acme
    with ExitStack() as stack:
        if reason:
            stack.enter_context(read_tenant(acme, actor=world.actor("sam"), reason=reason))
        else:
            stack.enter_context(world.platform())
            stack.enter_context(enter_tenant(acme))
        return [names("audit_user_agent"), names(f"{globex}.audit_user_agent")]


def names(table: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT user_agent FROM {table}")
        return [row[0] for row in cursor.fetchall()]


@pytest.fixture
def agents(world: World) -> None:
    for slug, name in (("acme", "alice"), ("globex", "charlie")):
        with world.scope(slug, name, user_agent=f"{slug}'s browser"):
            write("waved", slug)


@pytest.mark.usefixtures("agents")
def test_user_agents_are_read_for_a_reason_alone_and_those_of_that_tenant(world: World) -> None:
    assert agents_seen(world) == [[], []]
    assert agents_seen(world, reason="Ticket 4711") == [["acme's browser"], []]


@pytest.mark.usefixtures("agents")
def test_control_without_row_security_user_agents_are_read_without_a_reason(world: World) -> None:
    for tenant in (world.acme, world.globex):
        world.sql(f"ALTER TABLE {tenant.schema_name}.audit_user_agent DISABLE ROW LEVEL SECURITY")
    assert agents_seen(world) == [["acme's browser"], ["globex's browser"]]


def test_what_the_platform_writes_in_a_tenant_needs_no_look_into_its_user_agents(world: World) -> None:
    origin = Origin(user_agent="staff's browser", ip="203.0.113.9")
    acme = world.acme
    with platform_scope(actor=world.actor("sam"), origin=origin), enter_tenant(acme):
        write("told", "1")
    trail = f"{acme.schema_name}.audit_log"
    assert world.sql(f"SELECT actor_label, host(ip), agent_id FROM {trail} WHERE action = 'told'") == [
        ("sam@daybook.example", "203.0.113.9", None)
    ]
