"""What the owner keeps of migrations: how far each tenant is, and the template that new ones are made from."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class TenantMigration(models.Model):
    """What `migrator` knows of one migration in one tenant's schema. The owner's login alone reads and writes it."""

    class State(models.TextChoices):
        """How it went."""

        APPLIED = "applied"
        FAILED = "failed"

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    app = models.CharField(max_length=63)
    name = models.CharField(max_length=255)
    state = models.CharField(max_length=20, choices=State.choices)
    error = models.TextField(blank=True, default="")
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "app", "name"], name="one_state_per_migration")]

    def __str__(self) -> str:
        return f"{self.app}.{self.name} {self.state} in {self.tenant_id}"


class SchemaTemplate(models.Model):
    """The statements that make a tenant's schema, compiled from the migrations with this fingerprint.

    The owner's login alone reads and writes it.
    """

    fingerprint = models.CharField(max_length=64, primary_key=True)
    statements = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.fingerprint[:12]
