"""The tables of a tenant's schema. Columns and constraints stand in `sql/`, the logic in the rooms."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from audit import entry, history, ledger
from audit.entry import EntryManager, EntryQuerySet
from tenants.errors import BadInput
from tenants.pinned import PinnedQuerySet


class ExportState(models.TextChoices):
    """How far an export that runs as a job has come."""

    PENDING = "pending"
    RUNNING = "running"
    READY = "ready"
    FAILED = "failed"
    EXPIRED = "expired"


class AuditUserAgent(entry.UserAgent):
    """The user agents of this tenant's trail."""

    class Meta(entry.UserAgent.Meta):
        db_table = "audit_user_agent"


class AuditLog(entry.LogEntry):
    """One entry of a tenant's trail."""

    agents = "audit_user_agent"

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, db_constraint=False, related_name="audit_logs"
    )
    agent = models.ForeignKey(AuditUserAgent, models.DO_NOTHING, null=True, db_constraint=False, related_name="+")

    objects = EntryManager()

    class Meta(entry.LogEntry.Meta):
        db_table = "audit_log"
        verbose_name = "audit log"

    @classmethod
    def log_action(
        cls,
        user: Any = None,
        action: str = "",
        resource_type: str = "",
        resource_id: UUID | str | int | tuple[Any, ...] = "",
        changes: dict[str, Any] | None = None,
        **details: Any,
    ) -> AuditLog:
        """Write an entry into the open tenant scope's trail, in its transaction, and return it.

        `user` is who acted; None means the scope's actor. `resource_id` may be a row's `pk` of any type. `details` are
        those of `ledger.log_action`. Raises BadInput, also for a `resource_id` of None.
        """
        if resource_id is None:
            raise BadInput("resource_id is None: a row that was deleted has no key any more, so take it before.")
        key = entry.id_of(resource_id)
        written: AuditLog = ledger.log_action(cls, user, action, resource_type, key, changes, **details)
        return written

    @classmethod
    def get_resource_history(cls, resource_type: str, resource_id: Any) -> EntryQuerySet:
        """Return the entries about a resource, newest first. Its id may be a row's `pk` of any type."""
        return history.resource_history(cls.objects.all(), resource_type, entry.id_of(resource_id))

    @classmethod
    def get_user_activity(cls, user: Any, days: int = 30) -> EntryQuerySet:
        """Return what a person did in the last `days` days, newest first."""
        return history.actor_activity(cls.objects.all(), str(user.pk), days)


class AuditExport(models.Model):
    """An export that runs as a job. Written by `exports` alone; `parameters` is its filter as it was sent."""

    id = models.UUIDField(primary_key=True, editable=False, db_default=models.Func(function="guard.new_id"))
    created_at = models.DateTimeField(editable=False, db_default=Now())
    until = models.UUIDField()
    state = models.TextField(choices=ExportState.choices, default=ExportState.PENDING)
    format = models.TextField()
    compress = models.BooleanField()
    parameters = models.JSONField()
    actor_type = models.TextField()
    actor_id = models.TextField()
    actor_label = models.TextField()
    attempts = models.SmallIntegerField(default=0)
    claim = models.UUIDField(null=True)
    # When somebody has to look after it; null where nothing is left to do.
    due_at = models.DateTimeField(null=True, db_default=Now())
    file = models.TextField(null=True)
    entries = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    sha256 = models.TextField(null=True)
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)

    objects = PinnedQuerySet.as_manager()

    class Meta:
        db_table = "audit_export"
        managed = False
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.format} export, {self.state}"


class UsageLog(models.Model):
    """How much of a metric was used, once. Written by `usage.record_usage` alone."""

    id = models.UUIDField(primary_key=True, editable=False)
    created_at = models.DateTimeField(editable=False)
    occurred_at = models.DateTimeField(null=True)
    transaction_id = models.BigIntegerField()
    metric = models.TextField()
    quantity = models.DecimalField(max_digits=20, decimal_places=6)
    actor_type = models.TextField()
    actor_id = models.TextField()
    metadata = models.JSONField(null=True)

    objects = PinnedQuerySet.as_manager()

    class Meta:
        db_table = "usage_log"
        managed = False
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.quantity.normalize():f} {self.metric}"
