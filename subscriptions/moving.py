"""What a tenant takes along of its subscription when it moves to another database: the name of its plan, and when."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from subscriptions.models import Plan, TenantSubscription
from tenants.errors import Conflict
from tenants.models import Tenant


class Subscription:
    """A companion of an exported tenant (`tenants.transfer.Companion`)."""

    name = "subscription"

    def pack(self, tenant: Tenant) -> dict[str, str] | None:
        """Return plan and times, or None for a tenant without a plan."""
        row = TenantSubscription.objects.filter(tenant=tenant).select_related("plan").first()
        if row is None:
            return None
        moments = {"created_at": row.created_at.isoformat(), "changed_at": row.changed_at.isoformat()}
        return {"plan": row.plan.slug, **moments}

    def unpack(self, tenant: Tenant, packed: Any) -> None:
        """Give the tenant the plan of the same name. Raises Conflict if there is none."""
        plan = Plan.objects.filter(slug=packed["plan"]).first()
        if plan is None:
            raise Conflict(f"There is no plan {packed['plan']!r} here: create it first, then import again.")
        moments = {name: datetime.fromisoformat(packed[name]) for name in ("created_at", "changed_at")}
        TenantSubscription.objects.create(tenant=tenant, plan=plan, **moments)
