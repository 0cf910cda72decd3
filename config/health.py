"""Liveness and readiness, on any host, for anyone."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse

from config.problems import render
from tenants import gate
from tenants.errors import CannotServe


def healthz(_request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> HttpResponse:
    """The database answers and has been migrated; 503 otherwise."""
    try:
        ready = gate.ready()
    except Exception as error:  # noqa: BLE001 - whatever it is, this process is not ready
        return render(request, error)
    return JsonResponse({"status": "ok"}) if ready else render(request, CannotServe("The database is not migrated."))
