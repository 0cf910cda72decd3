"""Views that put what they are sent into SQL as it stands: what no view may do, so that the walls behind are tried."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.urls import path


def _run(statement: str, parameters: list[Any] | None = None) -> list[list[str]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows = cursor.fetchall() if cursor.description else []
    return [[str(value) for value in row] for row in rows]


def clause(request: HttpRequest) -> JsonResponse:
    """Search the trail; `q` goes into the middle of a WHERE clause, with a parameter behind it or without."""
    where = f"SELECT action, resource_id FROM audit_log WHERE resource_type = '{request.GET['q']}' AND action <> ''"
    if "limit" in request.GET:
        return JsonResponse({"rows": _run(f"{where} ORDER BY id LIMIT %s", [int(request.GET["limit"])])})
    return JsonResponse({"rows": _run(f"{where} ORDER BY id")})


def statement(request: HttpRequest) -> JsonResponse:
    """Run `q` as a whole statement, and `then` as another one after it, if there is one."""
    said = [request.GET["q"], *request.GET.getlist("then")]
    return JsonResponse({"rows": [row for text in said for row in _run(text)]})


urlpatterns = [path("clause", clause), path("statement", statement)]
handler400 = handler403 = handler404 = "config.problems.client_error"
handler500 = "config.problems.server_error"
