"""One spelling of addresses: IPv4 that is sent as IPv6 is stored as IPv4, and found however it is spelled."""

from __future__ import annotations

import pytest
from world import World

from audit.api.workos import wire
from tenants.context import TenantLike

LOGS = "/api/v1/audit-logs"
EVENT = {"action": "seen", "resource": {"type": "door", "id": "1"}}


@pytest.mark.parametrize("sent", ["203.0.113.7", "::ffff:203.0.113.7", "::ffff:cb00:7107"])
@pytest.mark.parametrize(
    "asked", ["203.0.113.7", "::ffff:203.0.113.7", "::FFFF:cb00:7107", "203.0.113.0/24", "::ffff:203.0.113.0/120"]
)
def test_an_address_is_found_in_every_spelling(world: World, sent: str, asked: str) -> None:
    made = world.api(key="acme.write").post(LOGS, {**EVENT, "context": {"ip": sent}}).json()
    world.api(key="acme.write").post(LOGS, {**EVENT, "context": {"ip": "203.0.114.7"}})
    found = world.api(key="acme.read").get(LOGS, ip=asked, action="seen").json()["results"]
    assert [entry["id"] for entry in found] == [made["id"]]


def test_a_network_of_ipv6_is_none_of_ipv4(world: World) -> None:
    world.api(key="acme.write").post(LOGS, {**EVENT, "context": {"ip": "203.0.113.7"}})
    for asked in ("::/0", "::ffff:0:0/95"):
        assert world.api(key="acme.read").get(LOGS, ip=asked, action="seen").json()["results"] == []
    answer = world.api(key="acme.read").get(LOGS, ip="::ffff:0:0/96", action="seen")
    assert len(answer.json()["results"]) == 1


@pytest.mark.parametrize(("location", "ip"), [("::ffff:203.0.113.7", "203.0.113.7"), ("fe80::1%eth0", None)])
def test_a_location_of_workos_is_stored_in_the_same_spelling(world: World, location: str, ip: str | None) -> None:
    said = wire.EventSent.model_validate(
        {
            "action": "seen",
            "occurred_at": "2026-11-22T10:00:00Z",
            "version": 1,
            "actor": {"type": "user", "id": "u-1"},
            "targets": [{"type": "door", "id": "1"}],
            "context": {"location": location},
        }
    )
    tenant: TenantLike = world.acme
    with world.scope("acme"):
        event = wire.event_of(said, tenant)
    assert event.context.ip == ip
    assert event.metadata.get(wire.BESIDE, {}).get("location") == (None if ip else location)
