"""The trail over HTTP: write events, read pages, one entry, a resource's history, an actor's activity."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

from django.http import HttpRequest
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from audit import access, history, ingest, lines, replay
from audit.api import filters, paging, parameters
from audit.api.parsers import STREAM, check_charset
from audit.api.representation import (
    AuditLogAnswer,
    AuditLogPage,
    EventsInput,
    RepeatedAnswer,
    ShownEntry,
    ShownPage,
    StreamProblem,
    WriteAnswer,
    represent,
)
from audit.entry import EntryQuerySet
from audit.models import AuditLog
from audit.wire import EventInput
from tenants.api.base import ClosedView
from tenants.api.routes import PROBLEM, problems
from tenants.bodies import body_of
from tenants.context import TenantLike, current_scope
from tenants.errors import BadInput, NotFound
from tenants.permissions import caller_in
from tenants.roles import Right
from tenants.viewing import View

_READ = frozenset({Right.READ_TRAIL, Right.READ_OWN})
READING = {"GET": _READ, "HEAD": _READ}
# What viewer tokens may use as well: only what shows the entries that `visible` gives, and nothing beside them.
SHOWING = {method: rights | {Right.READ_VIEW} for method, rights in READING.items()}


def stream_problems(*statuses: int) -> dict[Any, Any]:
    """Return the same for an endpoint that takes a stream, whose refusals say how far it came."""
    return {(code, PROBLEM): StreamProblem for code in (*statuses, 429, 503)}


def in_path(name: str, description: str) -> OpenApiParameter:
    """Return a part of the path as the OpenAPI document shows it."""
    return OpenApiParameter(name, OpenApiTypes.STR, OpenApiParameter.PATH, description=description)


class TrailView(ClosedView):
    """What the views of trails share, and those of what stands in the platform's tables."""

    rights: ClassVar[dict[str, frozenset[Right]]] = READING

    def tenant(self) -> TenantLike:
        """Return whose trail it is; the permission has made sure that there is one."""
        tenant = current_scope().tenant
        if tenant is None:
            raise NotFound
        return tenant

    def visible(self, request: Request) -> EntryQuerySet:
        """Return the entries that the caller may see: all, those a viewer token shows, or those of his own actions."""
        entries: EntryQuerySet = AuditLog.objects.all()
        caller = caller_in(request)
        if Right.READ_TRAIL in caller.rights:
            return entries
        return _shown(entries, caller.view) if caller.view else entries.of_actor(caller.actor.id)

    def binding(self, request: Request) -> str:
        """Return whose eyes a cursor is for: one that a member got walks through that member's entries.

        One of a viewer token is for all tokens that show the same.
        """
        caller = caller_in(request)
        if Right.READ_TRAIL in caller.rights:
            return ""
        return repr(("view", caller.view.resource, caller.view.actor)) if caller.view else caller.actor.id


def _shown(entries: EntryQuerySet, view: View) -> EntryQuerySet:
    entries = entries.of_resource(*view.resource) if view.resource else entries
    return entries.of_actor(view.actor) if view.actor else entries


class ShowingView(TrailView):
    """A view that shows entries of a tenant's trail, those of `visible`: that somebody looked is noted in it."""

    rights: ClassVar[dict[str, frozenset[Right]]] = SHOWING

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Answer; who was shown something of the trail is noted in it."""
        if request.method in READING and response.status_code == status.HTTP_200_OK:
            access.note("read")
        return super().finalize_response(request, response, *args, **kwargs)


def is_stream(request: HttpRequest) -> bool:
    """Tell whether a request sends a stream of events: it is written in several units of work."""
    return request.method == "POST" and request.content_type == STREAM


class AuditLogsView(ShowingView):
    """The trail: write into it, read it page by page."""

    outside_unit = staticmethod(is_stream)
    rights: ClassVar[dict[str, frozenset[Right]]] = {**SHOWING, "POST": frozenset({Right.WRITE_EVENTS})}

    @extend_schema(
        operation_id="audit_logs_list",
        parameters=parameters.described(filters.LIST),
        responses={**paging.answers(AuditLogPage, ShownPage), **problems(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """Read a page of the trail."""
        asked = filters.read(request.query_params, filters.LIST)
        entries = self.visible(request)
        return paging.answer(request, asked, entries, self.tenant(), self.binding(request))

    @extend_schema(
        operation_id="audit_logs_write",
        parameters=[
            OpenApiParameter(
                replay.HEADER,
                {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
                OpenApiParameter.HEADER,
                description="Within 24 hours, the same request with the same key gets the same answer again.",
            ),
        ],
        request={"application/json": EventsInput, STREAM: EventInput},
        responses={200: RepeatedAnswer, 201: WriteAnswer, **stream_problems(400, 401, 403, 408, 413, 415, 422)},
    )
    def post(self, request: Request) -> Response:
        """Write one event, a batch or a stream. An event answers its entry, a batch what became of each, in order.

        A stream (`application/x-ndjson`) has an event on each line, any number of them, and is written in parts: the
        answer counts the lines and lists those that were rejected, also where it is an error.
        """
        filters.read(request.query_params, ())
        key = request.headers.get(replay.HEADER)
        if is_stream(request._request):  # noqa: SLF001
            return self.stream(request, key)
        if key is None:
            answer = self.write(request.data)
            return Response(answer.body, answer.status)
        given = replay.claim(key, "POST", "/audit-logs", request.data)
        if given is not None:
            return Response(given.body, given.status, headers={"Idempotency-Replayed": "true"})
        answer = self.write(request.data)
        replay.keep(key, answer)
        return Response(answer.body, answer.status)

    def stream(self, request: Request, key: str | None) -> Response:
        """Write a stream, which may have keys of its lines alone; return the report."""
        check_charset(request.content_type)
        if key is not None:
            detail = "A stream has no key of its own: give each line an `idempotency_key`."
            raise BadInput(detail, errors=[{"parameter": replay.HEADER, "code": "not_for_streams", "detail": detail}])
        body = body_of(request._request)  # noqa: SLF001
        body.limit = None
        report = lines.receive(body, caller_in(request).scope)
        return Response(asdict(report), status.HTTP_201_CREATED if report.created else status.HTTP_200_OK)

    def write(self, sent: Any) -> replay.Answer:
        """Write what was sent; return the answer."""
        if isinstance(sent, dict) and "events" in sent:
            results = ingest.receive_batch(sent)
            return replay.Answer(status.HTTP_201_CREATED, {"results": [_result(one) for one in results]})
        written = ingest.receive(sent)
        if written.entry is None:
            return replay.Answer(status.HTTP_200_OK, _result(written))
        return replay.Answer(status.HTTP_201_CREATED, represent(written.entry, self.tenant()))


def _result(one: ingest.Written | ingest.Rejected) -> dict[str, Any]:
    if isinstance(one, ingest.Rejected):
        return {"status": "rejected", "id": None, "errors": one.errors}
    return {"status": "created" if one.created else "duplicate", "id": str(one.id), "errors": []}


class AuditLogView(ShowingView):
    """One entry."""

    @extend_schema(
        operation_id="audit_logs_read",
        parameters=[in_path("entry_id", "The entry's id."), *parameters.described(filters.ONE)],
        responses={**paging.answers(AuditLogAnswer, ShownEntry), **problems(400, 401, 403, 404)},
    )
    def get(self, request: Request, entry_id: str) -> Response:
        """Read one entry by its id."""
        asked = filters.read(request.query_params, filters.ONE)
        return paging.answer_one(asked, self.visible(request), entry_id, self.tenant())


class ResourceHistoryView(ShowingView):
    """What happened to a resource."""

    @extend_schema(
        operation_id="resources_history",
        parameters=[
            in_path("resource_type", "The resource's type."),
            in_path("resource_id", "The resource's id; it may contain slashes."),
            *parameters.described(filters.HISTORY),
        ],
        responses={**paging.answers(AuditLogPage, ShownPage), **problems(400, 401, 403)},
    )
    def get(self, request: Request, resource_type: str, resource_id: str) -> Response:
        """Read the entries about a resource."""
        path = {"resource_type": resource_type, "resource_id": resource_id}
        asked = filters.read(request.query_params, filters.HISTORY, path)
        entries = self.visible(request)
        return paging.answer(request, asked, entries, self.tenant(), self.binding(request))


class ActorActivityView(ShowingView):
    """What an actor did."""

    @extend_schema(
        operation_id="actors_activity",
        parameters=[in_path("actor", "The actor's id."), *parameters.described(filters.ACTIVITY)],
        responses={**paging.answers(AuditLogPage, ShownPage), **problems(400, 401, 403)},
    )
    def get(self, request: Request, actor: str) -> Response:
        """Read what an actor did in the last days."""
        asked = filters.read(request.query_params, filters.ACTIVITY, {"actor": actor})
        entries = history.actor_activity(self.visible(request), actor, asked.days)
        binding = (self.binding(request), "days", asked.days)
        return paging.answer(request, asked, entries, self.tenant(), *binding)
