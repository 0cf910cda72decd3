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
from tenants.context import ANONYMOUS, Origin, account_scope, roll_back
from tenants.errors import DomainError, NotAllowed

_MAX_PATH = 1000
_MARKS = ("outside_unit", "authenticates_itself", "in_accounts")
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


def in_accounts(view: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a page of accounts: it gets a unit of work of its own realm, and serves people alone, signed in or not."""
    view.in_accounts = True  # type: ignore[attr-defined]
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
            caller = caller_of(request, _origin(request), own=lambda: "authenticates_itself" in _marks(request, urls))
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
        marks = _marks(request)
        if caller is None or "outside_unit" in marks:
            return self._outside(request, caller)
        try:
            if "in_accounts" in marks:
                return self._in_accounts(request, caller)
            return self._in_scope(request, caller, own="authenticates_itself" in marks)
        except (DomainError, DatabaseError) as error:
            return _render(request, error)

    def _in_scope(self, request: HttpRequest, caller: Caller, *, own: bool) -> HttpResponseBase:
        late = None
        if caller.tenant and own:
            # Whatever a session says, who calls is for the view to say.
            caller, late = replace(caller, actor=ANONYMOUS), partial(decided_by_view, request, request.user)
        elif not caller.known:
            # An anonymous caller gets no scope: whatever such a view does, it sends no query.
            return self.get_response(request)
        with caller.scope(late) as scope:
            response = self.get_response(request)
            if not connections[scope.alias].needs_rollback:
                # Asked here at the latest: a view may have answered, or refused, whom it knows without a query.
                _ = scope.actor
            if response.status_code >= 400:  # noqa: PLR2004
                roll_back()
        if response.status_code == 403:  # noqa: PLR2004
            _record_denial(request, replace(caller, actor=scope.known))
        return response

    def _in_accounts(self, request: HttpRequest, caller: Caller) -> HttpResponseBase:
        """Answer a page of accounts. What it notes of attempts is kept with any answer that it means to give."""
        notes: list[Callable[[], None]] = []
        request.after_unit = notes  # type: ignore[attr-defined]
        if caller.known and not caller.by_session:
            _record_denial(request, caller)
            raise NotAllowed("These pages are for people, who sign in by themselves. Send no key here.")
        with account_scope(caller.tenant, actor=caller.actor, origin=caller.origin):
            response = self.get_response(request)
            if response.status_code >= 500:  # noqa: PLR2004
                roll_back()
        for note in notes:
            note()
        if response.status_code == 403:  # noqa: PLR2004
            _record_denial(request, caller)
        return response

    def _outside(self, request: HttpRequest, caller: Caller | None) -> HttpResponseBase:
        response = self.get_response(request)
        if response.status_code == 403 and caller:  # noqa: PLR2004
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


def _marks(request: HttpRequest, urls: str | None = None) -> set[str]:
    """Return the marks that the view of a request, a function or a class, carries."""
    try:
        match = resolve(request.path_info, urls or getattr(request, "urlconf", None) or settings.ROOT_URLCONF)
    except Resolver404:
        return set()
    made_of = getattr(match.func, "cls", None) or getattr(match.func, "view_class", None)
    found = {mark: getattr(match.func, mark, False) or getattr(made_of, mark, False) for mark in _MARKS}
    return {mark for mark, value in found.items() if (value(request) if callable(value) else value)}


def _render(request: HttpRequest, error: Exception) -> HttpResponse:
    """Answer an error that happened outside any view; settings name the one renderer of errors."""
    response: HttpResponse = import_string(settings.PROBLEM_RENDERER)(request, error)
    return response
