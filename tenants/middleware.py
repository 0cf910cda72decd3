"""From a request to a unit of work: `Gate` finds out who calls, `UnitOfWork` opens his scope around the view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import Resolver404, resolve
from django.utils.module_loading import import_string

from tenants.callers import Caller, caller_of, client_ip, decided_by_view, host_name
from tenants.context import ANONYMOUS, Origin, roll_back
from tenants.errors import DomainError

_MAX_PATH = 1000
Handler = Callable[[HttpRequest], HttpResponseBase]


def outside_unit(view: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a view that needs the gate (a sign-in), which is closed inside a unit of work.

    A view that opens units of its own for some requests has an attribute `outside_unit` that tells which.
    """
    view.outside_unit = True  # type: ignore[attr-defined]
    return view


def authenticates_itself(view: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a tenant's view, a function or a class, that finds out by itself who calls: by DRF's tokens, a JWT, ...

    It gets a unit of work of the tenant although nobody is known yet; who acts is read from `request.user` as soon
    as the view has set it (DRF does), and a bearer token that is none of Daybook's keys is left to it.
    """
    view.authenticates_itself = True  # type: ignore[attr-defined]
    return view


class Gate:
    """Sets `request.caller`, `request.user` and the URLs of the host; answers refusals itself."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Identify the caller, or answer the refusal."""
        if request.path_info.rstrip("/") in {"/healthz", "/readyz", "/metrics"}:
            return self.get_response(request)
        platform = host_name(request) in settings.PLATFORM_HOSTS
        urls = settings.ROOT_URLCONF if platform else settings.TENANT_URLCONF
        try:
            caller = caller_of(request, _origin(request), own=lambda: _is(request, "authenticates_itself", urls))
        except (DomainError, DatabaseError) as error:
            return _render(request, error)
        request.caller, request.user = caller, caller.user  # type: ignore[attr-defined]
        if caller.tenant and not platform:
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
        if caller is None or _is(request, "outside_unit"):
            return self._outside(request, caller)
        late = None
        if caller.tenant and _is(request, "authenticates_itself"):
            # Whatever a session says, who calls is for the view to say.
            caller, late = replace(caller, actor=ANONYMOUS), partial(decided_by_view, request, request.user)
        elif not caller.known:
            # An anonymous caller gets no scope: whatever such a view does, it sends no query.
            return self.get_response(request)
        try:
            with caller.scope(late) as scope:
                response = self.get_response(request)
                if not connections[scope.alias].needs_rollback:
                    # Asked here at the latest: a view may have answered, or refused, whom it knows without a query.
                    _ = scope.actor
                if response.status_code >= 400:  # noqa: PLR2004
                    roll_back()
            if response.status_code == 403:  # noqa: PLR2004
                _record_denial(request, replace(caller, actor=scope.known))
        except (DomainError, DatabaseError) as error:
            return _render(request, error)
        return response

    def _outside(self, request: HttpRequest, caller: Caller | None) -> HttpResponseBase:
        response = self.get_response(request)
        if response.status_code == 403 and caller and caller.tenant:  # noqa: PLR2004
            _record_denial(request, caller)
        return response


def _record_denial(request: HttpRequest, caller: Caller) -> None:
    if caller.known:
        # A path may hold what an entry cannot.
        path = request.path.replace("\x00", "")[:_MAX_PATH]
        caller.record_refusal("access.denied", f"{request.method} {path}")


def _origin(request: HttpRequest) -> Origin:
    place = request.path_info.partition("/")[2].partition("/")[0]
    source = place if place in {"admin", "api"} else "request"
    agent = request.headers.get("User-Agent", "").replace("\x00", "")[:1000] or None
    return Origin(ip=client_ip(request), user_agent=agent, request_id=getattr(request, "id", None), source=source)


def _is(request: HttpRequest, mark: str, urls: str | None = None) -> bool:
    """Tell whether the view of a request, a function or a class, carries a mark."""
    try:
        match = resolve(request.path_info, urls or getattr(request, "urlconf", None) or settings.ROOT_URLCONF)
    except Resolver404:
        return False
    made_of = getattr(match.func, "cls", None) or getattr(match.func, "view_class", None)
    marked = getattr(match.func, mark, False) or getattr(made_of, mark, False)
    return bool(marked(request) if callable(marked) else marked)


def _render(request: HttpRequest, error: Exception) -> HttpResponse:
    """Answer an error that happened outside any view; settings name the one renderer of errors."""
    response: HttpResponse = import_string(settings.PROBLEM_RENDERER)(request, error)
    return response
