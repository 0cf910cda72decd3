"""Staff's API on the platform's host, and what a tenant reads of its own subscription."""

from __future__ import annotations

from typing import ClassVar

from django.http import QueryDict
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from audit.api import filters, paging, parameters
from audit.api.representation import AuditLogAnswer, AuditLogPage, ShownPage, represent
from audit.api.views import TrailView, in_path
from audit.entry import as_uuid
from subscriptions import lifecycle, platform_log
from subscriptions.api.representation import (
    ChangePlanInput,
    ChangeRatesInput,
    PlanAnswer,
    PlanList,
    SubscriptionAnswer,
    TenantPage,
    plan_answer,
    subscription_answer,
    tenant_answer,
)
from subscriptions.models import Plan, PlatformLog, TenantSubscription
from tenants.api.base import at, body_of, take
from tenants.api.routes import problems
from tenants.context import TenantLike
from tenants.errors import NotFound, bad_parameter
from tenants.models import Tenant
from tenants.permissions import caller_in
from tenants.roles import Right

TENANT = OpenApiParameter("tenant", OpenApiTypes.STR, OpenApiParameter.PATH, description="The tenant's id or slug.")
PLAN = OpenApiParameter("plan", OpenApiTypes.STR, OpenApiParameter.PATH, description="The plan's slug.")
ABOUT = OpenApiParameter("tenant", description="The id or slug of the tenant that an entry is about.")


def reading(*rights: Right) -> dict[str, frozenset[Right]]:
    """Return the rights of a view that is only read: one of them will do."""
    return {"GET": frozenset(rights), "HEAD": frozenset(rights)}


def find_tenant(name: str) -> Tenant | None:
    """Return the tenant with this id or slug. Runs in a platform scope."""
    wanted = as_uuid(name)
    found: Tenant | None = (Tenant.objects.filter(pk=wanted) if wanted else Tenant.objects.filter(slug=name)).first()
    return found


def tenant_or_refuse(name: str) -> Tenant:
    """Return the tenant with this id or slug. Raises NotFound."""
    if "\x00" not in name and (found := find_tenant(name)):
        return found
    raise NotFound("There is no tenant with this id or slug.")


def subscription_of(tenant: Tenant | None) -> TenantSubscription:
    """Return a tenant's subscription; None is the tenant of the open scope, which sees no other. Raises NotFound."""
    subscriptions = TenantSubscription.objects.select_related("plan", "tenant")
    found: TenantSubscription | None = (subscriptions.filter(tenant=tenant) if tenant else subscriptions).first()
    if found is None:
        raise NotFound("This tenant has no subscription.")
    return found


class PlansView(TrailView):
    """All plans."""

    platform = True
    rights: ClassVar = reading(Right.READ_TENANTS)

    @extend_schema(operation_id="platform_plans", responses={200: PlanList, **problems(400, 401, 403)})
    def get(self, request: Request) -> Response:
        """List the plans by slug, also those that are no longer sold."""
        filters.read(request.query_params, ())
        return Response({"results": [plan_answer(plan) for plan in Plan.objects.all()]})


class ChangeRatesView(TrailView):
    """A change of what a plan allows."""

    platform = True
    rights: ClassVar = {"POST": frozenset({Right.CHANGE_PLANS})}

    @extend_schema(
        operation_id="platform_change_rates",
        parameters=[PLAN],
        request=ChangeRatesInput,
        responses={200: PlanAnswer, **problems(400, 401, 403, 404, 409, 413, 415)},
    )
    def post(self, request: Request, plan: str) -> Response:
        """Change how many requests a minute a plan allows. Who is on it is limited by that within a minute."""
        said, caller = body_of(request, ChangeRatesInput), caller_in(request)
        if "\x00" in plan:
            raise NotFound("There is no plan with this slug.")
        changed = lifecycle.change_rates(
            plan,
            said.requests_per_minute,
            said.requests_per_minute_of_one,
            actor=caller.actor,
            origin=caller.origin,
            reason=said.reason,
        )
        return Response(plan_answer(changed))


class TenantsView(TrailView):
    """All tenants."""

    platform = True
    rights: ClassVar = reading(Right.READ_TENANTS)

    @extend_schema(
        operation_id="platform_tenants",
        parameters=parameters.described({"limit", "cursor"}),
        responses={200: TenantPage, **problems(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List the tenants by slug, with status and plan. The cursor is the slug of the last one shown."""
        asked = filters.read(request.query_params, {"limit", "cursor"})
        tenants = Tenant.objects.select_related("subscription__plan").order_by("slug")
        found = list(tenants.filter(slug__gt=asked.cursor or "")[: asked.limit + 1])
        following = found[asked.limit - 1].slug if len(found) > asked.limit else None
        return Response(
            {"results": [tenant_answer(tenant) for tenant in found[: asked.limit]], "next_cursor": following}
        )


class TenantSubscriptionView(TrailView):
    """One tenant's subscription, as staff see it."""

    platform = True
    rights: ClassVar = reading(Right.READ_USAGE)

    @extend_schema(
        operation_id="platform_tenant_subscription",
        parameters=[TENANT],
        responses={200: SubscriptionAnswer, **problems(400, 401, 403, 404)},
    )
    def get(self, request: Request, tenant: str) -> Response:
        """Read a tenant's subscription with its plan."""
        filters.read(request.query_params, ())
        return Response(subscription_answer(subscription_of(tenant_or_refuse(tenant))))


class ChangePlanView(TrailView):
    """A change of a tenant's plan."""

    platform = True
    rights: ClassVar = {"POST": frozenset({Right.CHANGE_SUBSCRIPTION})}

    @extend_schema(
        operation_id="platform_change_plan",
        parameters=[TENANT],
        request=ChangePlanInput,
        responses={200: SubscriptionAnswer, **problems(400, 401, 403, 404, 409, 413, 415)},
    )
    def post(self, request: Request, tenant: str) -> Response:
        """Change the plan. The platform log and the tenant's own trail show who did it, why, and what was before."""
        subscriber, said, caller = tenant_or_refuse(tenant), body_of(request, ChangePlanInput), caller_in(request)
        plan = Plan.objects.filter(slug=said.plan).first()
        if plan is None:
            detail = f"There is no plan {said.plan!r}. GET /api/v1/platform/plans lists them."
            raise at("/plan", "unknown_plan", detail)
        lifecycle.change_plan(subscriber, plan, actor=caller.actor, origin=caller.origin, reason=said.reason)
        return Response(subscription_answer(subscription_of(subscriber)))


class PlatformLogsView(TrailView):
    """The platform's own trail."""

    platform = True
    rights: ClassVar = reading(Right.READ_PLATFORM_LOG)

    @extend_schema(
        operation_id="platform_logs",
        parameters=[ABOUT, *parameters.described(filters.LIST)],
        responses={**paging.answers(AuditLogPage, ShownPage), **problems(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """Read a page of the platform log. It takes the filters of a tenant's trail, and a tenant."""
        sent = request.query_params.copy()
        about = _about(sent)
        asked = filters.read(sent, filters.LIST)
        entries = PlatformLog.objects.select_related("tenant")
        entries = platform_log.of_tenant(entries, about.id) if about else entries
        return paging.answer(request, asked, entries, None, "platform", about and about.id, tenant_of=PlatformLog.about)


def _about(sent: QueryDict) -> TenantLike | None:
    """Take the parameter `tenant` out of those sent; return whom it names. Raises BadInput."""
    name = take(sent, "tenant")
    if name is None:
        return None
    found = None if "\x00" in name else find_tenant(name)
    if found is None:
        raise bad_parameter("tenant", "This is the id or the slug of one tenant.", "unknown_tenant")
    return found


class PlatformLogView(TrailView):
    """One entry of the platform log."""

    platform = True
    rights: ClassVar = reading(Right.READ_PLATFORM_LOG)

    @extend_schema(
        operation_id="platform_logs_read",
        parameters=[in_path("entry_id", "The entry's id.")],
        responses={200: AuditLogAnswer, **problems(400, 401, 403, 404)},
    )
    def get(self, request: Request, entry_id: str) -> Response:
        """Read one entry by its id."""
        filters.read(request.query_params, ())
        key = as_uuid(entry_id)
        entries = PlatformLog.objects.select_related("agent", "tenant")
        entry = entries.filter(pk=key).first() if key else None
        if entry is None:
            raise NotFound
        return Response(represent(entry, entry.about()))


class SubscriptionView(TrailView):
    """The tenant's own subscription."""

    rights: ClassVar = reading(Right.READ_USAGE)

    @extend_schema(operation_id="subscription", responses={200: SubscriptionAnswer, **problems(400, 401, 403, 404)})
    def get(self, request: Request) -> Response:
        """Read what this tenant has bought. Staff change it."""
        filters.read(request.query_params, ())
        return Response(subscription_answer(subscription_of(None)))
