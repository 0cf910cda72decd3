"""Whom a view finds to call: from then on it is he who acts, in whatever is written, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, connection
from hostapp.models import Organization, Tag
from rest_framework.authtoken.models import Token
from rest_framework_simplejwt.tokens import AccessToken
from world import PASSWORD, Api, World, address

from audit import access
from audit.capture import capture_paused
from audit.models import AuditLog
from subscriptions.models import Plan, PlatformLog
from tenants import people
from tenants.context import Actor, act_as, current_scope, enter_tenant
from tenants.models import Membership, Tenant

LATE = Actor("user", "late", "Late")


def labels(world: World, *, captured: bool | None = None) -> list[str]:
    with world.scope("acme"):
        entries = AuditLog.objects.order_by("id")
        found = entries if captured is None else entries.filter(captured=captured)
        return [entry.actor_label for entry in found if entry.resource_type not in {"user", "membership"}]


def test_what_is_logged_first_is_logged_by_him(world: World) -> None:
    before = len(labels(world))
    with world.scope("acme"):
        act_as(LATE)
        AuditLog.log_action(None, "first", "thing", "1")
    assert labels(world)[before:] == ["Late"]


@pytest.mark.accesses
def test_a_look_and_a_pause_are_his(world: World) -> None:
    before = len(labels(world))
    with world.scope("acme"):
        act_as(LATE)
        access.note("read")
    with world.scope("acme"):
        act_as(LATE)
        with capture_paused(reason="a test"):
            Tag.objects.create(name="unseen")
    assert labels(world)[before:] == ["Late", "Late"]


def test_a_cursor_that_was_open_before_writes_in_his_name(world: World) -> None:
    with world.scope("acme", "bob"), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        act_as(LATE)
        cursor.execute("INSERT INTO hostapp_tag (name) VALUES ('one')")
        act_as(world_actor("second"))
        cursor.executemany("INSERT INTO hostapp_tag (name) VALUES (%s)", [("two",)])
        act_as(world_actor("third"))
        with cursor.copy("COPY hostapp_tag (name) FROM STDIN") as copy:
            copy.write_row(["three"])
    assert labels(world, captured=True)[-3:] == ["Late", "second", "third"]


def world_actor(name: str) -> Actor:
    return Actor("user", name, name)


def test_the_platform_enters_a_tenant_in_his_name(world: World) -> None:
    with world.platform():
        acme = Tenant.objects.get(slug="acme")
        act_as(Actor("staff", "s-1", "Sue"))
        with enter_tenant(acme):
            AuditLog.log_action(None, "entered", "thing", "1")
        Plan.objects.create(slug="new", name="New")
    assert labels(world)[-1] == "Sue"
    with world.platform():
        assert PlatformLog.objects.filter(captured=True)[0].actor_label == "Sue"


def test_who_cannot_be_found_out_is_asked_for_again(world: World) -> None:
    answers: list[Any] = [ValueError("not now"), None, LATE]

    def late() -> Actor | None:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        found: Actor | None = answer
        return found

    with world.scope("acme") as scope:
        scope.late = late
        with pytest.raises(ValueError, match="not now"):
            Tag.objects.count()
        assert current_scope().actor.label == "Daybook"
        Tag.objects.create(name="vip")
    assert labels(world, captured=True)[-1] == "Late"


def test_a_session_is_nothing_to_a_view_that_asks_for_a_token(world: World) -> None:
    bob = world.person("bob")
    with world.scope("acme"):
        token = Token.objects.create(user=bob)
    api = Api("acme.localhost")
    api.sign_in("alice")
    answer = api.post("/app/token", {"name": "by bob"}, authorization=f"Token {token.key}")
    assert answer.status_code == 201
    assert labels(world, captured=True)[-1] == address("bob")


def test_a_session_is_nothing_to_a_view_for_anybody(world: World) -> None:
    api = Api("acme.localhost")
    api.sign_in("alice")
    assert api.post("/app/anybody", {"name": "nobody's"}).status_code == 201
    with world.scope("acme"):
        assert AuditLog.objects.of_resource_type("organization")[0].actor_type == "anonymous"


@pytest.mark.parametrize("end", ["membership", "person"])
def test_who_belongs_here_no_longer_is_refused_whatever_he_holds(world: World, end: str) -> None:
    alice = world.person("alice")
    with world.scope("acme"):
        token = Token.objects.create(user=alice)
    with world.platform():
        if end == "membership":
            people.end_membership(alice, Tenant.objects.get(slug="acme"))
        else:
            type(alice).objects.filter(pk=alice.pk).update(is_active=False)
    bearer = AccessToken.for_user(alice)
    for path, proof in (("token", f"Token {token.key}"), ("jwt", f"Bearer {bearer}")):
        assert Api("acme.localhost").post(f"/app/{path}", {"name": "x"}, authorization=proof).status_code == 401
    with world.scope("acme"):
        assert not Organization.objects.exists()
        assert Membership.objects.filter(user_id=alice.pk).exists()


def test_a_hosts_own_sign_in_works_outside_the_unit_and_is_told(world: World) -> None:
    api = Api("acme.localhost")
    right = {"email": address("alice"), "password": PASSWORD}
    answer = api.post("/app/obtain", right)
    assert answer.status_code == 200
    assert api.post("/app/obtain", {**right, "password": "wrong wrong"}).status_code == 401
    access_token = answer.json()["access"]
    made = api.post("/app/jwt", {"name": "with it"}, authorization=f"Bearer {access_token}")
    assert made.status_code == 201
    with world.scope("acme"):
        failed = AuditLog.objects.of_action("user.sign_in_failed").get()
    assert failed.resource_label == address("alice")


def test_a_pause_of_the_platform_hides_nothing_from_a_tenant(world: World) -> None:
    mia = world.person("mia")
    before = world.entries("acme")
    with world.platform(), capture_paused(reason="a test"):
        Membership.objects.filter(user_id=mia.pk).update(role="owner")
    assert world.entries("acme") == before + 1
    with world.platform():
        assert not PlatformLog.objects.filter(captured=True, resource_type="membership", action="updated").exists()


def test_a_tenant_cannot_write_what_the_triggers_write(world: World) -> None:
    before = world.entries("acme")
    forged = (
        "INSERT INTO audit_log (version, captured, actor_type, actor_key, action, operation, outcome, source, "
        "resource_type, resource_key, salt) VALUES (1, true, 'user', 'x', 'a', 'update', 'success', 'api', 't', '', '')"
    )
    with pytest.raises(DatabaseError, match="Only the triggers"), world.scope("acme"), connection.cursor() as cursor:
        cursor.execute(forged)
    assert world.entries("acme") == before
