"""Small questions the gate asks of a request: which host is named, from which address it came, whose side it is on."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.signing import Signer
from django.test import RequestFactory, override_settings
from world import World

from config import env
from tenants.callers import client_ip, host_name, may_enter, realm_of
from tenants.models import User
from tenants.roles import Role


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("acme.localhost", "acme.localhost"),
        ("ACME.localhost:8000", "acme.localhost"),
        ("127.0.0.1:8000", "127.0.0.1"),
        ("[::1]:8000", "[::1]"),
        ("[::1]", "[::1]"),
    ],
)
def test_a_host_is_named_in_lower_case_and_without_its_port(header: str, name: str) -> None:
    with override_settings(ALLOWED_HOSTS=[".localhost", "127.0.0.1", "[::1]"]):
        assert host_name(RequestFactory().get("/", headers={"host": header})) == name


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "198.51.100.1", "203.0.113.7"),
        (1, "198.51.100.1", "198.51.100.1"),
        (1, "10.9.9.9, 198.51.100.1", "198.51.100.1"),
        (2, "10.9.9.9, 198.51.100.1", "10.9.9.9"),
        (3, "198.51.100.1", "198.51.100.1"),
        (1, "not an address", None),
        (1, "fe80::1%eth0", "fe80::1"),
    ],
)
def test_the_address_is_that_of_the_nearest_hop_that_is_not_ours(
    proxies: int, forwarded: str, address: str | None
) -> None:
    request = RequestFactory().get("/", headers={"x-forwarded-for": forwarded}, REMOTE_ADDR="203.0.113.7")
    with override_settings(TRUSTED_PROXIES=proxies):
        assert client_ip(request) == address


@pytest.mark.parametrize(
    ("person", "tenant", "platform"),
    [
        ({"tenant_role": Role.MEMBER}, True, False),
        ({"staff_role": "support"}, False, True),
        ({"tenant_role": Role.OWNER, "staff_role": "admin"}, True, True),
        ({"tenant_role": Role.OWNER, "is_active": False}, False, False),
        ({}, False, False),
    ],
)
def test_members_enter_their_tenants_host_and_staff_the_platforms(
    world: World, person: dict[str, Any], tenant: bool, platform: bool
) -> None:
    role = person.pop("tenant_role", None)
    user = User(email="x@acme.example", **person)
    user.tenant_role = role
    assert (may_enter(user, world.acme), may_enter(user, None)) == (tenant, platform)


def test_each_tenant_and_the_platform_are_sides_of_their_own(world: World) -> None:
    assert len({realm_of(world.acme), realm_of(world.globex), realm_of(None)}) == 3


@pytest.mark.parametrize("host", ["platform", "acme"])
@pytest.mark.parametrize("path", ["/healthz", "/healthz/", "/readyz", "/readyz/"])
def test_health_is_told_with_and_without_a_slash(world: World, host: str, path: str) -> None:
    answer = world.api(host).get(path)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_former_secret_key_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY_FALLBACKS", "first-former-key, second-former-key")
    former = env.words("SECRET_KEY_FALLBACKS", "")
    assert former == ["first-former-key", "second-former-key"]
    signed = Signer(key="second-former-key").sign("a cursor")
    assert Signer(key="today", fallback_keys=[*former]).unsign(signed) == "a cursor"


def test_without_a_former_key_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET_KEY_FALLBACKS", raising=False)
    assert env.words("SECRET_KEY_FALLBACKS", "") == []
    monkeypatch.setenv("SECRET_KEY_FALLBACKS", "")
    assert env.words("SECRET_KEY_FALLBACKS", "") == []


def test_an_unknown_host_is_told_so_and_nothing_else(world: World) -> None:
    before = world.entries("acme"), world.entries("globex")
    answer = world.api("initech").get("/api/v1/audit-logs")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_host")
    assert answer["Content-Type"] == "application/problem+json"
    assert "X-Request-ID" in answer
    assert (world.entries("acme"), world.entries("globex")) == before
