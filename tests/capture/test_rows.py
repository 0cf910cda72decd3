"""What is seen of rows, by whatever way they are changed."""

from __future__ import annotations

from hostapp.models import Organization
from world import World

from audit.models import AuditLog


def test_a_created_row_is_one_entry_that_says_every_value(world: World) -> None:
    with world.scope("acme", "alice", ip="203.0.113.7", request_id="r-1", source="request"):
        made = Organization.objects.create(name="North", slug="north", seats=3)
    with world.scope("acme"):
        (entry,) = AuditLog.get_resource_history("organization", made.pk)
    assert (entry.action, entry.operation, entry.captured) == ("created", "create", True)
    assert entry.all_changes == {
        "name": {"new": "North"},
        "slug": {"new": "north"},
        "plan": {"new": "free"},
        "contact": {"new": ""},
        "seats": {"new": 3},
    }
    assert (entry.actor_id, entry.user_id, entry.actor_label) == (
        str(world.person("alice").pk),
        world.person("alice").pk,
        "alice@acme.example",
    )
    assert (entry.ip, entry.request_id, entry.source) == ("203.0.113.7", "r-1", "request")
