"""A person's sessions, to look at and to revoke; his address, which changes once the new one is confirmed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from accounts import actions, browser, reauthenticate, sign_in, told
from django.core import mail
from world import World, address

from tenants import mail as post

SESSIONS, EMAIL, TRAIL = "/accounts/sessions/", "/accounts/email/", "/api/v1/audit-logs"
NEW = "alice@new.example"


@pytest.fixture(autouse=True)
def outbox() -> list[Any]:
    mail.outbox = []
    return mail.outbox


def test_a_person_sees_his_sessions_and_nobody_elses(world: World) -> None:
    client = browser(world, name="alice", agent="Firefox of alice")
    browser(world, name="alice", agent="Telephone of alice")
    browser(world, name="bob", agent="Firefox of bob")
    page = client.get(SESSIONS).content.decode()
    assert "Firefox of alice" in page
    assert "Telephone of alice" in page
    assert "bob" not in page


def test_the_others_are_revoked_and_that_is_an_entry(world: World) -> None:
    client, other = browser(world, name="alice"), browser(world, name="alice", agent="Telephone")
    bobs = browser(world, name="bob")
    assert client.post(SESSIONS).status_code == 302
    assert (client.get(TRAIL).status_code, other.get(TRAIL).status_code) == (200, 401)
    assert bobs.get(TRAIL).status_code == 200
    assert "Telephone" not in client.get(SESSIONS).content.decode()
    (entry,) = [entry for entry in told(world) if entry.action == "user.sessions_revoked"]
    (ended,) = entry.all_changes["sessions"]["old"]
    assert (ended["user_agent"], entry.actor_label) == ("Telephone", address("alice"))


def test_a_revoked_session_does_not_come_back(world: World) -> None:
    client, other = browser(world, name="alice"), browser(world, name="alice")
    stolen = other.cookies["daybook_session"].value
    client.post(SESSIONS)
    other.cookies["daybook_session"] = stolen
    assert other.get(TRAIL).status_code == 401
    assert sign_in(other, "alice").status_code == 302


def test_signing_out_ends_the_session(world: World) -> None:
    client = browser(world, name="alice")
    stolen = client.cookies["daybook_session"].value
    assert client.post("/accounts/logout/")["Location"] == "/accounts/login/"
    client.cookies["daybook_session"] = stolen
    assert client.get(TRAIL).status_code == 401
    assert actions(world) == ["user.signed_in", "user.signed_out"]


def change_to(client: Any, email: str) -> Any:
    reauthenticate(client)
    answer = client.post(EMAIL, {"email": email, "action_add": ""})
    post.wait()
    return answer


def confirm(client: Any) -> Any:
    found = re.search(
        r"http://[^/]+(/accounts/confirm-email/\S+)",
        next(str(m.body) for m in mail.outbox if "confirm-email" in m.body),
    )
    assert found
    return client.post(found[1])


def test_an_address_changes_once_the_new_one_is_confirmed(world: World) -> None:
    client = browser(world, name="alice")
    assert change_to(client, NEW).status_code == 302
    assert [message.to for message in mail.outbox if "confirm-email" in message.body] == [[NEW]]
    assert world.person("alice") is not None
    assert confirm(client).status_code == 302
    assert world.sql("SELECT count(*) FROM shared.tenants_user WHERE email = %s", NEW) == [(1,)]
    assert world.sql("SELECT email, verified FROM shared.account_emailaddress WHERE email LIKE 'alice%%'") == [
        (NEW, True)
    ]
    assert actions(world) == ["user.signed_in", "user.email_change_requested", "user.email_changed"]
    changed = told(world)[-1]
    assert changed.all_changes == {"email": {"old": address("alice"), "new": NEW}}
    post.wait()
    assert any(message.to == [address("alice")] for message in mail.outbox)


def test_an_address_of_another_side_is_not_taken_and_not_told(world: World) -> None:
    client = browser(world, name="alice")
    taken, free = change_to(client, address("charlie")), None
    assert confirm(client).status_code in {200, 302}
    assert world.person("charlie").pk != world.person("alice").pk
    mail.outbox.clear()
    free = change_to(browser(world, name="bob"), "bob@new.example")
    assert (taken.status_code, taken["Location"]) == (free.status_code, free["Location"])
    assert "user.email_changed" not in actions(world)


def test_a_former_address_opens_nothing(world: World) -> None:
    """Also where the address was changed by somebody else than the person: by an administrator, in the database."""
    old = address("alice")
    world.sql("UPDATE shared.tenants_user SET email = %s WHERE email = %s", NEW, old)
    for email in (old, NEW):
        browser(world).post("/accounts/password/reset/", {"email": email})
    post.wait()
    assert [message.to for message in mail.outbox] == [[NEW]]
