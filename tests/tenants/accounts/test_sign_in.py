"""Signing in: one page for both hosts, attempts that count in all processes, nobody is told who has an account."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from accounts import LOGIN, actions, browser, sign_in, told
from django.core.cache import cache
from world import PASSWORD, World, address

from tenants import authentication

_TOKEN = re.compile(rb'name="csrfmiddlewaretoken" value="\w+"')


def plain(answer: Any, name: str) -> bytes:
    """Return a page without what differs by form token and by the address that was typed."""
    return _TOKEN.sub(b"", answer.content).replace(address(name).encode(), b"")


def test_the_admins_login_leads_to_the_one_page(world: World) -> None:
    for host in ("acme", "platform"):
        client = browser(world, host)
        for answer in (client.get("/admin/login/"), client.post("/admin/login/", {"username": "x", "password": "y"})):
            assert (answer.status_code, answer["Location"]) == (302, "/accounts/login/?next=%2Fadmin%2F")
        assert client.get(LOGIN).status_code == 200


def test_five_wrong_passwords_and_the_right_one_is_refused_too(world: World) -> None:
    client = browser(world)
    for _ in range(5):
        assert "are not correct" in sign_in(client, "alice", "wrong wrong wrong").content.decode()
    for _ in range(2):
        answer = sign_in(client, "alice")
        assert answer.status_code == 200
        assert "Too many failed login attempts" in answer.content.decode()
    assert sign_in(browser(world), "bob").status_code == 302
    refused = [entry for entry in told(world) if entry.action == "user.sign_in_failed"]
    assert [entry.outcome for entry in refused] == ["failure"] * 5 + ["denied"]
    assert refused[-1].resource_id == str(world.person("alice").pk)
    assert "too many attempts" in refused[-1].description


def test_attempts_are_counted_where_all_processes_see_them(world: World) -> None:
    for _ in range(5):
        sign_in(browser(world), "alice", "wrong wrong wrong")
    # What another process would have in memory: nothing.
    cache._cache.clear()  # type: ignore[attr-defined]
    assert "Too many" in sign_in(browser(world), "alice").content.decode()
    world.sql("UPDATE shared.tenants_attempt SET expires_at = now() - interval '2 minutes'")
    assert sign_in(browser(world), "alice").status_code == 302
    assert world.sql("SELECT count(*) FROM shared.tenants_attempt WHERE expires_at < now() - interval '1 minute'") == [
        (0,)
    ]


def test_attempts_at_the_same_time_do_not_slip_through(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def compare(password: str, _hash: str) -> bool:
        compared.append(password)
        return False

    monkeypatch.setattr(authentication, "check_password", compare)
    clients = [browser(world) for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda client: sign_in(client, "alice", "guess guess").status_code, clients))
    assert set(answers) <= {200, 429, 503}
    assert 1 <= len(compared) <= 5


@pytest.mark.parametrize("headers", [{"x-requested-with": "XMLHttpRequest"}, {"accept": "application/json"}])
def test_no_header_keeps_an_attempt_from_being_counted(world: World, headers: dict[str, str]) -> None:
    client = browser(world)
    for _ in range(5):
        assert sign_in(client, "alice", "wrong wrong wrong", **headers).status_code == 200
    assert "Too many" in sign_in(client, "alice").content.decode()


def test_one_address_asks_thirty_times_a_minute_at_most(world: World) -> None:
    client = browser(world)
    answers = [client.post(LOGIN, {"login": "no address", "password": "x"}).status_code for _ in range(32)]
    assert answers == [200] * 30 + [429] * 2
    assert b"tried too often" in client.post(LOGIN, {}).content


@pytest.mark.parametrize("name", ["charlie", "sam", "alice"])
def test_the_answer_does_not_tell_who_has_an_account(world: World, name: str) -> None:
    client = browser(world)
    unknown = client.post(LOGIN, {"login": "nobody@nowhere.example", "password": "wrong wrong wrong"})
    refused = sign_in(browser(world), name, "wrong wrong wrong")
    assert refused.status_code == unknown.status_code == 200
    assert plain(refused, name) == _TOKEN.sub(b"", unknown.content).replace(b"nobody@nowhere.example", b"")


@pytest.mark.parametrize("name", ["charlie", "sam"])
def test_the_right_password_does_not_help_on_a_foreign_host(world: World, name: str) -> None:
    assert plain(sign_in(browser(world), name), name) == plain(sign_in(browser(world), name, "wrong wrong"), name)
    assert world.sql("SELECT count(*) FROM shared.tenants_session") == [(0,)]
    assert {entry.resource_id for entry in told(world)} == {"unknown"}


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "http://globex.localhost/admin/"])
def test_nobody_is_led_to_another_host(world: World, target: str) -> None:
    answer = browser(world).post(LOGIN, {"login": address("alice"), "password": PASSWORD, "next": target})
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")


def test_a_key_opens_no_page_of_accounts(world: World) -> None:
    for host, key in (("acme", "acme.admin"), ("platform", "acme.admin"), ("platform", "sam")):
        api = world.api(host, key)
        for path in (LOGIN, "/accounts/password/change/", "/accounts/2fa/"):
            assert api.get(path).status_code == 403
    for slug, denied in (("acme", 6), (None, 3)):
        assert [entry.outcome for entry in told(world, slug, "access.denied")] == ["denied"] * denied
    assert world.sql("SELECT count(*) FROM shared.tenants_session") == [(0,)]


def test_a_session_is_begun_only_once_its_entry_is_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from tenants import recording

    def fail(**_entry: object) -> None:
        raise RuntimeError("no trail")

    monkeypatch.setattr(recording, "_recorder", fail)
    client = browser(world)
    assert sign_in(client, "alice").status_code == 500
    assert "daybook_session" not in client.cookies
    assert world.sql("SELECT count(*) FROM shared.tenants_session") == [(0,)]


def test_a_suspended_tenants_pages_are_closed(world: World) -> None:
    world.sql("UPDATE shared.tenants_tenant SET status = 'suspended' WHERE slug = 'acme'")
    assert browser(world).get(LOGIN).status_code == 403


def test_there_is_no_way_to_sign_up(world: World) -> None:
    for path in ("/accounts/signup/", "/accounts/login/code/", "/accounts/2fa/webauthn/add/"):
        assert browser(world).post(path, {"email": "new@acme.example", "password1": PASSWORD}).status_code == 404
    assert actions(world) == []


def test_pages_load_nothing_from_elsewhere_and_run_no_script(world: World) -> None:
    client = browser(world, name="alice")
    for path in ("login/", "password/reset/", "2fa/", "sessions/", "email/", "password/change/", "logout/"):
        page = client.get(f"/accounts/{path}", follow=True)
        assert page.status_code == 200, path
        text = page.content.decode()
        assert not re.findall(r'(?:href|src)="(?:https?:)?//', text)
        assert "<script" not in text
        assert 'name="viewport"' in text
