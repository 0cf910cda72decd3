"""Plans, subscriptions and the platform log: shared tables."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Now

from audit import entry
from audit.capture import audited
from audit.entry import EntryManager
from tenants.models import Tenant, UUIDv7

TENANT_REQUESTS_PER_MINUTE = 60_000
REQUESTS_PER_MINUTE_OF_ONE = 30_000


@audited(label="name")
class Plan(models.Model):
    """What can be bought. The requests that a tenant may make in a minute, and one key or person of it; NULL: any."""

    id = models.UUIDField(primary_key=True, db_default=UUIDv7(), editable=False)
    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=200)
    is_active = models.BooleanField(default=True)
    requests_per_minute = models.PositiveIntegerField(
        null=True, default=TENANT_REQUESTS_PER_MINUTE, validators=[MinValueValidator(1)]
    )
    requests_per_minute_of_one = models.PositiveIntegerField(
        null=True, default=REQUESTS_PER_MINUTE_OF_ONE, validators=[MinValueValidator(1)]
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name


@audited(resource_type="subscription", exclude=("changed_at",), tenant="tenant")
class TenantSubscription(models.Model):
    """A tenant's plan. Changed by `lifecycle` alone."""

    id = models.UUIDField(primary_key=True, db_default=UUIDv7(), editable=False)
    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="subscription")
    plan = models.ForeignKey(Plan, models.PROTECT, related_name="subscriptions")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    changed_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["tenant_id"]

    def __str__(self) -> str:
        return f"{self.tenant_id}: {self.plan_id}"


class PlatformUserAgent(entry.UserAgent):
    """The user agents of the platform log."""

    class Meta(entry.UserAgent.Meta):
        db_table = "platform_user_agent"


class PlatformLog(entry.LogEntry):
    """One entry of the platform's trail: what staff and the system did, across tenants."""

    agents = "platform_user_agent"

    # No constraint: the entry outlives the tenant it is about.
    tenant = models.ForeignKey(Tenant, models.DO_NOTHING, null=True, db_constraint=False, related_name="+")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, db_constraint=False, related_name="platform_logs"
    )
    agent = models.ForeignKey(PlatformUserAgent, models.DO_NOTHING, null=True, db_constraint=False, related_name="+")

    objects = EntryManager()

    class Meta(entry.LogEntry.Meta):
        db_table = "platform_log"
        verbose_name = "platform log"

    def about(self) -> Tenant | None:
        """Return the tenant that the entry is about, if any; one that was dropped has its id alone.

        Load entries with `select_related("tenant")`.
        """
        return None if self.tenant_id is None else self.tenant or Tenant(id=self.tenant_id)
