"""A tenant's trail for staff: each request says why it is made, which both trails tell before anything is shown."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import QueryDict, StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from audit import export
from audit.api import asking, exporting, filters, paging, parameters, stats
from audit.api.representation import AuditLogAnswer, AuditLogPage, ShownEntry, ShownPage
from audit.api.views import TrailView, in_path
from audit.events import Operation
from audit.models import AuditLog
from subscriptions import platform_log
from subscriptions.api.views import TENANT, reading, tenant_or_refuse
from tenants.api.base import take
from tenants.api.routes import problems
from tenants.auditing import MAX_REASON, Reading
from tenants.context import enter_tenant, platform_scope
from tenants.errors import NotFound, bad_parameter
from tenants.middleware import outside_unit
from tenants.permissions import caller_in
from tenants.roles import Right

REASON = OpenApiParameter(
    "reason",
    {"type": "string", "minLength": 1, "maxLength": MAX_REASON, "pattern": r"\S"},
    required=True,
    description="Why the trail is read. Both trails show it, and who gave it.",
)


def reason_in(sent: QueryDict) -> str:
    """Take the parameter `reason` out of those sent. Raises BadInput, which names it."""
    said = take(sent, "reason")
    if said and said.strip() and len(said) <= MAX_REASON and "\x00" not in said:
        return said
    detail = f"Say once why the trail is read, in 1 to {MAX_REASON} characters."
    raise bad_parameter("reason", detail, "required" if said is None else "bad_value")


@outside_unit
class TenantTrailView(TrailView):
    """A view of one tenant's trail. It opens its units of work itself: why it is read is committed before one reads."""

    platform = True
    rights: ClassVar = reading(Right.READ_TENANT_TRAIL)

    def trail_of(self, request: Request, name: str, reason: str) -> Reading:
        """Return what opens the trail of the tenant with this id or slug, also a suspended one. Raises NotFound."""
        caller = caller_in(request)
        if caller.tenant is not None:
            # The unit below is the platform's, whoever asks: this does not rest on the permission alone.
            raise NotFound
        with platform_scope(actor=caller.actor, origin=caller.origin):
            tenant = tenant_or_refuse(name)
        return Reading(tenant, caller.actor, reason, caller.origin)


class TenantLogsView(TenantTrailView):
    """The trail, page by page."""

    @extend_schema(
        operation_id="platform_tenant_logs",
        parameters=[TENANT, REASON, *parameters.described(filters.LIST)],
        responses={**paging.answers(AuditLogPage, ShownPage), **problems(400, 401, 403, 404)},
    )
    def get(self, request: Request, tenant: str) -> Response:
        """Read a page of a tenant's trail, with a reason. The links of a page give the same reason again."""
        sent = request.query_params.copy()
        reason, asked = reason_in(sent), filters.read(sent, filters.LIST)
        trail = self.trail_of(request, tenant, reason)
        with trail():
            return paging.answer(request, asked, AuditLog.objects.all(), trail.tenant, "staff")


class TenantLogView(TenantTrailView):
    """One entry."""

    @extend_schema(
        operation_id="platform_tenant_logs_read",
        parameters=[TENANT, in_path("entry_id", "The entry's id."), REASON, *parameters.described(filters.ONE)],
        responses={**paging.answers(AuditLogAnswer, ShownEntry), **problems(400, 401, 403, 404)},
    )
    def get(self, request: Request, tenant: str, entry_id: str) -> Response:
        """Read one entry of a tenant's trail by its id, with a reason."""
        sent = request.query_params.copy()
        reason, asked = reason_in(sent), filters.read(sent, filters.ONE)
        trail = self.trail_of(request, tenant, reason)
        with trail():
            return paging.answer_one(asked, AuditLog.objects.all(), entry_id, trail.tenant)


class TenantStatsView(TenantTrailView):
    """The trail in numbers."""

    @extend_schema(
        operation_id="platform_tenant_logs_stats",
        parameters=[TENANT, REASON, *stats.DESCRIBED],
        responses={200: stats.StatsAnswer, **problems(400, 401, 403, 404)},
    )
    def get(self, request: Request, tenant: str) -> Response:
        """Count entries of a tenant's trail, with a reason; as `/audit-logs/stats` does."""
        sent = request.query_params.copy()
        reason, asked = reason_in(sent), stats.read(sent)
        with self.trail_of(request, tenant, reason)():
            return Response(stats.counts(asked, AuditLog.objects.all()))


class TenantExportView(TenantTrailView):
    """The filtered trail as a file."""

    http_method_names = ("get",)
    rights: ClassVar = {"GET": exporting.EXPORTING}
    content_negotiation_class = exporting.AsAsked

    @extend_schema(
        operation_id="platform_tenant_logs_export",
        parameters=[TENANT, REASON, *asking.DESCRIBED],
        responses={**exporting.FILE, **problems(400, 401, 403, 404, 503)},
    )
    def get(self, request: Request, tenant: str) -> StreamingHttpResponse:
        """Export a tenant's trail as a file, with a reason; what comes meanwhile is not in it.

        Both trails tell of it before the first byte goes out, and again every ten minutes that it takes.
        """
        sent = request.query_params.copy()
        reason, asked = reason_in(sent), asking.read(sent)
        trail = self.trail_of(request, tenant, reason)
        with trail():
            until = export.bound()
        answer = exporting.answer(asked, trail, until, trail.tenant.slug)
        tell(trail, asked.told())
        return answer


def tell(trail: Reading, said: dict[str, Any]) -> None:
    """Write into both trails, in one transaction, that staff take a tenant's trail away, how and why."""
    tenant = trail.tenant
    about = ("trail.exported", "trail", str(tenant.id))
    more: dict[str, Any] = {
        "resource_label": tenant.slug,
        "description": trail.reason,
        "metadata": said,
        "operation": Operation.READ,
    }
    with platform_scope(actor=trail.actor, origin=trail.origin):
        platform_log.log_action(*about, tenant_id=tenant.id, **more)
        with enter_tenant(tenant):
            AuditLog.log_action(None, *about, **more)
