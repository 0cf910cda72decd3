"""The page that an invitation's mail leads to."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import pytest
from accounts import browser, sign_in, told
from django.core import mail
from world import PASSWORD, World, address

from tenants import mail as post

NEW, TRAIL = "a wholly new password", "/api/v1/audit-logs"


@pytest.fixture(autouse=True)
def outbox() -> list[Any]:
    mail.outbox = []
    return mail.outbox


def invited(world: World, email: str, role: str = "auditor") -> str:
    """Invite an address to acme; return the path of the page that its mail leads to."""
    answer = world.api("acme", "acme.admin").post("/api/v1/members/invitations", {"email": email, "role": role})
    assert answer.status_code == 201, answer.content
    post.wait()
    found = re.search(r"https?://acme\.localhost(/accounts/invitation/\S+)", str(mail.outbox[-1].body))
    assert found, mail.outbox[-1].body
    return found[1]


def accept(client: Any, path: str, password: str = NEW) -> Any:
    return client.post(path, {"name": "Dana", "password": password})


def members(world: World) -> int:
    return int(world.sql("SELECT count(*) FROM shared.tenants_membership WHERE ended_at IS NULL")[0][0])


def test_whoever_was_invited_chooses_a_password_and_signs_in(world: World) -> None:
    path, client = invited(world, "dana@acme.example"), browser(world)
    page = client.get(path)
    assert (page.status_code, "You are invited to Acme" in page.content.decode()) == (200, True)
    answer = accept(client, path)
    assert (answer.status_code, answer["Location"]) == (302, "/accounts/login/")
    assert "You are a member of Acme now" in client.get("/accounts/login/").content.decode()
    answer = client.post("/accounts/login/", {"login": "dana@acme.example", "password": NEW})
    assert answer.status_code == 302
    assert client.get(TRAIL).status_code == 200


def test_it_is_accepted_once(world: World) -> None:
    path = invited(world, "dana@acme.example")
    assert accept(browser(world), path).status_code == 302
    before = members(world)
    answer = accept(browser(world), path, "another new password")
    assert answer.status_code in {404, 409}
    assert "not good any more" in answer.content.decode()
    assert members(world) == before


def test_an_account_that_is_there_proves_itself_and_keeps_its_password(world: World) -> None:
    path, before = invited(world, address("charlie")), members(world)
    answer = accept(browser(world), path)
    assert answer.status_code == 401
    assert members(world) == before
    assert accept(browser(world), path, PASSWORD).status_code == 302
    assert sign_in(browser(world), "charlie").status_code == 302
    assert sign_in(browser(world, "globex"), "charlie").status_code == 302


def test_a_password_is_not_guessed_by_an_invitation(world: World) -> None:
    path, before = invited(world, address("charlie")), members(world)
    answers = [accept(browser(world), path, f"a guess, number {number}").status_code for number in range(7)]
    assert answers == [401] * 5 + [429] * 2
    assert accept(browser(world), path, PASSWORD).status_code == 429
    assert members(world) == before
    assert [entry.outcome for entry in told(world, "acme", "invitation.refused")] == ["denied"] * 5


def accept_by_api(world: World, path: str, password: str, host: str = "acme") -> Any:
    said = {"token": unquote(path.rpartition("/")[2]), "name": "Dana", "password": password}
    return world.api(host).post("/api/v1/invitations/accept", said)


def test_a_password_is_not_guessed_by_the_api_either(world: World) -> None:
    path, before = invited(world, address("charlie")), members(world)
    answers = [accept_by_api(world, path, f"a guess, number {number}").status_code for number in range(7)]
    assert answers == [401] * 5 + [429] * 2
    refused = accept_by_api(world, path, PASSWORD)
    assert (refused.status_code, refused.json()["code"], refused["Retry-After"]) == (429, "rate_limited", "300")
    assert members(world) == before
    assert [entry.outcome for entry in told(world, "acme", "invitation.refused")] == ["denied"] * 5


def test_attempts_by_page_and_by_api_and_on_each_host_are_counted_together(world: World) -> None:
    path, before = invited(world, address("charlie")), members(world)
    for number in range(3):
        assert accept(browser(world), path, f"a guess, number {number}").status_code == 401
    for host in ("acme", "platform"):
        assert accept_by_api(world, path, "another guess", host).status_code == 401
    assert accept_by_api(world, path, PASSWORD).status_code == 429
    answer = accept(browser(world), path, PASSWORD)
    assert (answer.status_code, answer["Retry-After"]) == (429, "300")
    assert members(world) == before


def test_many_invitations_are_no_way_round_from_one_address(world: World) -> None:
    paths = [invited(world, address("charlie")), invited(world, address("sam"))]
    statuses = [
        accept_by_api(world, path, f"a guess, number {number}").status_code for number in range(5) for path in paths
    ]
    assert statuses == [401] * 10
    assert accept_by_api(world, invited(world, "new@acme.example"), NEW).status_code == 429


def test_what_is_wrong_stands_in_the_form(world: World) -> None:
    path, before = invited(world, "dana@acme.example"), members(world)
    for password in ("short", "password1234", ""):
        answer = accept(browser(world), path, password)
        assert answer.status_code in {200, 400}
        assert "errorlist" in answer.content.decode()
    assert members(world) == before


@pytest.mark.parametrize("token", ["nonsense", "IjAxOWEi:1vNq5k:AAAA", "%00", "<script>"])
def test_a_token_that_was_never_made_is_refused(world: World, token: str) -> None:
    answer = accept(browser(world), f"/accounts/invitation/{token}")
    assert answer.status_code == 404
    assert "<script>" not in answer.content.decode()


def test_an_invitation_of_one_tenant_is_unknown_on_anothers_host(world: World) -> None:
    path, before = invited(world, "dana@acme.example"), members(world)
    assert accept(browser(world, "globex"), path).status_code == 404
    assert members(world) == before


def test_the_form_needs_its_token(world: World) -> None:
    from django.test import Client

    path = invited(world, "dana@acme.example")
    client = Client(raise_request_exception=False, headers={"host": "acme.localhost"}, enforce_csrf_checks=True)
    assert accept(client, path).status_code == 403
