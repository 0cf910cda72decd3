"""From a request to a unit of work: `Gate` finds out who calls, `UnitOfWork` opens his scope around the view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import Resolver404, resolve
from django.utils.module_loading import import_string

from tenants.callers import Caller, caller_of, client_ip, host_name
from tenants.context import Origin, roll_back
from tenants.errors import DomainError

_MAX_PATH = 1000
Handler = Callable[[HttpRequest], HttpResponseBase]


def outside_unit(view: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a view that needs the gate (a sign-in), which is closed inside a unit of work."""
    view.outside_unit = True  # type: ignore[attr-defined]
    return view


class Gate:
    """Sets `request.caller`, `request.user` and the URLs of the host; answers refusals itself."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Identify the caller, or answer the refusal."""
        if request.path_info.rstrip("/") in {"/healthz", "/readyz", "/metrics"}:
            return self.get_response(request)
        try:
            caller = caller_of(request, _origin(request))
        except (DomainError, DatabaseError) as error:
            return _render(request, error)
        request.caller, request.user = caller, caller.user  # type: ignore[attr-defined]
        if caller.tenant and host_name(request) not in settings.PLATFORM_HOSTS:
            request.urlconf = settings.TENANT_URLCONF
        response = self.get_response(request)
        request.session.end_noted()  # type: ignore[attr-defined]
        return response


class UnitOfWork:
    """One transaction around the view. An answer of 400 or more rolls it back; then a denial is recorded."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer within the caller's scope."""
        caller: Caller | None = getattr(request, "caller", None)
        # An anonymous caller gets no scope: whatever such a view does, it sends no query.
        if caller is None or not caller.known or _is_outside_unit(request):
            return self.get_response(request)
        try:
            with caller.scope():
                response = self.get_response(request)
                if response.status_code >= 400:  # noqa: PLR2004
                    roll_back()
            if response.status_code == 403:  # noqa: PLR2004
                # A path may hold what an entry cannot.
                path = request.path.replace("\x00", "")[:_MAX_PATH]
                caller.record_refusal("access.denied", f"{request.method} {path}")
        except DatabaseError as error:
            return _render(request, error)
        return response


def _origin(request: HttpRequest) -> Origin:
    source = "admin" if request.path_info.startswith("/admin") else "api"
    agent = request.headers.get("User-Agent", "").replace("\x00", "")[:1000] or None
    return Origin(ip=client_ip(request), user_agent=agent, request_id=getattr(request, "id", None), source=source)


def _is_outside_unit(request: HttpRequest) -> bool:
    try:
        match = resolve(request.path_info, getattr(request, "urlconf", None) or settings.ROOT_URLCONF)
    except Resolver404:
        return False
    return getattr(match.func, "outside_unit", False)


def _render(request: HttpRequest, error: Exception) -> HttpResponse:
    """Answer an error that happened outside any view; settings name the one renderer of errors."""
    response: HttpResponse = import_string(settings.PROBLEM_RENDERER)(request, error)
    return response
