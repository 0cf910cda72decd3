"""Sign-ins, refused ones and sign-outs are entries, on the side of the walls where they happen."""

from __future__ import annotations

from typing import Any

import pytest
from world import PASSWORD, World, address

from audit.models import AuditLog
from subscriptions.models import PlatformLog


def told(world: World, slug: str | None = "acme") -> list[Any]:
    scope = world.scope(slug) if slug else world.platform()
    trail: Any = AuditLog if slug else PlatformLog
    with scope:
        return list(trail.objects.filter(action__startswith="user.sign").order_by("id"))


def test_a_sign_in_is_an_entry_of_the_person(world: World) -> None:
    world.api().sign_in("alice")
    (entry,) = told(world)
    person = world.person("alice")
    assert (entry.action, entry.outcome, entry.source) == ("user.signed_in", "success", "request")
    assert (entry.actor_id, entry.user_id, entry.resource_id) == (str(person.pk), person.pk, str(person.pk))
    assert entry.ip == "127.0.0.1"
    assert told(world, "globex") == told(world, None) == []


def test_a_sign_out_is_an_entry(world: World) -> None:
    api = world.api()
    api.sign_in("alice")
    assert api.client.post("/admin/logout/").status_code == 200
    assert [entry.action for entry in told(world)] == ["user.signed_in", "user.signed_out"]
    assert told(world)[1].actor_label == address("alice")


def test_a_wrong_password_is_an_entry_that_names_the_person_and_no_password(world: World) -> None:
    world.api().sign_in("alice", password="not this one 123")
    (entry,) = told(world)
    assert (entry.action, entry.outcome, entry.actor_type) == ("user.sign_in_failed", "failure", "anonymous")
    assert (entry.resource_id, entry.resource_label) == (str(world.person("alice").pk), address("alice"))
    assert "not this one" not in str(world.sql(f"SELECT t::text FROM {world.acme.schema_name}.audit_log AS t"))


def test_an_address_that_is_nobodys_is_told_as_it_was_typed(world: World) -> None:
    world.api().client.post("/accounts/login/", {"login": "nobody@acme.example", "password": "x" * 12})
    (entry,) = told(world)
    assert (entry.resource_id, entry.resource_label) == ("unknown", "nobody@acme.example")


@pytest.mark.parametrize("typed", ["a" * 300, "Ä 名", "<b>'; DROP", "\u202e moc", PASSWORD])
def test_what_is_no_address_is_nobodys_and_is_not_kept_since_it_may_be_a_password(world: World, typed: str) -> None:
    world.api().client.post("/accounts/login/", {"login": typed, "password": PASSWORD})
    assert told(world) == []
    assert typed not in str(world.sql(f"SELECT t::text FROM {world.acme.schema_name}.audit_log AS t"))


@pytest.mark.parametrize("name", ["charlie", "sam"])
def test_of_somebody_who_does_not_belong_here_it_is_not_told_who_he_is(world: World, name: str) -> None:
    world.api().client.post("/accounts/login/", {"login": address(name), "password": PASSWORD})
    (entry,) = told(world)
    assert (entry.action, entry.outcome, entry.resource_id) == ("user.sign_in_failed", "failure", "unknown")
    assert str(world.person(name).pk) not in str(world.sql(f"SELECT t::text FROM {world.acme.schema_name}.audit_log t"))
    assert told(world, "globex") == []


def test_staff_sign_in_at_the_platform(world: World) -> None:
    world.api("platform").sign_in("sam")
    world.api("platform").sign_in("alice")
    assert [(entry.action, entry.actor_type) for entry in told(world, None)] == [
        ("user.signed_in", "staff"),
        ("user.sign_in_failed", "anonymous"),
    ]
    assert told(world) == []
