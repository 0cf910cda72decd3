"""Views that tests put under the real middleware: they write, and then end in every way a view can end."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import structlog
from asgiref.sync import sync_to_async
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audit.entry import EntryQuerySet
from audit.models import AuditLog
from tenants.context import SYSTEM, current_scope, tenant_scope
from tenants.errors import BadInput
from tenants.middleware import outside_unit
from tenants.roles import Right

THING = "thing"


def write(action: str = "tried", name: str = "1") -> None:
    """Write an entry about a thing."""
    AuditLog.log_action(None, action, THING, name)


def things() -> EntryQuerySet:
    """Return the open scope's entries about things."""
    found: EntryQuerySet = AuditLog.objects.filter(resource_type=THING)
    return found


def labels() -> list[str]:
    """Return the names of the things in the open scope's trail."""
    return list(things().values_list("resource_id", flat=True))


def read(tenant: Any) -> list[str]:
    """Return the names of the things in a tenant's trail, read in a unit of work of its own."""
    with tenant_scope(tenant, actor=SYSTEM):
        return labels()


def answer(request: HttpRequest, status: int) -> HttpResponse:
    """Write, and answer with a status."""
    write()
    return HttpResponse(status=status)


def fail(request: HttpRequest, name: str) -> HttpResponse:
    """Write, and end in an exception."""
    write()
    errors: dict[str, Exception] = {
        "value": ValueError("broken"), "404": Http404(), "403": PermissionDenied(), "domain": BadInput("no"),
    }  # fmt: skip
    if name == "database":
        with connection.cursor() as cursor:
            cursor.execute("SELECT nothing")
    raise errors[name]


def on_commit(request: HttpRequest) -> HttpResponse:
    """Write, and write again after the commit, which must fail: there is no unit any more."""
    write()
    transaction.on_commit(write, robust=True)
    return HttpResponse()


class Rest(APIView):
    """A DRF view that writes and then finds a fault."""

    rights = {"GET": frozenset({Right.READ_TRAIL})}

    def get(self, request: Request) -> Response:
        write()
        raise ValidationError({"name": ["wrong"]})


@outside_unit
def outside(request: HttpRequest) -> HttpResponse:
    """Try to write outside the unit of work."""
    write()
    return HttpResponse()


async def slow(request: HttpRequest) -> JsonResponse:
    """Read the trail twice with a pause, by Django's own async calls and in a task of its own."""
    first = [entry.resource_id async for entry in things()]
    await asyncio.sleep(0.02)
    second, count = await asyncio.gather(sync_to_async(labels)(), things().acount())
    tenant: Any = current_scope().tenant
    return JsonResponse({"tenant": tenant.slug, "first": first, "second": second, "count": count})


def logged(request: HttpRequest) -> HttpResponse:
    """Log by both ways of logging, with a pause in which other requests come."""
    for word in ("before", "after"):
        structlog.get_logger("view").warning(word)
        logging.getLogger("some.library").warning("%s in a library", word)
        labels()
        time.sleep(0.01)
    return HttpResponse()


urlpatterns = [
    path("answer/<int:status>", answer),
    path("fail/<str:name>", fail),
    path("on-commit", on_commit),
    path("rest", Rest.as_view()),
    path("outside", outside),
    path("slow", slow),
    path("logged", logged),
]
handler400 = handler403 = handler404 = "config.problems.client_error"
handler500 = "config.problems.server_error"
