"""What a tenant's unit of work could do to keys, members and invitations if it sent statements of its own choice.

Nobody who uses the API can: these are the walls behind it, attacked as by whoever found a way to inject SQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors
from seen import Session, session
from world import World

from tenants import members
from tenants.gate import digest

CONTEXT = '{"actor": ["user", "mallory", "mallory@acme.example"], "source": "api"}'
DIGEST = digest("dbk_chosen-by-the-attacker")
VALUES = "'k', 'p', 'd', '{{}}'"
ISSUE = "SELECT guard.issue_key('k', 'dbk_', %s, %s, NULL)"


@pytest.fixture
def attacker(world: World) -> Iterator[Session]:
    """A session of acme's own role, as a unit of work has it."""
    with session(world, "tenant") as psql:
        psql.execute(f"SET daybook.context = '{CONTEXT}'".encode())
        yield psql


def rows(world: World) -> list[Any]:
    tables = ("apikey", "membership", "invitation", "user", "credential")
    return [world.sql(f"SELECT t::text FROM shared.tenants_{table} t ORDER BY 1") for table in tables]


def key_of(world: World, slug: str, word: str = "read") -> UUID:
    query = "SELECT k.id FROM shared.tenants_apikey k JOIN shared.tenants_tenant t ON t.id = tenant_id WHERE slug = %s"
    found: UUID = world.sql(f"{query} AND k.name = %s", slug, f"{slug} {word}")[0][0]
    return found


@pytest.mark.parametrize(
    "statement",
    [
        *(
            f"INSERT INTO shared.tenants_apikey ({owner}, name, prefix, digest, scopes) VALUES ({{{whose}}}, {VALUES})"
            for owner, whose in (("tenant_id", "globex"), ("tenant_id", "acme"), ("user_id", "sam"))
        ),
        "UPDATE shared.tenants_apikey SET revoked_at = NULL",
        "UPDATE shared.tenants_apikey SET expires_at = NULL",
        "UPDATE shared.tenants_apikey SET scopes = '{{admin}}'",
        "UPDATE shared.tenants_apikey SET tenant_id = {globex}",
        "UPDATE shared.tenants_apikey SET user_id = {sam}, tenant_id = NULL",
        "UPDATE shared.tenants_apikey SET digest = 'x'",
        "UPDATE shared.tenants_apikey SET created_by_label = 'somebody else'",
        "DELETE FROM shared.tenants_apikey",
        "SELECT digest FROM shared.tenants_apikey",
        "SELECT k FROM shared.tenants_apikey k",
        "SELECT * FROM shared.tenants_apikey",
        "UPDATE shared.tenants_membership SET role = 'owner'",
        "UPDATE shared.tenants_membership SET ended_at = NULL",
        "INSERT INTO shared.tenants_membership (tenant_id, user_id, role) VALUES ({acme}, {sam}, 'owner')",
        "INSERT INTO shared.tenants_invitation (tenant_id, email, role, expires_at) VALUES ({globex}, '', '', now())",
        "UPDATE shared.tenants_invitation SET expires_at = now() + interval '9 years'",
        "UPDATE shared.tenants_invitation SET accepted_at = now()",
        "UPDATE shared.tenants_invitation SET email = 'mallory@evil.example'",
        "DELETE FROM shared.tenants_invitation",
        "SELECT guard.own_tenant()",
        "SELECT guard.acting()",
        "SELECT guard.set_password({sam}, 'x')",
        "SELECT * FROM gate.maker({globex}, 'user', {sam})",
    ],
)
def test_no_statement_of_a_tenants_role_writes_these_tables_or_reads_a_digest(
    world: World, attacker: Session, statement: str
) -> None:
    ids = {"acme": world.acme.id, "globex": world.globex.id, "sam": world.person("sam").pk}
    before = rows(world)
    with pytest.raises(errors.InsufficientPrivilege):
        attacker.execute(statement.format(**{name: f"'{key}'" for name, key in ids.items()}).encode())
    assert rows(world) == before


def test_a_key_that_is_made_is_the_roles_own_whatever_else_is_tried(world: World, attacker: Session) -> None:
    (made,) = attacker.execute(ISSUE, [DIGEST, ["admin"]]).fetchone() or (None,)
    query = "SELECT tenant_id, user_id, created_by_label FROM shared.tenants_apikey WHERE id = %s"
    assert world.sql(query, made) == [(world.acme.id, None, "mallory@acme.example")]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT guard.rotate_key({key}, 'dbk_', '\\x01', NULL, interval '1 day')",
        "SELECT nullif(guard.revoke_key({key}), false)",
        "SELECT nullif(guard.withdraw_invitation({invitation}), false)",
        "SELECT nullif((guard.change_member({charlie}, 'member', true)).said, 'unknown')",
        "SELECT nullif((guard.change_member({charlie}, NULL, true)).said, 'unknown')",
        "SELECT nullif((guard.change_member({sam}, 'owner', true)).said, 'unknown')",
    ],
)
def test_what_belongs_to_others_is_out_of_reach_of_the_functions(
    world: World, attacker: Session, statement: str
) -> None:
    invitation = world.sql("SELECT id FROM shared.tenants_invitation WHERE tenant_id = %s", world.globex.id)[0][0]
    ids = {"key": key_of(world, "globex"), "invitation": invitation}
    ids |= {name: world.person(name).pk for name in ("charlie", "sam")}
    before = rows(world)
    filled = statement.format(**{name: f"'{key}'" for name, key in ids.items()})
    assert attacker.execute(filled.encode()).fetchone() == (None,)
    assert rows(world) == before


def test_a_staff_members_token_is_neither_revoked_nor_rotated_by_a_tenant(world: World, attacker: Session) -> None:
    token = world.sql("SELECT id FROM shared.tenants_apikey WHERE tenant_id IS NULL LIMIT 1")[0][0]
    before = rows(world)
    assert attacker.execute("SELECT guard.revoke_key(%s)", [token]).fetchone() == (False,)
    rotate = "SELECT guard.rotate_key(%s, 'p', %s, NULL, interval '1 day')"
    assert attacker.execute(rotate, [token, DIGEST]).fetchone() == (None,)
    assert rows(world) == before


@pytest.mark.parametrize("overlap", ["99 years", "infinity"])
def test_a_rotation_never_gives_the_old_key_more_time(world: World, attacker: Session, overlap: str) -> None:
    key = key_of(world, "acme")
    world.sql("UPDATE shared.tenants_apikey SET expires_at = now() + interval '1 hour' WHERE id = %s", key)
    query = "SELECT expires_at FROM shared.tenants_apikey WHERE id = %s"
    before = world.sql(query, key)
    attacker.execute("SELECT guard.rotate_key(%s, 'p', %s, NULL, %s::interval)", [key, DIGEST, overlap])
    assert world.sql(query, key) == before


@pytest.mark.parametrize("role", ["daybook_platform", "daybook_auditor"])
def test_the_functions_are_for_tenants_alone(world: World, role: str) -> None:
    before = rows(world)
    with session(world, "superuser") as psql:
        psql.execute(f"SET ROLE {role}".encode())
        with pytest.raises(errors.InsufficientPrivilege):
            psql.execute(ISSUE, [DIGEST, ["admin"]])
    assert rows(world) == before


def test_a_login_that_has_become_no_tenant_may_call_none_of_them(world: World) -> None:
    with psycopg.connect(**world.dsn("acme"), autocommit=True) as login:
        with pytest.raises(errors.InsufficientPrivilege):
            login.execute(ISSUE, [DIGEST, ["admin"]])
        # Nor in the name of a role that is only said, by a setting.
        with pytest.raises(psycopg.Error):
            login.execute("SELECT set_config('role', 'daybook_platform', false)")


def test_the_owner_of_the_tables_calls_them_for_nobody(world: World) -> None:
    """The role in whose name they work is read from the unit of work; without one there is no tenant."""
    with session(world, "owner") as psql:
        psql.execute(f"SET daybook.context = '{CONTEXT}'".encode())
        with pytest.raises(errors.InsufficientPrivilege, match="unit of work of a tenant"):
            psql.execute(ISSUE, [DIGEST, ["admin"]])


def test_a_table_put_first_in_the_path_is_not_taken_for_the_shared_one(world: World, attacker: Session) -> None:
    """The functions have a path of their own; otherwise a tenant's look-alike could answer for `tenants_tenant`."""
    attacker.execute(b"SET search_path = pg_temp, public")
    (made,) = attacker.execute(ISSUE, [DIGEST, ["admin"]]).fetchone() or (None,)
    assert world.sql("SELECT tenant_id FROM shared.tenants_apikey WHERE id = %s", made) == [(world.acme.id,)]


def test_an_invitation_cannot_be_accepted_by_whoever_can_only_send_statements(world: World, attacker: Session) -> None:
    """The token is signed with the process's key: with all that stands in the database nobody makes one."""
    (made,) = attacker.execute("SELECT guard.invite('victim@elsewhere.example', 'owner')").fetchone() or (None,)
    answer = world.api().post("/api/v1/invitations/accept", {"token": str(made), "password": "long enough now"})
    assert answer.status_code == 404
    assert world.sql("SELECT count(*) FROM shared.tenants_user WHERE email LIKE 'victim%%'") == [(0,)]


def test_of_two_owners_who_go_at_once_one_stays(world: World) -> None:
    """Both units of work are open before either commits: the second waits for the first, and finds it is the last."""
    with world.platform():
        from tenants import people
        from tenants.models import Tenant, User

        people.set_role(User.objects.get(email="alice@acme.example"), Tenant.objects.get(slug="acme"), "owner")
    outcomes: list[str] = []
    olga, alice = world.person("olga").pk, world.person("alice").pk

    def leave(person: UUID) -> None:
        try:
            with world.scope("acme", "bob"):
                members.remove(person, by_owner=True)
                outcomes.append("left")
        except members.LastOwner:
            outcomes.append("stays")

    with world.scope("acme", "bob"):
        members.remove(olga, by_owner=True)
        other = Thread(target=leave, args=[alice])
        other.start()
        other.join(0.5)
        assert other.is_alive(), "nobody waited"
    other.join(10)
    assert outcomes == ["stays"]
    current = (
        "SELECT user_id FROM shared.tenants_membership WHERE role = 'owner' AND ended_at IS NULL AND tenant_id = %s"
    )
    assert world.sql(current, world.acme.id) == [(alice,)]
