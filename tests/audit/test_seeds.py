"""The calls of the two documents the project started from, as they stand there."""

from __future__ import annotations

from uuid import uuid4

import pytest
from world import World

from audit.models import AuditLog
from tenants.errors import NoScope


def test_log_action_writes_who_did_what_to_which_resource(world: World) -> None:
    alice, provider = world.person("alice"), uuid4()
    with world.scope("acme", "alice"):
        entry = AuditLog.log_action(
            user=alice,
            action="deleted",
            resource_type="webhook_provider",
            resource_id=provider,
            changes={"provider_name": "stripe", "is_active": True},
        )
        stored = AuditLog.objects.get(pk=entry.pk)
    assert (stored.user_id, stored.actor_label, stored.action) == (alice.pk, "alice@acme.example", "deleted")
    assert (stored.resource_type, stored.resource_id) == ("webhook_provider", str(provider))
    assert stored.changes == {"provider_name": "stripe", "is_active": True}
    assert (stored.created_at, stored.operation) == (entry.created_at, "delete")
    assert str(stored) == f"alice@acme.example deleted webhook_provider ({provider})"


def test_it_refuses_to_log_without_a_scope(world: World) -> None:
    before = world.entries("acme")
    with pytest.raises(NoScope):
        AuditLog.log_action(None, "deleted", "organization", "1")
    assert world.entries("acme") == before
