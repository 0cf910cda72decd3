"""Actions on subscriptions. Each writes the row, the platform log and the tenant's own trail in one transaction."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from audit.changes import diff
from audit.events import Operation
from audit.models import AuditLog
from subscriptions import platform_log
from subscriptions.models import Plan, TenantSubscription
from tenants.context import Actor, Origin, enter_tenant, platform_scope
from tenants.errors import BadInput, Conflict, NotFound
from tenants.models import Tenant

MAX_REASON = 1000
DEFAULT_PLAN = "free"


def subscribe(tenant: Tenant, plan: Plan, reason: str = "") -> TenantSubscription:
    """Give a tenant its first plan. Runs in a platform scope. Raises Conflict if it has one by now."""
    subscription, created = TenantSubscription.objects.get_or_create(tenant=tenant, defaults={"plan": plan})
    if not created:
        raise Conflict(f"The tenant {tenant.slug} has a plan already.")
    _log(subscription, "subscription.created", {"plan": {"new": plan.slug}}, reason, Operation.CREATE)
    return subscription


def begin(tenant: Tenant) -> TenantSubscription | None:
    """Give a new tenant the default plan, if that is sold. `provisioning` calls this in a platform scope."""
    plan = Plan.objects.filter(slug=DEFAULT_PLAN, is_active=True).first()
    return subscribe(tenant, plan) if plan else None


def change_plan(
    tenant: Tenant, plan: Plan, *, actor: Actor, reason: str, origin: Origin | None = None
) -> TenantSubscription:
    """Change a tenant's plan, or give it the first, and tell both trails who did it, why, and what it was before.

    Opens a platform scope as `actor`, or joins the open one. Staff say a reason. Raises BadInput, Conflict (the
    same plan, or one that is no longer sold).
    """
    reason = _said(reason)
    with platform_scope(actor=actor, origin=origin):
        # The plan is read after the lock: joined in this query, it would be that of before the wait, or none.
        subscription = TenantSubscription.objects.select_for_update().filter(tenant=tenant).first()
        _check(subscription, plan)
        if subscription is None:
            return subscribe(tenant, plan, reason)
        before, subscription.plan, subscription.changed_at = subscription.plan.slug, plan, timezone.now()
        subscription.save(update_fields=["plan", "changed_at"])
        _log(subscription, "subscription.plan_changed", diff({"plan": before}, {"plan": plan.slug}), reason)
    return subscription


def change_rates(
    slug: str, tenant: int | None, one: int | None, *, actor: Actor, reason: str, origin: Origin | None = None
) -> Plan:
    """Change how many requests a minute a plan allows, to a tenant and to one caller of it (None: any number).

    Processes follow within a minute. The platform log tells who did it, why, and what it was before. Opens a platform
    scope as `actor`, or joins the open one. Raises NotFound, BadInput, Conflict (the same rates).
    """
    reason, rates = _said(reason), {"requests_per_minute": tenant, "requests_per_minute_of_one": one}
    with platform_scope(actor=actor, origin=origin):
        plan: Plan | None = Plan.objects.select_for_update().filter(slug=slug).first()
        if plan is None:
            raise NotFound("There is no plan with this slug.")
        changes = diff({name: getattr(plan, name) for name in rates}, rates)
        if not changes:
            raise Conflict(f"The plan {slug} allows that already.")
        for name, rate in rates.items():
            setattr(plan, name, rate)
        plan.save(update_fields=[*rates])
        details: dict[str, Any] = {"resource_label": plan.name, "description": reason}
        platform_log.log_action("plan.rates_changed", "plan", str(plan.pk), changes, **details)
    return plan


def _said(reason: str) -> str:
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON:
        fault = f"Say why, in 1 to {MAX_REASON} characters."
        raise BadInput(fault, errors=[{"pointer": "/reason", "code": "required", "detail": fault}])
    return reason


def _check(subscription: TenantSubscription | None, plan: Plan) -> None:
    if subscription and subscription.plan_id == plan.pk:
        raise Conflict(f"The tenant is on the plan {plan.slug} already.")
    if not plan.is_active:
        raise Conflict(f"The plan {plan.slug} is no longer sold.")


def _log(
    subscription: TenantSubscription,
    action: str,
    changes: dict[str, dict[str, str]],
    reason: str,
    operation: Operation = Operation.UPDATE,
) -> None:
    """Write the same entry into the platform log and into the tenant's own trail."""
    tenant = subscription.tenant
    arguments = (action, "subscription", str(subscription.pk), changes)
    details: dict[str, Any] = {"resource_label": tenant.name, "description": reason, "operation": operation}
    platform_log.log_action(*arguments, tenant_id=tenant.pk, **details)
    with enter_tenant(tenant):
        AuditLog.log_action(None, *arguments, **details)
