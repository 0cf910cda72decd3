"""Logins of cells and of sealed tenants: what each may become, and that nobody may become more."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection, connections
from units import raw, run
from world import World

from audit.models import AuditLog
from tenants import logins, provisioning, sealing
from tenants.backend import pool
from tenants.backend.unit import tenant_role
from tenants.context import SYSTEM, enter_tenant, tenant_scope


def members(world: World, login: str) -> list[tuple[Any, ...]]:
    """Return the roles of a login (of this world's tenants, and all others), with their options."""
    return world.sql(
        "SELECT r.rolname, inherit_option, set_option, admin_option FROM pg_auth_members"
        " JOIN pg_roles r ON r.oid = roleid WHERE member = %s::regrole ORDER BY 1",
        login,
    )


def another(slug: str = "initech") -> Any:
    return provisioning.create_tenant(slug=slug, name=slug.title(), domain=f"{slug}.localhost")


# --- what a login may become


def test_the_applications_own_login_may_become_no_tenant(world: World) -> None:
    assert members(world, "daybook_app") == [
        ("daybook_account", False, True, False),
        ("daybook_auditor", False, True, False),
        ("daybook_platform", False, True, False),
    ]
    with psycopg.connect(**world.dsn()) as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(f"SET ROLE {tenant_role(world.acme.id)}")


def test_the_login_of_a_cell_may_become_its_tenants_and_nobody_else(world: World) -> None:
    acme = world.acme
    found = members(world, acme.login)
    assert ("daybook_login", True, False, False) in found
    assert (tenant_role(acme.id), False, True, False) in found
    assert all(name.startswith("daybook_t_") for name, *_ in found if name != "daybook_login")
    for role in ("daybook_platform", "daybook_auditor", "daybook_owner", "daybook_guard", "daybook_app", "postgres"):
        with psycopg.connect(**world.dsn("acme")) as cell, pytest.raises(psycopg.errors.InsufficientPrivilege):
            cell.execute(f"SET ROLE {role}")


def test_a_cell_by_itself_sees_nothing(world: World) -> None:
    tables = (f"{world.acme.schema_name}.audit_log", "shared.tenants_tenant", "shared.tenants_apikey")
    for table in tables:
        with psycopg.connect(**world.dsn("acme")) as cell, pytest.raises(psycopg.errors.InsufficientPrivilege):
            cell.execute(f"SELECT * FROM {table}")
    with psycopg.connect(**world.dsn("acme")) as cell, pytest.raises(psycopg.errors.InsufficientPrivilege):
        cell.execute("SELECT * FROM gate.tenant('acme')")


# --- cells


def test_a_full_cell_is_followed_by_another_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {world.acme.login, world.globex.login} == {"daybook_cell_1"}
    monkeypatch.setattr(settings, "TENANTS_PER_LOGIN", 2)
    third, fourth, fifth = another("initech"), another("hooli"), another("umbrella")
    try:
        assert [tenant.login for tenant in (third, fourth, fifth)] == [
            "daybook_cell_2",
            "daybook_cell_2",
            "daybook_cell_3",
        ]
        for tenant in (third, fifth):
            with tenant_scope(tenant, actor=SYSTEM):
                assert run("SELECT session_user || ' ' || current_user") == f"{tenant.login} {tenant_role(tenant.id)}"
    finally:
        for tenant in (third, fourth, fifth):
            provisioning.drop_tenant(tenant)


def test_a_cell_that_has_room_again_is_used_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "TENANTS_PER_LOGIN", 3)
    third = another()
    provisioning.drop_tenant(third)
    assert third.login == "daybook_cell_1"
    again = another()
    assert again.login == "daybook_cell_1"
    provisioning.drop_tenant(again)


def test_units_of_tenants_of_two_cells_follow_each_other_on_one_thread(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "TENANTS_PER_LOGIN", 2)
    acme, other = world.acme, another()
    try:
        for tenant in (acme, other, other, acme):
            with tenant_scope(tenant, actor=SYSTEM):
                AuditLog.log_action(None, "waved", "thing", "1")
                assert run("SELECT session_user") == tenant.login
        for tenant in (acme, other):
            waved = f"SELECT count(*) FROM {tenant.schema_name}.audit_log WHERE action = 'waved'"
            assert world.sql(waved) == [(2,)]
        with world.platform(), enter_tenant(other):
            assert run("SELECT session_user || ' ' || current_user") == "daybook_app daybook_auditor"
    finally:
        provisioning.drop_tenant(other)


# --- the sealed tier


@pytest.fixture
def sealed(world: World) -> Any:
    """A tenant on the sealed tier. Roles are the cluster's, so it is one of the test's own."""
    tenant = sealing.seal_tenant(another())
    yield tenant
    provisioning.drop_tenant(tenant)


def test_a_sealed_tenant_has_a_login_of_its_own_that_may_become_nothing_else(world: World, sealed: Any) -> None:
    assert sealed.login == world.tenant("initech").login == f"daybook_sealed_{sealed.id.hex}"
    role = tenant_role(sealed.id)
    assert members(world, sealed.login) == [
        ("daybook_login", True, False, False),
        (role, False, True, False),
    ]
    assert role not in {name for name, *_ in members(world, "daybook_cell_1")}
    with psycopg.connect(**world.dsn("initech")) as own, pytest.raises(psycopg.errors.InsufficientPrivilege):
        own.execute(f"SET ROLE {tenant_role(world.acme.id)}")


def test_a_sealed_tenant_is_served_by_a_pool_of_its_own(world: World, sealed: Any) -> None:
    with tenant_scope(world.tenant("initech"), actor=SYSTEM):
        assert run("SELECT session_user") == sealed.login
        own = connection.pool  # type: ignore[attr-defined]
    with world.scope("acme"):
        assert connection.pool is not own  # type: ignore[attr-defined]


def test_sealing_and_unsealing_are_in_the_platform_log_and_twice_is_refused(world: World, sealed: Any) -> None:
    from tenants.errors import Conflict

    before = world.sql("SELECT count(*) FROM shared.platform_log")
    with pytest.raises(Conflict, match="sealed already"):
        sealing.seal_tenant(sealed)
    assert world.sql("SELECT count(*) FROM shared.platform_log") == before
    opened = sealing.unseal_tenant(sealed)
    assert opened.login == world.tenant("initech").login == "daybook_cell_1"
    assert world.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", sealed.login) == []
    with pytest.raises(Conflict, match="not sealed"):
        sealing.unseal_tenant(opened)
    changes = {"login": {"old": "daybook_cell_1", "new": f"daybook_sealed_{sealed.id.hex}"}}
    said = world.sql("SELECT action, changes FROM shared.platform_log WHERE action LIKE 'tenant.%%seal%%' ORDER BY id")
    assert said == [
        ("tenant.sealed", changes),
        ("tenant.unsealed", {"login": {"old": changes["login"]["new"], "new": changes["login"]["old"]}}),
    ]
    with tenant_scope(opened, actor=SYSTEM):
        assert run("SELECT session_user") == "daybook_cell_1"


# --- passwords


def test_the_password_follows_from_the_applications_own_and_from_the_name() -> None:
    passwords = {pool.password_of(login, app) for login in ("cell_1", "cell_2") for app in ("a", "b")}
    assert len(passwords) == 4
    assert {len(password) for password in passwords} == {64}


def test_the_server_is_told_a_verifier_and_no_password(world: World) -> None:
    with connections["owner"].cursor() as cursor:
        clause = logins._password(cursor, "daybook_cell_1").as_string()
    assert clause.startswith("PASSWORD 'SCRAM-SHA-256$")
    assert pool.password_of("daybook_cell_1", str(settings.DATABASES["default"]["PASSWORD"])) not in clause


def test_a_login_whose_password_is_wrong_comes_in_again_once_passwords_were_renewed(world: World) -> None:
    tenant = sealing.seal_tenant(another())
    try:
        world.sql(f"ALTER ROLE {tenant.login} PASSWORD 'stale'")
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(**world.dsn("initech"))
        with connections["owner"].cursor() as cursor:
            assert tenant.login in logins.renew(cursor)
        psycopg.connect(**world.dsn("initech")).close()
    finally:
        provisioning.drop_tenant(tenant)


# --- connections that have served many tenants


def test_a_connection_that_served_enough_tenants_is_replaced_and_the_figure_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, bool]] = []
    monkeypatch.setattr(pool, "on_return", [lambda served, ended: told.append((served, ended))])
    monkeypatch.setattr(settings, "CONNECTION_MAX_TENANTS", 2)
    acme, globex = world.acme, world.globex

    def served(tenant: Any) -> int:
        with tenant_scope(tenant, actor=SYSTEM):
            return int(run("SELECT pg_backend_pid()"))

    first = served(acme)
    connection.close()
    assert served(acme) == served(globex) == first
    ended = raw()
    connection.close()
    assert told[-2:] == [(1, False), (2, True)]
    assert ended.closed
    assert served(acme) != first


def test_a_platform_that_enters_many_tenants_counts_them_too(world: World) -> None:
    acme, globex = world.acme, world.globex
    with world.platform():
        for tenant in (acme, globex, acme):
            with enter_tenant(tenant):
                run("SELECT 1")
        assert raw().tenants == {acme.schema_name, globex.schema_name}


# --- the commands


def manage(*arguments: str) -> str:
    from io import StringIO

    from django.core.management import call_command

    out = StringIO()
    call_command("tenants", *arguments, stdout=out)
    return out.getvalue()


def test_the_commands_seal_unseal_and_renew(world: World) -> None:
    tenant = another()
    own = logins.sealed(tenant)
    try:
        assert manage("seal", "initech", "--actor", "sam@daybook.example") == (
            f"Sealed initech: its login is {own} from now on.\n"
        )
        assert own in manage("rekey")
        assert manage("unseal", "initech") == "Unsealed initech: its login is daybook_cell_1 from now on.\n"
        said = "SELECT actor_label FROM shared.platform_log WHERE action = 'tenant.sealed'"
        assert world.sql(said) == [("sam@daybook.example",)]
        assert world.sql("SELECT count(*) FROM shared.platform_log WHERE action = 'logins.renewed'") == [(1,)]
    finally:
        provisioning.drop_tenant(world.tenant("initech"))
