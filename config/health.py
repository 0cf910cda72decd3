"""Liveness, readiness and figures, for those who watch over the process: no caller, no tenant, no unit of work."""

from __future__ import annotations

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare

from config import metrics
from config.problems import render
from tenants import gate
from tenants.callers import host_name
from tenants.errors import CannotServe, DomainError, NotFound, NotSignedIn

# What proxies add to a request that they pass on, and X-Forwarded-*.
_PASSED_ON = {"forwarded", "via", "x-real-ip"}


class MetricsAreClosed(NotSignedIn):
    """Send the figures' own token: `Authorization: Bearer <METRICS_TOKEN>`.

    Where METRICS_TOKEN is not set they are for this machine alone, and for nobody behind a proxy.
    """


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


def metrics_text(request: HttpRequest) -> HttpResponse:
    """What Prometheus reads, on the platform's hosts: with METRICS_TOKEN, or from this machine where none is set."""
    try:
        _admit(request)
    except DomainError as error:
        return render(request, error)
    return HttpResponse(metrics.text(), content_type=metrics.CONTENT_TYPE)


def _admit(request: HttpRequest) -> None:
    """Let the watcher through. Raises NotFound on tenants' hosts, MetricsAreClosed."""
    if host_name(request) not in settings.PLATFORM_HOSTS:
        raise NotFound
    if settings.METRICS_TOKEN:
        sent = request.headers.get("Authorization", "")
        allowed = constant_time_compare(sent, f"Bearer {settings.METRICS_TOKEN}")
    else:
        allowed = _is_from_here(request)
    if not allowed:
        raise MetricsAreClosed


def _is_from_here(request: HttpRequest) -> bool:
    """Tell whether the caller is on this machine: what a proxy here passes on is from elsewhere.

    A proxy that says nothing of itself cannot be told from a caller, so whoever has one says TRUSTED_PROXIES, or
    sets a token.
    """
    if settings.TRUSTED_PROXIES or any(_is_of_a_proxy(name) for name in request.headers):
        return False
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "").partition("%")[0]).is_loopback
    except ValueError:
        return False


def _is_of_a_proxy(header: str) -> bool:
    return header.lower() in _PASSED_ON or header.lower().startswith("x-forwarded-")
