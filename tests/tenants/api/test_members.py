"""Members over HTTP: who is one, as what, and who may decide it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from inviting import INVITATIONS, OPEN, ROWS, of, role, said
from world import World, address

MEMBERS = "/api/v1/members"


def path(world: World, name: str) -> str:
    return f"{MEMBERS}/{world.person(name).pk}"


def test_the_members_of_now_are_listed_with_their_roles(world: World) -> None:
    world.sql("UPDATE shared.tenants_membership SET ended_at = now() WHERE user_id = %s", world.person("mia").pk)
    results = of(world, "alice").get(MEMBERS).json()["results"]
    assert {(one["email"], one["role"]) for one in results} == {
        (address("olga"), "owner"), (address("alice"), "admin"), (address("bob"), "auditor"),
    }  # fmt: skip
    assert set(results[0]) == {"id", "email", "name", "role", "since"}
    assert of(world, "alice").get(f"{MEMBERS}/{results[0]['id']}").json() == results[0]


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize("whose", ["charlie", "sam", "nobody", "no id"])
def test_whoever_is_no_member_is_not_there(world: World, method: str, whose: str) -> None:
    key = {"nobody": uuid4(), "no id": "x"}.get(whose) or world.person(whose).pk
    before = world.sql(ROWS)
    answer = of(world, "olga").send(method, f"{MEMBERS}/{key}", {"role": "member"} if method == "PATCH" else None)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert world.sql(ROWS) == before


def test_a_role_is_changed_from_the_next_request_on_and_the_past_is_kept(world: World) -> None:
    bob = of(world, "bob")
    assert bob.get(MEMBERS).status_code == 403
    answer = of(world, "alice").send("PATCH", path(world, "bob"), {"role": "admin"})
    assert (answer.status_code, answer.json()["role"]) == (200, "admin")
    assert bob.get(MEMBERS).status_code == 200
    past = "SELECT role, ended_at IS NULL FROM shared.tenants_membership WHERE user_id = %s ORDER BY id"
    assert world.sql(past, world.person("bob").pk) == [("auditor", False), ("admin", True)]
    (entry,) = said(world, "membership.changed")
    assert (entry.actor_label, entry.resource_label) == (address("alice"), address("bob"))
    assert entry.changes == {"role": {"old": "auditor", "new": "admin"}}


def test_the_same_role_again_changes_nothing(world: World) -> None:
    before = world.sql(ROWS)
    assert of(world, "alice").send("PATCH", path(world, "bob"), {"role": "auditor"}).status_code == 200
    assert world.sql(ROWS) == before
    assert said(world, "membership.changed") == []


@pytest.mark.parametrize("body", [{"role": "emperor"}, {}, {"role": None}, {"role": "admin", "user": "x"}, []])
def test_it_refuses_what_is_no_role(world: World, body: Any) -> None:
    before = world.sql(ROWS)
    assert of(world, "alice").send("PATCH", path(world, "bob"), body).status_code == 400
    assert world.sql(ROWS) == before


def test_who_was_removed_is_refused_from_the_next_request_on(world: World) -> None:
    bob = of(world, "bob")
    assert of(world, "alice").send("DELETE", path(world, "bob")).status_code == 204
    assert bob.get("/api/v1/audit-logs").status_code == 401
    assert role(world, "bob") is None
    (entry,) = said(world, "membership.ended")
    assert (entry.resource_label, entry.changes) == (address("bob"), {"role": "auditor"})


def test_whom_a_removed_or_demoted_person_invited_is_let_in_no_more(world: World) -> None:
    alice = of(world, "alice")
    for name in ("one", "two"):
        alice.send("POST", INVITATIONS, {"email": f"{name}@x.example", "role": "admin"})
    before = world.sql(OPEN)[0][0]
    assert of(world, "olga").send("PATCH", path(world, "alice"), {"role": "member"}).status_code == 200
    assert world.sql(OPEN)[0][0] == before - 2


# --- owners


@pytest.mark.parametrize("who", ["alice", "acme.admin"])
@pytest.mark.parametrize(
    ("method", "name", "body"),
    [("PATCH", "olga", {"role": "admin"}), ("DELETE", "olga", None), ("PATCH", "bob", {"role": "owner"})],
)
def test_only_an_owner_makes_or_unmakes_owners(world: World, who: str, method: str, name: str, body: Any) -> None:
    before = world.sql(ROWS)
    answer = of(world, who).send(method, path(world, name), body)
    assert (answer.status_code, answer.json()["code"]) == (403, "owners_only")
    assert world.sql(ROWS) == before
    assert said(world, "access.denied")[0].description == f"{method} {path(world, name)}"


def test_nobody_raises_himself(world: World) -> None:
    before = world.sql(ROWS)
    assert of(world, "alice").send("PATCH", path(world, "alice"), {"role": "owner"}).status_code == 403
    for name in ("bob", "mia"):
        assert of(world, name).send("PATCH", path(world, name), {"role": "admin"}).status_code == 403
    assert world.sql(ROWS) == before


def test_an_owner_makes_another_owner_and_may_then_go(world: World) -> None:
    olga = of(world, "olga")
    assert olga.send("PATCH", path(world, "bob"), {"role": "owner"}).status_code == 200
    assert olga.send("DELETE", path(world, "olga")).status_code == 204
    assert (role(world, "bob"), role(world, "olga")) == ("owner", None)


@pytest.mark.parametrize(("method", "body"), [("PATCH", {"role": "admin"}), ("DELETE", None)])
def test_the_last_owner_stays(world: World, method: str, body: Any) -> None:
    before = world.sql(ROWS)
    answer = of(world, "olga").send(method, path(world, "olga"), body)
    assert (answer.status_code, answer.json()["code"]) == (409, "last_owner")
    assert world.sql(ROWS) == before


def test_an_owner_whose_account_is_off_is_no_other_owner(world: World) -> None:
    of(world, "olga").send("PATCH", path(world, "bob"), {"role": "owner"})
    olga = of(world, "olga")
    world.sql("UPDATE shared.tenants_user SET is_active = false WHERE id = %s", world.person("bob").pk)
    assert olga.send("DELETE", path(world, "olga")).status_code == 409
