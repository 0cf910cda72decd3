"""Tokens of a tenant's identity provider: what is believed, and what is not."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt
import pytest
from provider import AUDIENCE, Provider, bearing, serving, trust
from world import World

from audit.models import AuditLog

TRAIL = "/api/v1/audit-logs"
EVENT = {"action": "approved", "resource": {"type": "invoice", "id": "1"}}


def refused(world: World, token: str, why: str, status: int = 401, host: str = "acme") -> None:
    """Assert that a token is refused for a reason, and that nothing is written."""
    before = [world.entries(slug) for slug in ("acme", "globex")]
    for answer in (bearing(world, token, host).get(TRAIL), bearing(world, token, host).post(TRAIL, EVENT)):
        assert answer.status_code == status, answer.content
        assert why in answer.json()["detail"]
    assert [world.entries(slug) for slug in ("acme", "globex")] == before


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_good_token_is_believed(world: World, provider: Provider, algorithm: str) -> None:
    provider.add("mine", algorithm)
    assert bearing(world, provider.token("mine")).get(TRAIL).status_code == 200


def test_its_bearer_is_the_actor(world: World, provider: Provider) -> None:
    token = provider.token(roles=["admins"], act={"sub": "support-7", "name": "Ed of support"})
    assert bearing(world, token).post(TRAIL, EVENT).status_code == 201
    with world.scope("acme"):
        entry: Any = AuditLog.objects.filter(action="approved").get()
        assert (entry.actor_type, entry.actor_id, entry.actor_label) == ("user", "person-1", "dora@acme.example")
        assert (entry.impersonator_type, entry.impersonator_id) == ("user", "support-7")
        assert entry.impersonator_label == "Ed of support"
        assert entry.user_id is None


@pytest.mark.parametrize(
    ("claims", "read", "write"),
    [
        ({"roles": "audit-readers"}, 200, 403),
        ({"roles": ["x", "admins", "audit-readers"]}, 200, 201),
        ({"roles": ["nobody"]}, 403, 403),
        ({"roles": None}, 403, 403),
        ({"roles": {"admins": True}}, 403, 403),
        ({"roles": [["admins"], 1, None]}, 403, 403),
        ({"roles": "owner"}, 403, 403),
    ],
)
def test_its_role_is_what_the_claim_gives(
    world: World, provider: Provider, claims: dict[str, Any], read: int, write: int
) -> None:
    api = bearing(world, provider.token(**claims))
    assert (api.get(TRAIL).status_code, api.post(TRAIL, EVENT).status_code) == (read, write)


def test_a_claim_may_stand_in_others_and_a_default_role_helps_the_rest(
    world: World, settings_of_loopback: None
) -> None:
    with serving() as provider:
        trust(world, provider, role_claim="realm_access.roles", default_role="member")
        deep = provider.token(realm_access={"roles": ["admins"]}, roles=None)
        assert bearing(world, deep).post(TRAIL, EVENT).status_code == 201
        assert bearing(world, provider.token()).post(TRAIL, EVENT).status_code == 403
        assert bearing(world, provider.token(realm_access="x")).get(TRAIL).status_code in {200, 403}


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"aud": "another"}, "another audience"),
        ({"aud": ["another", "third"]}, "another audience"),
        ({"aud": None}, "missing"),
        ({"iss": "https://evil.example"}, "its issuer is another"),
        ({"iss": None}, "missing"),
        ({"exp": 1}, "expired"),
        ({"exp": int(time.time()) - 61}, "expired"),
        ({"exp": None}, "missing"),
        # From when the tests were collected: some run much later.
        ({"nbf": int(time.time()) + 86_400}, "not valid yet"),
        ({"iat": int(time.time()) + 86_400}, "not valid yet"),
        ({"iat": None}, "missing"),
        ({"sub": None}, "missing"),
        ({"sub": ""}, "sub must be"),
        ({"sub": "x" * 256}, "sub must be"),
        ({"sub": "a\x00b"}, "sub must be"),
        ({"exp": "tomorrow"}, "wrong"),
        ({"act": "support"}, "act is no object"),
        ({"act": {"name": "no subject"}}, "sub must be"),
    ],
)
def test_a_wrong_claim_is_refused(world: World, provider: Provider, claims: dict[str, Any], why: str) -> None:
    refused(world, provider.token(**claims), why)


def test_clocks_may_differ_by_a_minute(world: World, provider: Provider) -> None:
    now = int(time.time())
    narrow: list[dict[str, Any]] = [{"exp": now - 30}, {"nbf": now + 30}, {"iat": now + 30}]
    for claims in narrow:
        assert bearing(world, provider.token(**claims)).get(TRAIL).status_code == 200
    assert bearing(world, provider.token(aud=["other", AUDIENCE])).get(TRAIL).status_code == 200


def unsigned(provider: Provider, algorithm: str) -> str:
    head, body, _ = provider.token().split(".")
    said = {**json.loads(base64.urlsafe_b64decode(head + "==")), "alg": algorithm}
    return f"{base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip('=')}.{body}."


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
def test_a_token_without_a_signature_is_refused(world: World, provider: Provider, algorithm: str) -> None:
    refused(world, unsigned(provider, algorithm), "it must be signed by")


def test_a_public_key_is_no_secret_to_sign_with(world: World, provider: Provider) -> None:
    import hmac
    from hashlib import sha256

    provider.add("mine", "RS256")
    head = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": "mine", "typ": "JWT"}).encode()).rstrip(b"=")
    signed = head + b"." + provider.token("mine").split(".")[1].encode()
    mac = base64.urlsafe_b64encode(hmac.new(provider.pem("mine"), signed, sha256).digest()).rstrip(b"=")
    refused(world, (signed + b"." + mac).decode(), "it must be signed by")


def test_a_symmetric_key_in_the_set_is_none(world: World, provider: Provider) -> None:
    provider.answers["/keys"] = {"keys": [{"kty": "oct", "kid": "first", "k": "c2VjcmV0", "alg": "ES256"}]}
    refused(world, provider.token(), "no such key")


def test_a_key_serves_its_own_algorithm_alone(world: World, provider: Provider) -> None:
    provider.add("rsa", "RS256")
    refused(world, provider.token("first", header={"kid": "rsa"}), "no such key")
    world.sql("UPDATE shared.tenants_identityprovider SET algorithms = '{RS256}'")
    refused(world, provider.token("first"), "it must be signed by RS256")


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-4] + "AAAA", lambda t: t.replace(".", ".e30", 1), lambda _t: "eyJ.e.e"]
)
def test_a_spoilt_token_is_refused(world: World, provider: Provider, spoil: Any) -> None:
    refused(world, spoil(provider.token()), "refused")


def test_a_token_too_long_or_with_critical_extensions_is_refused(world: World, provider: Provider) -> None:
    refused(world, provider.token(filler="x" * 9000), "longer")
    refused(world, provider.token(header={"crit": ["exp"], "exp": 1}), "refused")


def test_a_key_too_short_is_refused(world: World, provider: Provider) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    provider.keys["weak"] = ("RS256", weak)
    now = int(time.time())
    claims = {"iss": provider.issuer, "aud": AUDIENCE, "sub": "x", "iat": now, "exp": now + 60, "roles": "admins"}
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        token = jwt.encode(claims, weak, "RS256", headers={"kid": "weak"})
    refused(world, token, "refused")


def test_another_tenants_provider_is_nobody_here(world: World, provider: Provider) -> None:
    with serving() as theirs:
        trust(world, theirs, "globex")
        assert bearing(world, theirs.token(), "globex").get(TRAIL).status_code == 200
        refused(world, theirs.token(), "signature")
        refused(world, theirs.token(iss=provider.issuer), "signature")
        # The key's name is the same, and the signature is another's.
        theirs.keys["first"], first = theirs.keys["first"], provider.keys["first"]
        assert theirs.keys["first"] is not first
        refused(world, provider.token(), "signature", host="globex")


def test_tokens_are_for_hosts_of_tenants_with_a_provider_alone(world: World, provider: Provider) -> None:
    for host in ("globex", "platform"):
        refused(world, provider.token(), "has named its identity provider", host=host)
    world.sql("DELETE FROM shared.tenants_identityprovider")
    refused(world, provider.token(), "has named its identity provider")


def test_a_suspended_tenants_bearer_is_refused_which_is_an_entry(world: World, provider: Provider) -> None:
    world.sql("UPDATE shared.tenants_tenant SET status = 'suspended' WHERE slug = 'acme'")
    before = world.entries("acme")
    answer = bearing(world, provider.token()).get(TRAIL)
    assert (answer.status_code, answer.json()["code"]) == (403, "tenant_suspended")
    assert world.entries("acme") == before + 1


def test_a_token_opens_no_page_of_accounts_and_no_admin(world: World, provider: Provider) -> None:
    api = bearing(world, provider.token(roles=["admins"]))
    assert api.get("/accounts/password/change/").status_code == 403
    assert api.get("/admin/audit/auditlog/").status_code == 302
