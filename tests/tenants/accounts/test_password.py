"""A forgotten or changed password: links by mail that hold once, other sessions that end, nobody told who is here."""

from __future__ import annotations

import re
from typing import Any

import pytest
from accounts import actions, browser, reauthenticate, sign_in, told
from django.core import mail
from django.test import override_settings
from world import PASSWORD, World, address

from tenants import mail as post

NEW = "a wholly new password"
RESET = "/accounts/password/reset/"
TRAIL = "/api/v1/audit-logs"


@pytest.fixture(autouse=True)
def outbox() -> list[Any]:
    mail.outbox = []
    return mail.outbox


def ask(client: Any, email: str) -> Any:
    answer = client.post(RESET, {"email": email})
    post.wait()
    return answer


def link() -> str:
    found = re.findall(r"http://\S+/password/reset/key/\S+", "\n".join(str(message.body) for message in mail.outbox))
    return str(found[-1])


def follow(client: Any, url: str, password: str = NEW) -> Any:
    """Open the link and send its form."""
    path = re.sub(r"^http://[^/]+", "", url)
    page = client.get(path)
    if page.status_code != 302:
        return page
    return client.post(page["Location"], {"password1": password, "password2": password})


def test_a_member_sets_a_new_password_by_a_link(world: World) -> None:
    old = browser(world, name="alice")
    client = browser(world)
    answer = ask(client, address("alice"))
    assert (answer.status_code, answer["Location"]) == (302, "/accounts/password/reset/done/")
    assert mail.outbox[0].to == [address("alice")]
    assert link().startswith("http://acme.localhost/accounts/")
    assert follow(client, link()).status_code == 302
    assert sign_in(browser(world), "alice").status_code == 200
    assert sign_in(browser(world), "alice", NEW).status_code == 302
    assert old.get(TRAIL).status_code == 401
    assert actions(world)[:3] == ["user.signed_in", "user.password_reset_requested", "user.password_reset"]
    reset = told(world)[2]
    assert (reset.actor_type, reset.resource_id) == ("anonymous", str(world.person("alice").pk))


def test_a_link_holds_once(world: World) -> None:
    ask(browser(world), address("alice"))
    assert follow(browser(world), link()).status_code == 302
    again = follow(browser(world), link(), "another new password")
    assert again.status_code == 200
    assert sign_in(browser(world), "alice", "another new password").status_code == 200


def test_a_link_holds_for_an_hour_and_until_the_address_changes(world: World) -> None:
    ask(browser(world), address("alice"))
    with override_settings(PASSWORD_RESET_TIMEOUT=-1):
        assert follow(browser(world), link()).status_code == 200
    world.sql("UPDATE shared.tenants_user SET email = 'new@acme.example' WHERE email = %s", address("alice"))
    assert follow(browser(world), link()).status_code == 200
    assert sign_in(browser(world), "alice", NEW).status_code == 200


def test_a_link_of_one_side_opens_nothing_on_another(world: World) -> None:
    ask(browser(world), address("alice"))
    for host in ("globex", "platform"):
        assert follow(browser(world, host), link()).status_code == 200
    assert follow(browser(world), link()).status_code == 302


@pytest.mark.parametrize("email", ["nobody@nowhere.example", address("charlie"), address("sam")])
def test_who_does_not_belong_here_gets_no_mail_and_the_same_answer(world: World, email: str) -> None:
    known, unknown = ask(browser(world), address("alice")), ask(browser(world), email)
    assert (known.status_code, known["Location"]) == (unknown.status_code, unknown["Location"])
    assert [message.to for message in mail.outbox] == [[address("alice")]]
    assert actions(world) == ["user.password_reset_requested"]
    assert actions(world, "globex") == actions(world, None) == []


def test_a_former_member_and_one_who_is_not_active_get_none(world: World) -> None:
    world.sql("UPDATE shared.tenants_user SET is_active = false WHERE email = %s", address("alice"))
    world.sql("UPDATE shared.tenants_membership SET ended_at = now() WHERE user_id = %s", world.person("bob").pk)
    for name in ("alice", "bob"):
        assert ask(browser(world), address(name)).status_code == 302
    assert mail.outbox == []


def test_links_cannot_be_asked_for_without_end(world: World) -> None:
    answers = [ask(browser(world), address("alice")).status_code for _ in range(7)]
    assert answers[:5] == [302] * 5
    assert set(answers[5:]) == {429}
    assert len(mail.outbox) == 5


def test_a_reset_does_not_pass_the_second_factor(world: World) -> None:
    from accounts import enrol

    enrol(browser(world, name="alice"))
    mail.outbox.clear()
    ask(browser(world), address("alice"))
    follow(browser(world), link())
    client = browser(world)
    assert sign_in(client, "alice", NEW)["Location"].startswith("/accounts/2fa/authenticate/")
    assert client.get(TRAIL).status_code == 401


@pytest.mark.parametrize("password", ["short", "password1234"])
def test_a_weak_password_is_refused(world: World, password: str) -> None:
    ask(browser(world), address("alice"))
    assert follow(browser(world), link(), password).status_code == 200
    assert sign_in(browser(world), "alice").status_code == 302


def test_a_changed_password_ends_the_other_sessions_alone(world: World) -> None:
    client, other = browser(world, name="alice"), browser(world, name="alice")
    form = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
    assert reauthenticate(client).status_code == 302
    assert client.post("/accounts/password/change/", {**form, "oldpassword": "wrong"}).status_code == 200
    assert other.get(TRAIL).status_code == 200
    assert client.post("/accounts/password/change/", form).status_code == 302
    assert (client.get(TRAIL).status_code, other.get(TRAIL).status_code) == (200, 401)
    assert sign_in(browser(world), "alice", NEW).status_code == 302
    changed = [entry for entry in told(world) if entry.action == "user.password_changed"]
    assert [(entry.actor_label, entry.resource_label) for entry in changed] == [(address("alice"), address("alice"))]
    post.wait()
    assert [message.to for message in mail.outbox] == [[address("alice")]]


def test_nothing_of_a_password_stands_in_a_trail(world: World) -> None:
    ask(browser(world), address("alice"))
    follow(browser(world), link())
    for place in (f"{world.acme.schema_name}.audit_log", "shared.platform_log"):
        text = str(world.sql(f"SELECT t::text FROM {place} AS t"))
        assert NEW not in text
        assert world.sql("SELECT password FROM shared.tenants_credential LIMIT 1")[0][0] not in text


def test_a_mail_server_that_fails_does_not_fail_the_request(world: World) -> None:
    with override_settings(
        EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend", EMAIL_HOST="127.0.0.1", EMAIL_PORT=9
    ):
        assert ask(browser(world), address("alice")).status_code == 302
    assert actions(world) == ["user.password_reset_requested"]
