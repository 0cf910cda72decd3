"""What a tenant says of its identity provider: by its API alone, for itself alone, each change an entry."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import ProgrammingError, connection
from provider import AUDIENCE, bearing, serving
from world import World

from audit.models import AuditLog
from tenants.context import SYSTEM, tenant_scope
from tenants.entrance import IdentityProvider

PATH, TRAIL = "/api/v1/identity-provider", "/api/v1/audit-logs"
SAID: dict[str, Any] = {
    "issuer": "https://login.acme.example",
    "audience": "daybook",
    "roles": {"audit-readers": "auditor"},
}


def put(world: World, body: Any, key: str = "acme.admin", host: str = "acme") -> Any:
    api = world.api(host, key)
    return api.client.put(PATH, json.dumps(body), content_type="application/json", headers=api.headers)


def told(world: World) -> list[Any]:
    with world.scope("acme"):
        return list(AuditLog.objects.filter(action__startswith="identity_provider.", captured=False).order_by("id"))


def test_it_is_named_read_replaced_and_removed(world: World) -> None:
    api = world.api("acme", "acme.admin")
    assert api.get(PATH).status_code == 404
    answer = put(world, SAID)
    assert answer.status_code == 200, answer.content
    whole = {**SAID, "algorithms": ["ES256", "EdDSA", "RS256"], "role_claim": "roles", "default_role": None}
    assert {name: answer.json()[name] for name in whole} == whole
    assert api.get(PATH).json() == answer.json()
    assert put(world, {**SAID, "audience": "other", "default_role": "member"}).json()["default_role"] == "member"
    removed = api.client.delete(PATH, headers=api.headers)
    assert (removed.status_code, removed.content) == (204, b"")
    assert api.get(PATH).status_code == api.client.delete(PATH, headers=api.headers).status_code == 404
    named, changed, gone = told(world)
    assert [entry.action for entry in (named, changed, gone)] == [
        "identity_provider.set",
        "identity_provider.set",
        "identity_provider.removed",
    ]
    assert named.changes["issuer"] == {"old": None, "new": SAID["issuer"]}
    assert changed.changes == {
        "audience": {"old": "daybook", "new": "other"},
        "default_role": {"old": "", "new": "member"},
    }
    assert named.actor_type == "api_key"


def test_what_was_named_is_what_tokens_are_judged_by(world: World, settings_of_loopback: None) -> None:
    with serving() as provider:
        said = {**SAID, "issuer": provider.issuer, "audience": AUDIENCE}
        assert put(world, said).status_code == 200
        assert bearing(world, provider.token()).get(TRAIL).status_code == 200
        assert put(world, {**said, "audience": "another"}).status_code == 200
        assert bearing(world, provider.token()).get(TRAIL).status_code == 401


@pytest.mark.parametrize(
    ("words", "pointer"),
    [
        ({"issuer": "http://login.acme.example"}, "/issuer"),
        ({"issuer": "login.acme.example"}, "/issuer"),
        ({"issuer": "https://a:b@login.acme.example"}, "/issuer"),
        ({"issuer": "https://login.acme.example?x=1"}, "/issuer"),
        ({"issuer": "https://" + "x" * 500}, "/issuer"),
        ({"issuer": None}, "/issuer"),
        ({"audience": ""}, "/audience"),
        ({"audience": "x" * 256}, "/audience"),
        ({"algorithms": ["HS256"]}, "/algorithms/0"),
        ({"algorithms": ["none"]}, "/algorithms/0"),
        ({"algorithms": []}, "/algorithms"),
        ({"roles": {"x": "owner"}}, "/roles/x"),
        ({"roles": {f"r{number}": "member" for number in range(101)}}, "/roles"),
        ({"default_role": "owner"}, "/default_role"),
        ({"role_claim": ""}, "/role_claim"),
        ({"tenant": "globex"}, "/tenant"),
    ],
)
def test_what_breaks_a_rule_is_named_and_nothing_is_kept(world: World, words: dict[str, Any], pointer: str) -> None:
    answer = put(world, {**SAID, **words})
    assert answer.status_code == 400
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]
    assert world.sql("SELECT count(*) FROM shared.tenants_identityprovider") == [(0,)]
    assert told(world) == []


@pytest.mark.parametrize("key", ["acme.read", "acme.write", "globex.admin", "sam"])
def test_who_does_not_administer_this_tenant_is_refused(world: World, key: str) -> None:
    put(world, SAID)
    before = world.sql("SELECT t::text FROM shared.tenants_identityprovider t")
    api = world.api("acme", key)
    assert put(world, {**SAID, "audience": "stolen"}, key).status_code == 403
    assert api.get(PATH).status_code == 403
    assert api.client.delete(PATH, headers=api.headers).status_code == 403
    assert world.sql("SELECT t::text FROM shared.tenants_identityprovider t") == before


@pytest.mark.parametrize(("name", "status"), [("olga", 404), ("alice", 404), ("bob", 403), ("mia", 403)])
def test_owners_and_admins_alone_see_it(world: World, name: str, status: int) -> None:
    api = world.api("acme")
    api.sign_in(name)
    assert api.get(PATH).status_code == status


def test_each_tenant_sees_its_own(world: World) -> None:
    put(world, SAID)
    assert put(world, {**SAID, "audience": "globex"}, "globex.admin", "globex").status_code == 200
    assert world.api("acme", "acme.admin").get(PATH).json()["audience"] == "daybook"
    with world.scope("globex"):
        assert [one.audience for one in IdentityProvider.objects.all()] == ["globex"]


def test_a_method_or_a_parameter_that_is_unknown_is_refused(world: World) -> None:
    api = world.api("acme", "acme.admin")
    assert api.post(PATH, SAID).status_code == 405
    assert api.get(PATH, tenant="globex").json()["errors"][0]["parameter"] == "tenant"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE shared.tenants_identityprovider SET audience = 'x'",
        "DELETE FROM shared.tenants_identityprovider",
        "SELECT guard.set_identity_provider('https://x', 'a', '{HS256}', 'r', '{}', '')",
        "SELECT guard.set_identity_provider('https://x', 'a', '{}', 'r', '{}', '')",
        "SELECT guard.set_identity_provider('https://x', 'a', '{RS256}', 'r', '{\"x\": \"owner\"}', '')",
        "SELECT guard.set_identity_provider('https://x', 'a', '{RS256}', 'r', '{}', 'owner')",
    ],
)
def test_no_statement_of_a_tenants_writes_more_than_the_function_allows(world: World, statement: str) -> None:
    put(world, SAID)
    before = world.sql("SELECT t::text FROM shared.tenants_identityprovider t")
    acme = world.acme
    with pytest.raises(ProgrammingError), tenant_scope(acme, actor=SYSTEM), connection.cursor() as cursor:
        cursor.execute(statement)
    assert world.sql("SELECT t::text FROM shared.tenants_identityprovider t") == before


def test_the_platform_names_no_provider_for_a_tenant(world: World) -> None:
    statement = "SELECT guard.set_identity_provider('https://x', 'a', '{RS256}', 'r', '{}', '')"
    with pytest.raises(ProgrammingError), world.platform(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert world.sql("SELECT count(*) FROM shared.tenants_identityprovider") == [(0,)]
