"""The second factor: enrolled, asked for, used once, removed; each of it an entry; its secret is not in the clear."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from accounts import actions, browser, code_of, enrol, reauthenticate, sign_in, told
from django.conf import settings
from django.test import override_settings
from world import World, address

CHALLENGE = "/accounts/2fa/authenticate/"


def test_whoever_has_one_signs_in_with_it_alone(world: World) -> None:
    secret, codes = enrol(browser(world, name="alice"))
    assert len(codes) == 10
    client = browser(world)
    answer = sign_in(client, "alice")
    assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, CHALLENGE)
    assert client.get("/api/v1/audit-logs").status_code == 401
    assert client.post(CHALLENGE, {"code": code_of(secret)})["Location"] == "/admin/"
    assert client.get("/api/v1/audit-logs").status_code == 200


def test_it_holds_on_every_host_where_the_person_signs_in(world: World) -> None:
    enrol(browser(world, "platform", "sam"))
    client = browser(world, "platform")
    assert sign_in(client, "sam")["Location"].startswith(CHALLENGE)
    assert client.get("/api/v1/platform/tenants").status_code == 401
    assert actions(world, None) == ["user.signed_in", "user.second_factor_added", "user.second_factor_added"]
    assert actions(world, "acme") == []


def test_enrolment_is_an_entry_of_the_side_where_it_happened(world: World) -> None:
    enrol(browser(world, name="alice"))
    added = [entry for entry in told(world) if entry.action == "user.second_factor_added"]
    assert [entry.changes for entry in added] == [{"type": {"new": "totp"}}, {"type": {"new": "recovery_codes"}}]
    assert {(entry.actor_label, entry.resource_id) for entry in added} == {
        ("alice@acme.example", str(world.person("alice").pk))
    }
    assert actions(world, "globex") == []


def test_the_person_is_told_by_mail(world: World) -> None:
    from django.core import mail

    from tenants import mail as post

    mail.outbox = []
    enrol(browser(world, name="alice"))
    post.wait()
    assert {message.to[0] for message in mail.outbox} == {"alice@acme.example"}
    assert any("acme.localhost" in message.subject + str(message.body) for message in mail.outbox)


def test_if_the_entry_cannot_be_written_nothing_is_enrolled(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from tenants import recording

    client = browser(world, name="alice")
    real = recording._recorder

    def fail(*, action: str, **entry: object) -> object:
        if action == "user.second_factor_added":
            raise RuntimeError("no trail")
        return real(action=action, **entry)  # type: ignore[arg-type]

    monkeypatch.setattr(recording, "_recorder", fail)
    with pytest.raises(AssertionError):
        enrol(client)
    assert world.sql("SELECT count(*) FROM shared.mfa_authenticator") == [(0,)]


def test_a_wrong_code_is_an_entry_and_many_are_throttled(world: World) -> None:
    secret, _ = enrol(browser(world, name="alice"))
    client = browser(world)
    sign_in(client, "alice")
    for _ in range(5):
        assert "Incorrect code" in client.post(CHALLENGE, {"code": "000000"}).content.decode()
    assert "Too many" in client.post(CHALLENGE, {"code": code_of(secret)}).content.decode()
    assert client.get("/api/v1/audit-logs").status_code == 401
    refused = [entry for entry in told(world) if entry.action == "user.sign_in_failed"]
    assert [entry.outcome for entry in refused] == ["failure"] * 5 + ["denied"]
    assert {entry.description for entry in refused[:5]} == {"The second factor was wrong."}
    assert {entry.resource_id for entry in refused[:5]} == {str(world.person("alice").pk)}


def test_a_code_is_good_once_also_for_another_process(world: World) -> None:
    secret, _ = enrol(browser(world, name="alice"))
    code = code_of(secret)
    first, second = browser(world), browser(world)
    for client in (first, second):
        sign_in(client, "alice")
    assert first.post(CHALLENGE, {"code": code}).status_code == 302
    assert second.post(CHALLENGE, {"code": code}).status_code == 200
    assert second.get("/api/v1/audit-logs").status_code == 401


def test_a_recovery_code_signs_in_once(world: World) -> None:
    _, codes = enrol(browser(world, name="alice"))
    first, second = browser(world), browser(world)
    for client in (first, second):
        sign_in(client, "alice")
    assert first.post(CHALLENGE, {"code": codes[0]}).status_code == 302
    assert second.post(CHALLENGE, {"code": codes[0]}).status_code == 200


def test_removing_it_takes_a_fresh_proof_and_is_an_entry(world: World) -> None:
    client = browser(world, name="alice")
    enrol(client)
    assert client.post("/accounts/2fa/totp/deactivate/").status_code == 302
    assert world.sql("SELECT count(*) FROM shared.mfa_authenticator") == [(0,)]
    removed = [entry for entry in told(world) if entry.action == "user.second_factor_removed"]
    assert [entry.changes["type"]["old"] for entry in removed] == ["totp", "recovery_codes"]
    assert sign_in(browser(world), "alice")["Location"] == "/admin/"


def test_a_session_that_is_not_fresh_changes_nothing(world: World) -> None:
    client = browser(world, name="alice")
    enrol(client)
    with override_settings(ACCOUNT_REAUTHENTICATION_TIMEOUT=0):
        for path in ("2fa/totp/deactivate/", "2fa/recovery-codes/generate/"):
            answer = client.post(f"/accounts/{path}")
            assert (answer.status_code, answer["Location"].startswith("/accounts/reauthenticate/")) == (302, True), path
    assert world.sql("SELECT count(*) FROM shared.mfa_authenticator") == [(2,)]
    assert reauthenticate(client, "wrong wrong wrong").status_code == 200
    assert reauthenticate(client).status_code == 302


def test_its_secret_does_not_stand_in_the_database(world: World) -> None:
    secret, codes = enrol(browser(world, name="alice"))
    stored = str(world.sql("SELECT data::text FROM shared.mfa_authenticator"))
    assert "secret" in stored
    assert secret not in stored
    assert not any(code in stored for code in codes)


NEXT = "another key " * 5


def with_factor(world: World, code: str) -> Any:
    """Send a code after the password; return the client and the answer."""
    client = browser(world)
    sign_in(client, "alice")
    return client, client.post(CHALLENGE, {"code": code})


@pytest.mark.parametrize("by", ["an app", "a recovery code"])
def test_a_former_secret_key_can_be_dropped_once_a_factor_was_used(world: World, by: str) -> None:
    secret, codes = enrol(browser(world, name="alice"))
    with override_settings(SECRET_KEY=NEXT, SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        _, answer = with_factor(world, code_of(secret) if by == "an app" else codes[0])
        assert answer.status_code == 302
    with override_settings(SECRET_KEY=NEXT, SECRET_KEY_FALLBACKS=[]):
        for code in (code_of(secret, time.time() + 30), codes[1]):
            client, answer = with_factor(world, code)
            assert answer.status_code == 302
            assert client.get("/api/v1/audit-logs").status_code == 200
        assert with_factor(world, codes[1])[1].status_code == 200


def test_what_the_key_of_now_has_encrypted_is_not_written_again(world: World) -> None:
    _, codes = enrol(browser(world, name="alice"))
    query = "SELECT data->>'secret', data->>'seed' FROM shared.mfa_authenticator ORDER BY id"
    before = world.sql(query)
    assert with_factor(world, codes[0])[1].status_code == 302
    assert world.sql(query) == before


def test_a_factor_that_no_key_opens_lets_nobody_in_and_breaks_no_page(world: World) -> None:
    secret, codes = enrol(browser(world, name="alice"))
    query = "SELECT data->>'secret', data->>'seed' FROM shared.mfa_authenticator ORDER BY id"
    before = world.sql(query)
    with override_settings(SECRET_KEY=NEXT, SECRET_KEY_FALLBACKS=[]):
        for code in (code_of(secret), codes[0]):
            client, answer = with_factor(world, code)
            assert (answer.status_code, "Incorrect code" in answer.content.decode()) == (200, True)
            assert client.get("/api/v1/audit-logs").status_code == 401
    assert world.sql(query) == before
    assert with_factor(world, codes[0])[1].status_code == 302


def test_operations_names_who_is_locked_out_without_the_former_key(world: World) -> None:
    """The query that docs/operations.md gives."""
    text = (settings.BASE_DIR / "docs" / "operations.md").read_text()
    query = text[text.index("SELECT u.email FROM shared.mfa_authenticator") :].partition(";")[0]
    secret, _ = enrol(browser(world, name="alice"))
    enrol(browser(world, "platform", "sam"))
    world.sql("UPDATE shared.mfa_authenticator SET created_at = created_at - interval '1 day'")
    query = query.replace("2027-01-31 12:00+00", (datetime.now(UTC) - timedelta(hours=1)).isoformat())
    assert world.sql(query) == [(address("alice"),), (address("sam"),)]
    with_factor(world, code_of(secret))
    enrol(browser(world, name="olga"))
    assert world.sql(query) == [(address("sam"),)]
    # And what it says of whoever cannot wait.
    world.sql("DELETE FROM shared.mfa_authenticator WHERE user_id = %s", world.person("sam").pk)
    assert sign_in(browser(world, "platform"), "sam")["Location"] == "/admin/"
