"""The walls around accounts: their role sees one side's people and no trail; nobody else sees anything of them."""

from __future__ import annotations

from typing import Any

import pytest
from accounts import browser, enrol
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.db import ProgrammingError, connection
from world import PEOPLE, STAFF, World, address

from audit.models import AuditLog
from tenants import gate, people, recording
from tenants.context import SYSTEM, Origin, account_scope, at_side, enter_tenant, platform_scope, tenant_scope
from tenants.entrance import Attempt
from tenants.errors import NoScope, ScopeConflict
from tenants.models import User

TABLES = [
    "account_emailaddress",
    "account_emailconfirmation",
    "mfa_authenticator",
    "usersessions_usersession",
    "tenants_attempt",
]
OWN: list[Any] = [User, EmailAddress, Authenticator, UserSession]


def accounts(side: Any) -> Any:
    return account_scope(side, actor=SYSTEM, origin=Origin())


def fails(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("verb", ["SELECT count(*) FROM", "DELETE FROM"])
def test_no_tenant_and_no_platform_sees_or_changes_anything_of_accounts(world: World, table: str, verb: str) -> None:
    enrol(browser(world, name="alice"))
    before = world.sql(f"SELECT count(*) FROM shared.{table}")
    for scope in (world.scope("acme"), world.platform()):
        with pytest.raises(ProgrammingError, match="permission denied"), scope:
            fails(f"{verb} shared.{table}")
    assert world.sql(f"SELECT count(*) FROM shared.{table}") == before


def test_each_side_sees_its_own_people_alone(world: World) -> None:
    for name in ("alice", "charlie", "sam"):
        enrol(browser(world, "platform" if name in STAFF else PEOPLE[name][0], name))
    for side, names in (
        (world.acme, {name for name, (slug, _) in PEOPLE.items() if slug == "acme"}),
        (world.globex, {"charlie"}),
        (None, set(STAFF)),
    ):
        with accounts(side):
            assert set(User.objects.values_list("email", flat=True)) == {address(name) for name in names}
            ids = set(User.objects.values_list("pk", flat=True))
            for model in OWN[1:]:
                assert set(model.objects.values_list("user_id", flat=True)) <= ids
                assert model.objects.exists()


def test_a_former_member_is_not_seen(world: World) -> None:
    world.sql("UPDATE shared.tenants_membership SET ended_at = now() WHERE user_id = %s", world.person("bob").pk)
    with accounts(world.acme):
        assert not User.objects.filter(email=address("bob")).exists()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) FROM shared.tenants_credential",
        "SELECT count(*) FROM shared.tenants_session",
        "SELECT count(*) FROM shared.tenants_tenant",
        "SELECT count(*) FROM shared.tenants_membership",
        "SELECT count(*) FROM shared.tenants_apikey",
        "SELECT count(*) FROM shared.platform_log",
        "SELECT count(*) FROM shared.subscriptions_plan",
        "SELECT count(*) FROM {schema}.audit_log",
        "UPDATE shared.tenants_user SET staff_role = 'admin'",
        "UPDATE shared.tenants_user SET is_active = true",
        "DELETE FROM shared.tenants_user",
        "SELECT guard.set_password(gen_random_uuid(), 'x')",
        "SELECT guard.delete_person(gen_random_uuid())",
        "SELECT * FROM gate.key('\\x00')",
        "SELECT * FROM gate.host('acme.localhost')",
    ],
)
def test_the_role_of_accounts_may_nothing_else(world: World, statement: str) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"), accounts(world.acme):
        fails(statement.replace("{schema}", world.acme.schema_name))


def test_a_password_is_changed_for_people_of_the_side_alone(world: World) -> None:
    before = world.sql("SELECT user_id, password FROM shared.tenants_credential ORDER BY user_id")
    for name in ("charlie", "sam"):
        with pytest.raises(ProgrammingError, match="does not belong"), accounts(world.acme):
            fails(f"SELECT guard.change_password('{world.person(name).pk}', 'x')")
    assert world.sql("SELECT user_id, password FROM shared.tenants_credential ORDER BY user_id") == before


def test_nothing_is_written_for_somebody_of_another_side(world: World) -> None:
    stranger = world.person("charlie")
    with pytest.raises(ProgrammingError, match="row-level security"), accounts(world.acme):
        Authenticator.objects.create(user_id=stranger.pk, type="totp", data={})
    with accounts(world.acme):
        assert User.objects.filter(pk=stranger.pk).update(email="x@acme.example") == 0
    assert world.sql("SELECT count(*) FROM shared.mfa_authenticator") == [(0,)]


def test_a_queryset_of_one_side_is_not_evaluated_on_another(world: World) -> None:
    acme, globex = world.acme, world.globex
    with accounts(acme):
        people_of_acme = User.objects.all()
    with accounts(globex), pytest.raises(ScopeConflict):
        list(people_of_acme)


def test_without_a_side_nobody_is_seen(world: World) -> None:
    role = world.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE '%%\\_account'")[0][0]
    import psycopg

    with psycopg.connect(**world.dsn()) as login:
        login.execute(f'SET ROLE "{role}"')
        for said in ("", '{"side": "nonsense"}', "{}"):
            login.execute(f"SET LOCAL daybook.context = '{said}'")
            assert login.execute("SELECT count(*) FROM shared.tenants_user").fetchone() == (0,)


def test_a_unit_of_accounts_writes_into_the_trail_of_its_side_alone(world: World) -> None:
    acme, globex = world.acme, world.globex
    with accounts(acme), at_side():
        recording.record("tried", ("thing", "1", ""))
        assert AuditLog.objects.count() == 1  # what its own transaction wrote
    for scope in (enter_tenant(globex), tenant_scope(globex, actor=SYSTEM), platform_scope(actor=SYSTEM)):
        with accounts(acme), pytest.raises(ScopeConflict), scope:
            pass
    for side, scope in ((None, enter_tenant(acme)), (None, tenant_scope(acme, actor=SYSTEM))):
        with accounts(side), pytest.raises(ScopeConflict), scope:
            pass
    for scope in (at_side(), account_scope(acme, actor=SYSTEM, origin=Origin())):
        with tenant_scope(acme, actor=SYSTEM), pytest.raises(ScopeConflict), scope:
            pass
    with pytest.raises(NoScope), at_side():
        pass


def test_what_fails_takes_its_entry_along(world: World) -> None:
    before = world.entries("acme")
    scope = accounts(world.acme)
    scope.__enter__()
    with at_side():
        recording.record("tried", ("thing", "1", ""))
    scope.__exit__(RuntimeError, RuntimeError(), None)
    assert world.entries("acme") == before


def test_each_person_has_one_confirmed_address(world: World) -> None:
    with world.platform():
        person = people.create_user(email="New@acme.example")
    assert world.sql(
        'SELECT email, verified, "primary" FROM shared.account_emailaddress WHERE user_id = %s', person.pk
    ) == [("new@acme.example", True, True)]
    assert world.sql("SELECT count(*) FROM shared.account_emailaddress") == world.sql(
        "SELECT count(*) FROM shared.tenants_user"
    )


def test_a_deleted_person_leaves_nothing_in_accounts(world: World) -> None:
    enrol(browser(world, name="alice"))
    person = world.person("alice")
    with world.platform():
        people.delete_user(User.objects.get(pk=person.pk))
    for table in TABLES[:1] + TABLES[2:4]:
        assert world.sql(f"SELECT count(*) FROM shared.{table} WHERE user_id = %s", person.pk) == [(0,)]


def test_the_gate_answers_in_a_unit_of_accounts_and_in_no_other(world: World) -> None:
    acme = world.acme
    with accounts(acme):
        person = gate.person(email=address("alice"), tenant_id=acme.id)
        assert person is not None
        assert person.tenant_role == "admin"
    with world.scope("acme"), pytest.raises(ScopeConflict):
        gate.person(email=address("alice"))


def test_the_table_of_attempts_costs_no_log(world: World) -> None:
    table = Attempt._meta.db_table
    assert world.sql("SELECT relpersistence::text FROM pg_class WHERE oid = %s::regclass", f"shared.{table}") == [
        ("u",)
    ]
