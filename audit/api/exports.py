"""Exports as jobs over HTTP: ask for one, see how far it is, fetch its file by a signed link."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase, QueryDict, StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from pydantic import AwareDatetime, Field, ValidationError
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audit import exports, replay
from audit.api import asking, filters
from audit.api.exporting import EXPORTING, AsAsked
from audit.api.outgoing import Outgoing
from audit.api.ranges import part_of
from audit.api.representation import PartyAnswer
from audit.api.views import TrailView
from audit.entry import as_uuid
from audit.models import AuditExport, ExportState
from tenants import gate
from tenants.api import wire
from tenants.api.base import number, parameters_of
from tenants.api.routes import problems
from tenants.api.wire import Answer, Written, rendered
from tenants.callers import Caller, host_name
from tenants.context import current_scope, tenant_scope
from tenants.errors import BadInput, Fault, NotFound, TenantSuspended, Unprocessable, bad_parameter
from tenants.invitations import base_of
from tenants.middleware import outside_unit
from tenants.models import Domain
from tenants.roles import Right

_CHUNK = 256 * 1024
_SHOWN, _MOST_SHOWN = 20, 100
# The names of `asking.FORMATS`, which a test compares: the document shows types, and those are written out.
FileFormat = Literal["csv", "jsonl", "parquet", "ocsf", "cloudevents", "ecs"]
Values = Annotated[list[str], Field(min_length=1)]
Parameter = Annotated[str | Values, Field(description="As in the query of a list; several values as an array.")]


class ExportInput(Written):
    """What to export: the form of the file, and the parameters of a list as its filter."""

    format: FileFormat
    compress: Literal["gzip"] | None = None
    filter: dict[str, Parameter] = {}


class ExportAnswer(Answer):
    """An export. `link` is there once it is ready: whoever has it fetches the file, without a key, for ten minutes.

    Reading the export again gives a new link. `entries` and `bytes` are those of the whole file when it is ready.
    """

    id: str
    state: ExportState
    format: FileFormat
    compress: Literal["gzip"] | None
    filter: dict[str, list[str]]
    entries: int
    bytes: int
    sha256: str | None
    requested_by: PartyAnswer
    created_at: AwareDatetime
    finished_at: AwareDatetime | None
    expires_at: Annotated[AwareDatetime | None, Field(description="When the file is removed.")]
    link: str | None
    link_expires_at: AwareDatetime | None


class ExportPage(Answer):
    """Exports, newest first. `next` and `next_cursor` are null where there is nothing more."""

    results: list[ExportAnswer]
    next: str | None
    next_cursor: str | None


class ExportsView(TrailView):
    """The exports of this tenant."""

    rights: ClassVar[dict[str, frozenset[Right]]] = {"GET": EXPORTING, "HEAD": EXPORTING, "POST": EXPORTING}

    @extend_schema(
        operation_id="exports_list",
        parameters=[
            OpenApiParameter("limit", OpenApiTypes.INT, default=_SHOWN, description=f"1 to {_MOST_SHOWN}."),
            OpenApiParameter("cursor", description="Where the page before said that the next one begins."),
        ],
        responses={200: ExportPage, **problems(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """Read a page of the exports, newest first; links are shown by each export itself."""
        said = parameters_of(request, "limit", "cursor")
        limit, before = number("limit", said.get("limit"), _MOST_SHOWN) or _SHOWN, _place(said.get("cursor"))
        jobs = AuditExport.objects.order_by("-id")
        found = list((jobs.filter(id__lt=before) if before else jobs)[: limit + 1])
        following = cursor = None
        if len(found) > limit:
            cursor, here = str(found[limit - 1].pk), request.query_params.copy()
            here["cursor"] = cursor
            following = request.build_absolute_uri(f"{request.path}?{here.urlencode()}")
        return Response({"results": [_shown(job) for job in found[:limit]], "next": following, "next_cursor": cursor})

    @extend_schema(
        operation_id="exports_create",
        parameters=[
            OpenApiParameter(
                replay.HEADER,
                OpenApiTypes.STR,
                OpenApiParameter.HEADER,
                description="Within 24 hours, the same request with the same key gets the same answer again.",
            ),
        ],
        request=ExportInput,
        responses={201: ExportAnswer, **problems(400, 401, 403, 409, 413, 415, 422)},
    )
    def post(self, request: Request) -> Response:
        """Ask for an export of what has been recorded until now. It is written in the background."""
        filters.read(request.query_params, ())
        key = request.headers.get(replay.HEADER)
        given = replay.claim(key, "POST", "/exports", request.data) if key is not None else None
        if given is not None:
            return Response(given.body, given.status, headers={"Idempotency-Replayed": "true"})
        asked = _body(request.data)
        job = exports.request(asked.form, asked.said, compress=asked.compress, told=asked.told())
        answer = replay.Answer(status.HTTP_201_CREATED, _shown(job))
        if key is not None:
            replay.keep(key, answer)
        return Response(answer.body, answer.status)


class ExportJobView(TrailView):
    """One export."""

    http_method_names = ("get", "head")
    rights: ClassVar[dict[str, frozenset[Right]]] = {"GET": EXPORTING, "HEAD": EXPORTING}

    @extend_schema(operation_id="exports_read", responses={200: ExportAnswer, **problems(400, 401, 403, 404)})
    def get(self, request: Request, export_id: str) -> Response:
        """Read how far an export is; when it is ready, with a new link to its file."""
        filters.read(request.query_params, ())
        key = as_uuid(export_id)
        job = AuditExport.objects.filter(pk=key).first() if key else None
        if job is None:
            raise NotFound
        shown = _shown(job)
        if job.state == ExportState.READY:
            shown["link"] = link_to(request, job)
            shown["link_expires_at"] = rendered(timezone.now() + exports.LINK_LIFE)
        return Response(shown)


@outside_unit
class ExportFileView(APIView):
    """The file of an export, for whoever has its link: who that was given to is told of in the trail."""

    http_method_names = ("get", "head")
    authentication_classes = ()
    permission_classes = ()
    content_negotiation_class = AsAsked

    @extend_schema(
        operation_id="exports_file",
        auth=[],
        parameters=[
            OpenApiParameter("link", required=True, description="The signature that a link has."),
            OpenApiParameter("Range", OpenApiTypes.STR, OpenApiParameter.HEADER, description="`bytes=1000-`: go on."),
            OpenApiParameter(
                "If-Range", OpenApiTypes.STR, OpenApiParameter.HEADER, description="An ETag: a part of this file alone."
            ),
        ],
        responses={
            **asking.files(200, "The file."),
            **asking.files(206, "The part that was asked for."),
            304: OpenApiResponse(description="The file is the one that `If-None-Match` names."),
            **problems(400, 403, 404, 410, 416, 503),
        },
    )
    def get(self, request: Request, export_id: str) -> HttpResponseBase:
        """Fetch the file, or a part of it: a download that broke off goes on with `Range` and `If-Range`."""
        job, slug = _fetched(request, export_id)
        asked = asking.read(asking.parameters(job.parameters, job.format, compress=job.compress))
        etag = f'"{job.sha256}"'
        headers = {
            "Accept-Ranges": "bytes",
            "ETag": etag,
            "Cache-Control": "private, no-store",
            "Content-Disposition": f'attachment; filename="{asked.file_name(slug, job.created_at)}"',
        }
        if etag in request.headers.get("If-None-Match", ""):
            return HttpResponse(status=status.HTTP_304_NOT_MODIFIED, headers=headers)
        part = part_of(request.headers.get("Range"), request.headers.get("If-Range"), etag, job.bytes)
        code: int = status.HTTP_200_OK
        if part is not None:
            code = status.HTTP_206_PARTIAL_CONTENT
            headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{job.bytes}"
        part = range(job.bytes) if part is None else part
        headers["Content-Length"] = str(len(part))
        if request.method == "HEAD":
            return HttpResponse(status=code, content_type=asked.media_type, headers=headers)
        return StreamingHttpResponse(
            Outgoing(_bytes(job, part)), status=code, content_type=asked.media_type, headers=headers
        )


def _fetched(request: Request, export_id: str) -> tuple[AuditExport, str]:
    """Return the export that a link is to, and whose it is. Raises BadLink, NotFound, FileGone, TenantSuspended."""
    caller: Caller = request._request.caller  # type: ignore[attr-defined]  # noqa: SLF001 - what the gate knows
    link = exports.read_link(parameters_of(request, "link").get("link", ""), export_id)
    tenant = gate.tenant(link.slug)
    if tenant is None or tenant.id != link.tenant_id or (caller.tenant and caller.tenant.id != tenant.id):
        raise NotFound
    if tenant.suspended:
        raise TenantSuspended
    with tenant_scope(tenant, actor=link.actor, origin=caller.origin):
        return exports.download(link), tenant.slug


def _bytes(job: AuditExport, part: range) -> Generator[bytes]:
    with exports.storage().open(job.file or "") as file:
        file.seek(part.start)
        left = len(part)
        while left and (chunk := file.read(min(left, _CHUNK))):
            left -= len(chunk)
            yield chunk


def link_to(request: Request, job: AuditExport) -> str:
    """Return the address of an export's file, for ten minutes."""
    link = QueryDict(mutable=True)
    link["link"] = exports.write_link(job)
    return f"{_base(request)}/api/v1/exports/{job.pk}/file?{link.urlencode()}"


def _base(request: Request) -> str:
    """Return where files are fetched without a key: the host that was asked or, if it is nobody's, the tenant's own."""
    name, tenant = host_name(request._request), current_scope().tenant  # noqa: SLF001
    if tenant is None or name in settings.PLATFORM_HOSTS or Domain.objects.filter(domain=name).exists():
        return str(request.build_absolute_uri("/")).rstrip("/")
    return base_of(tenant.id, host=request.get_host(), secure=request.is_secure())


def _shown(job: AuditExport) -> dict[str, Any]:
    return {
        "id": str(job.pk),
        "state": job.state,
        "format": job.format,
        "compress": asking.COMPRESSIONS[0] if job.compress else None,
        "filter": job.parameters,
        "entries": job.entries,
        "bytes": job.bytes,
        "sha256": job.sha256,
        "requested_by": {"type": job.actor_type, "id": job.actor_id, "label": job.actor_label},
        "created_at": rendered(job.created_at),
        "finished_at": job.finished_at and rendered(job.finished_at),
        "expires_at": job.expires_at and rendered(job.expires_at),
        "link": None,
        "link_expires_at": None,
    }


def _place(cursor: str | None) -> UUID | None:
    before = None if cursor is None else as_uuid(cursor)
    if cursor is not None and before is None:
        raise bad_parameter("cursor", "This is no place of this list. Begin without one.")
    return before


def _body(sent: Any) -> asking.Export:
    """Return what a body asks. Raises Unprocessable, whose faults point into it."""
    try:
        said = ExportInput.model_validate(sent)
    except ValidationError as error:
        raise Unprocessable("The export cannot be asked for so.", errors=wire.faults(error)) from error
    parameters = _parameters(said)
    try:
        return asking.read(parameters)
    except BadInput as error:
        raise Unprocessable(error.detail, errors=[_pointed(fault) for fault in error.errors]) from error


def _parameters(said: ExportInput) -> QueryDict:
    values: Mapping[str, str | list[str]] = said.filter
    lists = {name: [value] if isinstance(value, str) else value for name, value in values.items()}
    if clash := sorted({"format", "compress"} & lists.keys()):
        raise Unprocessable(
            "The form of the file is no part of the filter.",
            errors=[
                {"pointer": f"/filter/{name}", "code": "unknown_field", "detail": "Say it beside the filter."}
                for name in clash
            ],
        )
    parameters = asking.parameters(lists, said.format, compress=False)
    if said.compress is not None:
        parameters["compress"] = said.compress
    return parameters


def _pointed(fault: Fault) -> Fault:
    name = fault["parameter"]
    place = name if name in {"format", "compress"} else f"filter/{wire.escaped(name)}"
    return {"pointer": f"/{place}", "code": fault["code"], "detail": fault["detail"]}
