"""From a walk's page to the answer of a list: representation, links and signed cursors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils.encoding import escape_uri_path
from rest_framework.request import Request
from rest_framework.response import Response

from audit import catalogue, formats, query
from audit.api.filters import END, Asked, bad_cursor
from audit.api.representation import represent
from audit.entry import EntryQuerySet, as_uuid
from audit.integrity.positions import locate
from tenants.context import TenantLike
from tenants.errors import NotFound

MEDIA_TYPE = "application/vnd.daybook.{}+json"
PARTIAL = MEDIA_TYPE.format("partial")


def answer(
    request: Request,
    asked: Asked,
    entries: EntryQuerySet,
    tenant: TenantLike | None,
    *binding: object,
    tenant_of: Callable[[Any], TenantLike | None] | None = None,
) -> Response:
    """Answer the page of `entries` that a request asks for.

    They are of one `tenant` or, in the platform log, each of that which `tenant_of` says.
    The cursors hold for this tenant, filter and order, and for what else `binding` says of the list.
    Raises BadInput for a cursor of another list.
    """
    # The schema's name is another one where a trail was imported with its transactions numbered anew.
    whose = (tenant.id, tenant.schema_name) if tenant else None
    bound = (whose, asked.filter, asked.order, *binding)
    # Not joined: for the join PostgreSQL reads all that a resource or an actor has, and sorts it.
    entries = entries.prefetch_related("agent")
    page = query.page(entries, asked.filter, asked.order, _place(asked, entries, bound), asked.limit)

    def link(place: query.Place | None) -> str | None:
        if place is None:
            return None
        parameters = request.query_params.copy()
        parameters["cursor"] = query.write_cursor(place, *bound)
        return request.build_absolute_uri(f"{escape_uri_path(request.path)}?{parameters.urlencode()}")

    body = {
        "results": shown(
            [represent(entry, tenant_of(entry) if tenant_of else tenant) for entry in page.entries], asked
        ),
        "next": link(page.following),
        "previous": link(page.preceding),
        "next_cursor": query.write_cursor(page.resume, *bound),
        "oldest_kept": None,
        "cold": False,
    }
    return Response(body, content_type=media_type(asked))


def answer_one(asked: Asked, entries: EntryQuerySet, entry_id: str, tenant: TenantLike) -> Response:
    """Answer the one of a tenant's `entries` that has an id. Raises NotFound."""
    key = as_uuid(entry_id)
    entry = entries.select_related("agent").filter(pk=key).first() if key else None
    if entry is None:
        raise NotFound
    locate([entry])
    return Response(shown([represent(entry, tenant)], asked)[0], content_type=media_type(asked))


def _place(asked: Asked, entries: EntryQuerySet, bound: tuple[object, ...]) -> query.Place | None:
    if asked.cursor is None:
        return None
    if asked.cursor == END:
        return query.end(entries)
    try:
        return query.read_cursor(asked.cursor, *bound)
    except query.BadCursor as error:
        raise bad_cursor("This cursor was not made here for this filter and order. Begin without one.") from error


def shown(entries: list[dict[str, Any]], asked: Asked) -> list[dict[str, Any]]:
    """Return entries as the API shows them in the way that a request asks for: in words, some fields, a format."""
    if asked.language is not None:
        catalogue.tell(entries, asked.language)
    if asked.fields:
        return [{name: entry[name] for name in asked.fields if name in entry} for entry in entries]
    return [formats.render(asked.format, entry) for entry in entries]


def media_type(asked: Asked) -> str | None:
    """Return the Content-Type of what `shown` makes; None for whole entries in the API's own format."""
    if asked.fields:
        return PARTIAL
    return None if asked.format == formats.NAMES[0] else MEDIA_TYPE.format(asked.format)


def answers(whole: Any, other: Any) -> dict[Any, Any]:
    """Return the answers of an endpoint that shows entries as the OpenAPI document lists them."""
    types = [*(MEDIA_TYPE.format(name) for name in formats.NAMES[1:]), PARTIAL]
    return {200: whole, **{(200, name): other for name in types}}
