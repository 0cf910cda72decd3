"""The hand-made AuditLog that a project begins with: its own table, and a call beside each write."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.forms.models import model_to_dict
from django.utils import timezone

from bench.capture.adapter import LAST, Work, model
from bench.capture.peers.plain import Plain


class SeedLogAction(Plain):
    """Creates, changes and deletions are logged by hand; a change's diff needs the row as it was."""

    distribution: ClassVar[str] = ""
    tables: ClassVar[tuple[str, ...]] = ("audit_logs",)
    seeding: ClassVar[str] = """
INSERT INTO audit_logs (id, created_at, updated_at, user_id, action, resource_type, resource_id, changes)
SELECT gen_random_uuid(), moment, moment, person, 'updated', 'doc', object,
  jsonb_build_object('title', jsonb_build_object('old', 'Title ' || n, 'new', 'Title ' || n + 1),
    'number', jsonb_build_object('old', n, 'new', n + 1))
FROM {events}"""
    user: Any = None

    def register(self, doc: Any) -> None:
        """Define the log's model in the same application."""
        _define()

    def requested(self, work: Work, number: int) -> Work:
        """Know the request's user, as the view that calls `log_action` does."""
        user = self.users[number % len(self.users)]

        def known() -> None:
            self.user = user
            work()
            self.user = None

        return super().requested(known, number)

    def create(self, values: dict[str, Any]) -> object:
        """Create, and log all fields."""
        doc = self.doc.objects.create(**values)
        return self._log("created", doc, {name: {"new": value} for name, value in model_to_dict(doc).items()})

    def save(self, doc: Any) -> object:
        """Save, and log the fields that differ from the row's."""
        old, new = model_to_dict(self.doc.objects.get(pk=doc.pk)), model_to_dict(doc)
        doc.save()
        changed = {name: {"old": old[name], "new": new[name]} for name in new if old[name] != new[name]}
        return self._log("updated", doc, changed)

    def delete(self, doc: Any) -> object:
        """Log all fields, and delete."""
        self._log("deleted", doc, {name: {"old": value} for name, value in model_to_dict(doc).items()})
        return doc.delete()

    def _log(self, action: str, doc: Any, changes: dict[str, Any]) -> object:
        return _log().objects.create(
            user=self.user, action=action, resource_type="doc", resource_id=doc.pk, changes=changes
        )

    def history(self, key: UUID) -> list[Any]:
        """Read as `get_resource_history` does."""
        return list(_log().objects.filter(resource_type="doc", resource_id=key))

    def activity(self, person: int) -> list[Any]:
        """Read as `get_user_activity` does."""
        since = timezone.now() - timedelta(days=90)
        return list(_log().objects.filter(user_id=person, created_at__gte=since)[:LAST])


def _log() -> Any:
    return model("docs.AuditLog")


def _define() -> None:
    """Define AuditLog: in a function, so that it is a model of the seed's worker alone."""

    class AuditLog(models.Model):
        id = models.UUIDField(primary_key=True, default=uuid.uuid4)
        created_at = models.DateTimeField(auto_now_add=True)
        updated_at = models.DateTimeField(auto_now=True)
        user = models.ForeignKey("auth.User", models.SET_NULL, null=True, related_name="audit_logs")
        action = models.CharField(max_length=20, db_index=True)
        resource_type = models.CharField(max_length=50, db_index=True)
        resource_id = models.UUIDField(db_index=True)
        changes = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder)

        class Meta:
            app_label = "docs"
            db_table = "audit_logs"
            ordering = ["-created_at"]
            indexes = [
                models.Index(fields=["user", "created_at"]),
                models.Index(fields=["resource_type", "resource_id"]),
                models.Index(fields=["action", "created_at"]),
            ]

        def __str__(self) -> str:
            return f"{self.action} {self.resource_type}"
