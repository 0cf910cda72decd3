"""The seeds' two questions, over any trail: what happened to this resource, what did this person do."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from audit.entry import EntryQuerySet


def resource_history(entries: EntryQuerySet, resource_type: str, resource_id: str) -> EntryQuerySet:
    """Return the entries about a resource, newest first."""
    return entries.of_resource(resource_type, resource_id)


def actor_activity(entries: EntryQuerySet, actor_id: str, days: int = 30) -> EntryQuerySet:
    """Return the entries of an actor in the last `days` days, newest first."""
    return entries.of_actor(actor_id).since(timezone.now() - timedelta(days=days))
