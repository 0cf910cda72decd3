"""`manage.py tenants key`, as an operator types it: listed, issued, revoked, and told to the platform log."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from world import World

from subscriptions.models import PlatformLog
from tenants.models import ApiKey

EVENT = {"action": "door.opened", "resource": {"type": "door", "id": "7"}}


def key(*arguments: str) -> str:
    """Run the command; return what it printed."""
    out = io.StringIO()
    call_command("tenants", "key", *arguments, stdout=out)
    return out.getvalue()


def kept(world: World) -> list[tuple[Any, ...]]:
    """Return all keys as they are stored, but for their last use."""
    return world.sql("SELECT id, prefix, scopes, expires_at, revoked_at FROM shared.tenants_apikey ORDER BY id")


def test_an_issued_key_is_printed_once_and_opens_its_tenant_alone(world: World) -> None:
    secret = key("acme", "--issue", "billing", "--scope", "audit:write", "--actor", "sam@daybook.example").strip()
    world.keys["new"] = secret
    assert world.api("acme", "new").post("/api/v1/audit-logs", EVENT).status_code == 201
    assert world.api("acme", "new").get("/api/v1/audit-logs").status_code == 403
    assert world.api("globex", "new").post("/api/v1/audit-logs", EVENT).status_code == 403
    assert secret not in key("acme")
    with world.platform():
        entry = PlatformLog.objects.filter(action="api_key.created").latest("id")
    assert (entry.actor_label, entry.resource_label, entry.tenant_id) == (
        "sam@daybook.example",
        "billing",
        world.acme.id,
    )


def test_the_list_shows_prefix_state_scopes_and_name_of_this_tenants_keys(world: World) -> None:
    secret = key("acme", "--issue", "old", "--scope", "audit:read", "--scope", "audit:write", "--days", "30")
    lines = [line.split(maxsplit=1) for line in key("acme").splitlines()]
    assert len(lines) == 4
    assert lines[-1][0] == secret[:12]
    assert lines[-1][1].split() == ["in", "use", "audit:read,audit:write", "old"]
    assert not any(prefix in key("globex") for prefix, _ in lines)
    with world.platform():
        expires = ApiKey.objects.get(name="old").expires_at
        assert expires is not None
        assert timedelta(days=29) < expires - timezone.now() <= timedelta(days=30)
        ApiKey.objects.filter(name="old").update(expires_at=timezone.now())
    assert key("acme").splitlines()[-1].split()[1] == "expired"


def test_a_revoked_key_is_refused_and_stays_in_the_list(world: World) -> None:
    prefix = world.keys["acme.read"][:12]
    assert world.api("acme", "acme.read").get("/api/v1/audit-logs").status_code == 200
    assert key("acme", "--revoke", world.keys["acme.read"]) == f"Revoked {prefix}, acme read.\n"
    assert world.api("acme", "acme.read").get("/api/v1/audit-logs").status_code == 401
    assert f"{prefix}  revoked" in key("acme")
    assert world.api("acme", "acme.write").post("/api/v1/audit-logs", EVENT).status_code == 201


@pytest.mark.parametrize("of", ["globex.read", "sam", "acme.read"])
def test_a_key_that_is_not_this_tenants_or_revoked_already_is_not_revoked(world: World, of: str) -> None:
    key("acme", "--revoke", world.keys["acme.read"][:12])
    before = kept(world)
    with pytest.raises(
        CommandError, match=r"^acme has 0 keys in use that begin with 'dbk_.{8}'; nothing was changed\.$"
    ):
        key("acme", "--revoke", world.keys[of][:12])
    assert kept(world) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("acme", "--issue", "none"), "A tenant's key needs a scope"),
        (
            ("acme", "--issue", "none", "--scope", "audit:write", "--days", "0"),
            "--days is 0, so the key would have expired",
        ),
        (
            ("acme", "--issue", "none", "--scope", "audit:write", "--days", "99999999"),
            "--days is 99999999, beyond the last date there is",
        ),
        (("acme", "--issue", "none", "--scope", "everything"), "invalid choice: 'everything'"),
        (("acme", "--issue", "none", "--revoke", "dbk_"), "not allowed with argument"),
        (("initech", "--issue", "none", "--scope", "audit:write"), "There is no tenant 'initech'"),
    ],
)
def test_a_refused_key_is_not_made(world: World, arguments: tuple[str, ...], message: str) -> None:
    before = kept(world)
    with pytest.raises(CommandError, match=message):
        key(*arguments)
    assert kept(world) == before


def test_a_tenant_without_keys_is_told_how_to_make_one(world: World) -> None:
    world.sql("DELETE FROM shared.tenants_apikey")
    assert key("acme") == "acme has no keys; --issue NAME --scope SCOPE makes one.\n"
