"""Invitations over HTTP: sent by mail, accepted once, and what nobody learns on the way."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.core import mail
from django.test import override_settings
from inviting import INVITATIONS, NEW, OPEN, ROWS, accepted, invited, of, said, token
from world import PASSWORD, World, address

from audit.models import AuditLog
from tenants import invitations, people
from tenants import mail as outgoing
from tenants.context import roll_back
from tenants.models import Invitation, Tenant, User

MEMBERS = "/api/v1/members"


def test_an_invitation_is_sent_by_mail_and_shown_without_its_token(world: World) -> None:
    answer = invited(world, " Nina@New.Example ")
    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert (body["email"], body["role"], body["created_by"]["label"]) == (
        "nina@new.example",
        "auditor",
        address("alice"),
    )
    (message,) = mail.outbox
    assert message.to == ["nina@new.example"]
    assert "http://acme.localhost/accounts/invitation/" in str(message.body)
    listed = of(world, "alice").get(INVITATIONS)
    assert body in listed.json()["results"]
    (entry,) = said(world, "invitation.created")[:1]
    everything = (
        answer.content + listed.content + str(world.sql("SELECT i::text FROM shared.tenants_invitation i")).encode()
    )
    assert token().encode() not in everything
    assert (entry.resource_label, entry.changes) == ("nina@new.example", {"role": "auditor"})


def test_no_mail_leaves_for_an_invitation_that_was_not_committed(world: World) -> None:
    mail.outbox.clear()
    with world.scope("acme", "alice"):
        invitations.invite("nina@new.example", "member", by_owner=False, base="http://acme.localhost")
        roll_back()
    outgoing.wait()
    assert mail.outbox == []


def test_a_mail_that_cannot_be_sent_leaves_an_invitation_that_can_be_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_anything: object) -> None:
        raise OSError("no server")

    with monkeypatch.context() as patch:
        patch.setattr(mail.EmailMessage, "send", fail)
        assert invited(world, "nina@new.example").status_code == 201
    assert invited(world, "nina@new.example").status_code == 201
    assert len(mail.outbox) == 1


def test_an_address_that_has_an_account_elsewhere_is_invited_like_any_other(world: World) -> None:
    unknown, known = invited(world, "nobody@new.example"), invited(world, address("charlie"))
    for answer in (unknown, known):
        assert answer.status_code == 201
    alike = [
        {**answer.json(), "id": "", "email": "", "created_at": "", "expires_at": ""} for answer in (unknown, known)
    ]
    assert alike[0] == alike[1]
    with world.scope("acme"):
        assert not User.objects.filter(email=address("charlie")).exists()


def test_an_idempotency_key_is_refused_since_an_invitation_again_is_another(world: World) -> None:
    mail.outbox, before = [], world.sql(OPEN)
    said = {"email": "dana@acme.example", "role": "auditor"}
    answer = of(world, "alice").post(INVITATIONS, said, **{"Idempotency-Key": "once"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "not_taken")
    assert answer.json()["errors"][0]["parameter"] == "Idempotency-Key"
    outgoing.wait()
    assert (world.sql(OPEN), mail.outbox) == (before, [])


def test_a_member_is_not_invited_again(world: World) -> None:
    before = world.sql(OPEN)
    answer = invited(world, address("bob").upper())
    assert (answer.status_code, answer.json()["code"], mail.outbox) == (409, "already_member", [])
    assert world.sql(OPEN) == before


@pytest.mark.parametrize("by", ["alice", "acme.admin"])
def test_only_an_owner_invites_owners(world: World, by: str) -> None:
    before = world.sql(OPEN)
    answer = invited(world, "nina@new.example", "owner", by)
    assert (answer.status_code, answer.json()["code"], mail.outbox) == (403, "owners_only", [])
    assert world.sql(OPEN) == before
    assert invited(world, "nina@new.example", "owner", "olga").status_code == 201


@pytest.mark.parametrize("email", ["", "nina", "a@b", "x@y.example\nBcc: all@y.example", "x" * 250 + "@y.example"])
def test_what_is_no_address_is_refused(world: World, email: str) -> None:
    before = world.sql(OPEN)
    answer = invited(world, email)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"], mail.outbox) == (400, "/email", [])
    assert world.sql(OPEN) == before


def test_invited_again_the_earlier_invitation_is_void(world: World) -> None:
    invited(world, "nina@new.example", "admin")
    first = token()
    invited(world, "nina@new.example", "member")
    assert accepted(world, first).status_code == 404
    assert accepted(world, token()).json()["role"] == "member"


def test_a_withdrawn_invitation_is_good_no_more(world: World) -> None:
    key = invited(world, "nina@new.example").json()["id"]
    alice = of(world, "alice")
    assert alice.send("DELETE", f"{INVITATIONS}/{key}").status_code == 204
    assert alice.send("DELETE", f"{INVITATIONS}/{key}").status_code == 404
    assert accepted(world, token()).status_code == 404
    assert len(said(world, "invitation.withdrawn")) == 1


def test_an_invitation_of_another_tenant_is_not_there(world: World) -> None:
    key = world.sql("SELECT id FROM shared.tenants_invitation WHERE tenant_id = %s", world.globex.id)[0][0]
    before = world.sql(OPEN)
    assert of(world, "olga").send("DELETE", f"{INVITATIONS}/{key}").status_code == 404
    assert world.sql(OPEN) == before


# --- acceptance


def test_a_new_person_accepts_and_signs_in(world: World) -> None:
    invited(world, "Nina@new.example")
    answer = accepted(world, token(), name="Nina")
    assert (answer.status_code, answer.json()) == (201, {"tenant": "acme", "role": "auditor"})
    nina = world.api()
    form = {"login": "nina@new.example", "password": NEW}
    assert nina.client.post("/accounts/login/", form).status_code == 302
    assert nina.get("/api/v1/audit-logs").status_code == 200
    (entry,) = said(world, "invitation.accepted")
    assert (entry.actor_type, entry.actor_label) == ("user", "nina@new.example")
    assert entry.changes == {"role": "auditor", "invited_by": address("alice")}
    with world.scope("acme"):
        captured = AuditLog.objects.filter(captured=True, resource_type="membership").first()
    assert (captured.actor_label, captured.transaction_id) == ("nina@new.example", entry.transaction_id)


def test_an_invitation_is_accepted_once(world: World) -> None:
    invited(world, "nina@new.example")
    assert accepted(world, token()).status_code == 201
    before = world.sql(ROWS)
    assert accepted(world, token()).status_code == 404
    assert world.sql(ROWS) == before


def test_a_person_who_has_an_account_joins_with_its_password_which_stays(world: World) -> None:
    invited(world, address("charlie"))
    hashes = "SELECT password FROM shared.tenants_credential ORDER BY user_id"
    before = world.sql(hashes)
    assert accepted(world, token(), PASSWORD, name="Somebody else").status_code == 201
    assert world.sql(hashes) == before
    assert world.person("charlie").name == "Charlie"
    charlie = world.api("acme")
    assert charlie.sign_in("charlie").status_code == 302
    assert charlie.get("/api/v1/audit-logs").status_code == 200


def test_whoever_has_the_mail_but_not_the_password_does_not_join_as_that_person(world: World) -> None:
    invited(world, address("charlie"))
    members, hashes = world.sql(ROWS), world.sql("SELECT password FROM shared.tenants_credential ORDER BY user_id")
    answer = accepted(world, token(), "not the password")
    assert (answer.status_code, answer.json()["code"]) == (401, "wrong_password")
    assert world.sql(ROWS) == members
    assert world.sql("SELECT password FROM shared.tenants_credential ORDER BY user_id") == hashes
    assert said(world, "invitation.refused")[0].outcome == "denied"


def test_an_account_that_is_off_does_not_join(world: World) -> None:
    invited(world, address("charlie"))
    world.sql("UPDATE shared.tenants_user SET is_active = false WHERE id = %s", world.person("charlie").pk)
    assert accepted(world, token(), PASSWORD).status_code == 401


def test_an_account_without_a_password_gets_one(world: World) -> None:
    with world.platform():
        people.create_user(email="paul@new.example", name="Paul")
    invited(world, "paul@new.example")
    assert accepted(world, token()).status_code == 201
    form = {"login": "paul@new.example", "password": NEW}
    assert world.api().client.post("/accounts/login/", form).status_code == 302


def test_somebody_who_became_a_member_meanwhile_keeps_his_role(world: World) -> None:
    invited(world, address("charlie"), "member")
    with world.platform():
        people.set_role(User.objects.get(email=address("charlie")), Tenant.objects.get(slug="acme"), "owner")
    before = world.sql(ROWS)
    assert accepted(world, token(), PASSWORD).status_code == 409
    assert world.sql(ROWS) == before


@pytest.mark.parametrize("how", ["expired", "altered", "unsigned", "for something else", "of a suspended tenant"])
def test_a_token_that_is_not_good_is_unknown(world: World, how: str) -> None:
    key = invited(world, "nina@new.example").json()["id"]
    secret = token()
    if how == "expired":
        world.sql("UPDATE shared.tenants_invitation SET expires_at = now()")
    elif how == "altered":
        secret = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    elif how == "unsigned":
        secret = key
    elif how == "for something else":
        from django.core import signing

        secret = signing.dumps(UUID(key).hex, salt="something else")
    else:
        world.sql("UPDATE shared.tenants_tenant SET status = 'suspended' WHERE slug = 'acme'")
    before = world.sql(ROWS)
    host = "platform" if how == "of a suspended tenant" else "acme"
    assert accepted(world, secret, host=host).status_code == 404
    assert world.sql(ROWS) == before


def test_a_token_is_unknown_on_another_tenants_host_and_good_on_the_platforms(world: World) -> None:
    invited(world, "nina@new.example")
    assert accepted(world, token(), host="globex").status_code == 404
    assert accepted(world, token(), host="platform").status_code == 201


@override_settings(
    AUTH_PASSWORD_VALIDATORS=[{"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"}]
)
def test_a_weak_password_is_refused_in_words(world: World) -> None:
    invited(world, "nina@new.example")
    answer = accepted(world, token(), "password123")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/password")
    assert accepted(world, token(), "short").status_code == 400
    assert world.sql("SELECT count(*) FROM shared.tenants_user WHERE email LIKE 'nina%%'") == [(0,)]


def test_a_tenant_whose_name_has_line_ends_sends_no_headers_of_its_own(world: World) -> None:
    world.sql("UPDATE shared.tenants_tenant SET name = E'Acme\\nBcc: all@x.example' WHERE slug = 'acme'")
    assert invited(world, "nina@new.example").status_code == 201
    assert mail.outbox[0].subject == "Invitation to Acme Bcc: all@x.example"
    assert mail.outbox[0].recipients() == ["nina@new.example"]


def test_open_invitations_are_those_that_can_be_accepted(world: World) -> None:
    with world.scope("acme"):
        assert [one.email for one in invitations.pending()] == ["ivy@acme.example"]
        assert Invitation.objects.count() == 1
    world.sql("UPDATE shared.tenants_invitation SET expires_at = now()")
    assert of(world, "alice").get(INVITATIONS).json()["results"] == []
