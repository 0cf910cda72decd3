"""The trail as a file that is streamed while it is read."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request

from audit import export
from audit.api import asking
from audit.api.outgoing import Outgoing
from audit.api.views import TrailView
from tenants.api.routes import problems
from tenants.roles import Right

EXPORTING = frozenset({Right.EXPORT})
FILE = asking.files(200, "The file, oldest entry first.")


class AsAsked(BaseContentNegotiation):
    """Answers in the form that the parameters say, whatever `Accept` says: it is a file that is asked for."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """Return the one parser that there is."""
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        """Return the renderer of refusals."""
        return renderers[0], renderers[0].media_type


class ExportView(TrailView):
    """The filtered trail as a file."""

    http_method_names = ("get",)
    rights: ClassVar[dict[str, frozenset[Right]]] = {"GET": EXPORTING}
    content_negotiation_class = AsAsked

    @extend_schema(
        operation_id="audit_logs_export",
        parameters=asking.DESCRIBED,
        responses={**FILE, **problems(400, 401, 403, 503)},
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Export the entries that a filter lets through, as a file; what comes meanwhile is not in it.

        That it was exported is an entry, which is written before the first byte goes out.
        """
        asked, tenant = asking.read(request.query_params), self.tenant()
        until = export.bound()
        export.record("trail.exported", asked.told())
        return answer(asked, export.reopened(), until, tenant.slug)


def answer(asked: asking.Export, unit: export.Unit, until: UUID, slug: str) -> StreamingHttpResponse:
    """Answer the file of the entries before an id; each page is read in a `unit` of its own. Raises TooManyFiles."""
    found = export.pages(unit, asked.filter, until)
    return StreamingHttpResponse(
        Outgoing(export.stream(asked.form, found, compress=asked.compress)),
        content_type=asked.media_type,
        headers={
            "Content-Disposition": f'attachment; filename="{asked.file_name(slug, timezone.now())}"',
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        },
    )
