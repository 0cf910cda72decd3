"""How plans, tenants and subscriptions are read, and what a change of plan says. The OpenAPI document shows these."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from audit.api.representation import TenantAnswer
from subscriptions.lifecycle import MAX_REASON
from subscriptions.models import Plan, TenantSubscription
from tenants.api.wire import Answer, Written, rendered
from tenants.models import Tenant


class PlanAnswer(Answer):
    """A plan; one with `is_active` false is no longer sold. A rate of null is none."""

    id: str
    slug: str
    name: str
    is_active: bool
    requests_per_minute: Annotated[int | None, Field(description="Of the whole tenant.")]
    requests_per_minute_of_one: Annotated[int | None, Field(description="Of one key or person of the tenant.")]


class PlanList(Answer):
    """All plans, by slug."""

    results: list[PlanAnswer]


class TenantRowAnswer(Answer):
    """A tenant with the slug of its plan, null where it has no subscription."""

    id: str
    slug: str
    name: str
    status: Tenant.Status
    plan: str | None
    created_at: AwareDatetime


class TenantPage(Answer):
    """Some tenants, by slug. `next_cursor` is null on the last page."""

    results: list[TenantRowAnswer]
    next_cursor: str | None


class SubscriptionAnswer(Answer):
    """What a tenant has bought, and since when."""

    id: str
    tenant: TenantAnswer
    plan: PlanAnswer
    created_at: AwareDatetime
    changed_at: AwareDatetime


class ChangePlanInput(Written):
    """Which plan, and why. Both trails show the reason."""

    plan: Annotated[str, Field(min_length=1, max_length=63, description="The slug of a plan that is sold.")]
    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON)]


Rate = Annotated[int | None, Field(ge=1, le=1_000_000_000)]


class ChangeRatesInput(Written):
    """How many requests a minute a plan allows (null: any number), and why. The platform log shows the reason."""

    requests_per_minute: Annotated[Rate, Field(description="Of the whole tenant.")]
    requests_per_minute_of_one: Annotated[Rate, Field(description="Of one key or person of the tenant.")]
    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON)]


def plan_answer(plan: Plan) -> dict[str, Any]:
    """Return a plan as the API shows it."""
    names = ("slug", "name", "is_active", "requests_per_minute", "requests_per_minute_of_one")
    return {"id": str(plan.pk), **{name: getattr(plan, name) for name in names}}


def tenant_answer(tenant: Tenant) -> dict[str, Any]:
    """Return a tenant as staff see it. Load it with `select_related("subscription__plan")`."""
    subscription: TenantSubscription | None = getattr(tenant, "subscription", None)
    return {
        "id": str(tenant.pk),
        "slug": tenant.slug,
        "name": tenant.name,
        "status": tenant.status,
        "plan": subscription.plan.slug if subscription else None,
        "created_at": rendered(tenant.created_at),
    }


def subscription_answer(subscription: TenantSubscription) -> dict[str, Any]:
    """Return a subscription as the API shows it. Load it with `select_related("plan", "tenant")`."""
    return {
        "id": str(subscription.pk),
        "tenant": {"id": str(subscription.tenant.pk), "slug": subscription.tenant.slug},
        "plan": plan_answer(subscription.plan),
        "created_at": rendered(subscription.created_at),
        "changed_at": rendered(subscription.changed_at),
    }
