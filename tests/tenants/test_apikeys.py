"""Keys: shown once, kept as a digest, and good for what they were issued for."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from world import World, address

from subscriptions.models import PlatformLog
from tenants import apikeys, gate
from tenants.errors import BadInput
from tenants.models import ApiKey, Tenant, User
from tenants.roles import RIGHTS_OF_SCOPE, KeyScope

TRAIL = "/api/v1/audit-logs"
CAPTURED = "SELECT action, p::text FROM shared.platform_log AS p WHERE captured AND resource_id = %s ORDER BY id"


def issue(world: World, **options: Any) -> tuple[ApiKey, str]:
    """Issue a key of acme that may read, unless options say otherwise."""
    with world.platform():
        options = {"tenant": Tenant.objects.get(slug="acme"), "scopes": ["audit:read"], **options}
        return apikeys.issue(name="new", **options)


def used(world: World, key: ApiKey) -> Any:
    return world.sql("SELECT last_used_at FROM shared.tenants_apikey WHERE id = %s", key.pk)[0][0]


def status(world: World, secret: str, host: str = "acme") -> int:
    api = world.api(host)
    api.headers = {"authorization": f"Bearer {secret}"}
    return int(api.get(TRAIL).status_code)


def test_a_new_key_works_at_once(world: World) -> None:
    assert status(world, issue(world)[1]) == 200


def test_the_secret_stands_nowhere_in_the_database(world: World) -> None:
    key, secret = issue(world)
    ours = "schemaname = 'shared' OR schemaname LIKE 't\\_%'"
    tables = world.sql(f"SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE {ours}")
    assert len(tables) > 20
    rest = secret.removeprefix(key.prefix)
    for (table,) in tables:
        assert rest not in str(world.sql(f"SELECT t::text FROM {table} t"))
    assert world.sql("SELECT digest, prefix FROM shared.tenants_apikey WHERE id = %s", key.pk) == [
        (gate.digest(secret), secret[:12])
    ]


def test_two_keys_are_never_alike_and_have_256_random_bits(world: World) -> None:
    secrets = {issue(world)[1] for _ in range(20)}
    assert len(secrets) == 20
    assert all(len(secret) == len("dbk_") + 43 for secret in secrets)


def test_issuing_and_revoking_are_in_the_platform_log_with_tenant_and_prefix_and_no_secret(world: World) -> None:
    key, secret = issue(world)
    with world.platform():
        apikeys.revoke(ApiKey.objects.get(pk=key.pk))
        entries = PlatformLog.objects.filter(resource_id=str(key.pk), captured=False).order_by("id")
        assert [(entry.action, entry.actor_label, entry.tenant_id, entry.changes) for entry in entries] == [
            ("api_key.created", address("sam"), world_acme(), {"scopes": ["audit:read"], "prefix": secret[:12]}),
            ("api_key.revoked", address("sam"), world_acme(), {"prefix": secret[:12]}),
        ]
    captured = world.sql(CAPTURED, str(key.pk))
    assert [action for action, _ in captured] == ["created", "updated"]
    digest = world.sql("SELECT digest FROM shared.tenants_apikey WHERE id = %s", key.pk)[0][0]
    # With the digest in any of its spellings a key could be tried without asking anybody.
    for text in (secret, digest.hex(), base64.b64encode(digest).decode()):
        assert text not in str(captured)


def world_acme() -> Any:
    return Tenant.objects.get(slug="acme").pk


def test_a_revoked_key_is_refused_from_the_next_request_on(world: World) -> None:
    key, secret = issue(world)
    assert status(world, secret) == 200
    with world.platform():
        apikeys.revoke(ApiKey.objects.get(pk=key.pk))
    assert status(world, secret) == 401


def test_a_key_is_good_until_the_moment_it_expires(world: World) -> None:
    assert status(world, issue(world, expires_at=timezone.now() + timedelta(minutes=1))[1]) == 200
    assert status(world, issue(world, expires_at=timezone.now() - timedelta(microseconds=1))[1]) == 401


def test_the_last_use_is_kept_to_the_minute(world: World) -> None:
    key, secret = issue(world)
    assert used(world, key) is None
    status(world, secret)
    first = used(world, key)
    assert abs(first - timezone.now()) < timedelta(seconds=30)
    status(world, secret)
    assert used(world, key) == first
    world.sql("UPDATE shared.tenants_apikey SET last_used_at = last_used_at - interval '61 seconds'")
    status(world, secret)
    assert used(world, key) >= first


def test_a_refused_use_is_no_use(world: World) -> None:
    key, secret = issue(world, expires_at=timezone.now() - timedelta(seconds=1))
    status(world, secret)
    assert used(world, key) is None


@pytest.mark.parametrize("scope", KeyScope.values)
def test_a_key_has_the_rights_of_its_scope_and_no_others(world: World, scope: str) -> None:
    from tenants.callers import _key_caller
    from tenants.context import Origin

    key = gate.key(issue(world, scopes=[scope])[1])
    assert key is not None
    assert _key_caller(key, Origin()).rights == RIGHTS_OF_SCOPE[scope]


def test_a_key_of_two_scopes_has_the_rights_of_both(world: World) -> None:
    secret = issue(world, scopes=["audit:read", "audit:write"])[1]
    api = world.api()
    api.headers = {"authorization": f"Bearer {secret}"}
    assert api.post(TRAIL, {"action": "created", "resource": {"type": "x", "id": "1"}}).status_code == 201
    assert api.get(TRAIL).status_code == 200


def test_a_key_without_the_scope_is_refused_and_nothing_is_written(world: World) -> None:
    event = {"action": "created", "resource": {"type": "x", "id": "1"}}
    assert world.api("acme", "acme.read").post(TRAIL, event).status_code == 403
    assert world.api("acme", "acme.write").get(TRAIL).status_code == 403
    created = f"SELECT count(*) FROM {world.acme.schema_name}.audit_log WHERE action = 'created' AND NOT captured"
    assert world.sql(created) == [(0,)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scopes": ["audit:read", "everything"]}, "Unknown scopes: everything"),
        ({"scopes": []}, "needs a scope"),
        ({"tenant": None}, "either a tenant's or a staff member's"),
        ({"user": "sam"}, "either a tenant's or a staff member's"),
        ({"user": "sam", "tenant": None}, "instead of scopes"),
        ({"user": "alice", "tenant": None, "scopes": []}, "for staff"),
    ],
)
def test_it_refuses_a_key_that_cannot_be_and_issues_none(world: World, options: dict[str, Any], message: str) -> None:
    before = world.sql("SELECT count(*) FROM shared.tenants_apikey")
    if "user" in options:
        options = {**options, "user": world.person(options["user"])}
    with pytest.raises(BadInput, match=message):
        issue(world, **options)
    assert world.sql("SELECT count(*) FROM shared.tenants_apikey") == before


def test_a_staff_key_has_its_owners_rights_of_today(world: World) -> None:
    with world.platform():
        secret = apikeys.issue(name="laptop", user=User.objects.get(email=address("bill")))[1]
    api = world.api("platform")
    api.headers = {"authorization": f"Bearer {secret}"}
    assert api.get("/api/v1/platform/tenants").status_code == 200
    world.sql("UPDATE shared.tenants_user SET staff_role = 'support' WHERE email = %s", address("bill"))
    key = gate.key(secret)
    assert key is not None
    assert key.user is not None
    assert key.user.staff_role == "support"
    assert key.tenant is None


def test_a_tenants_role_sees_its_own_keys_and_may_change_none(world: World) -> None:
    before = world.sql("SELECT count(*) FROM shared.tenants_apikey WHERE revoked_at IS NULL")
    with world.scope("acme", "olga"):
        assert {key.tenant.slug for key in ApiKey.objects.select_related("tenant") if key.tenant} == {"acme"}
    with pytest.raises(Exception, match="permission denied"), world.scope("acme", "olga"):
        ApiKey.objects.update(revoked_at=timezone.now())
    assert world.sql("SELECT count(*) FROM shared.tenants_apikey WHERE revoked_at IS NULL") == before
