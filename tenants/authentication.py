"""Authentication: people by e-mail and password (Django), callers that the gate has identified (DRF)."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import signals
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.models import AnonymousUser, update_last_login
from django.dispatch import receiver
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from tenants import gate, recording
from tenants.callers import REALM_SESSION_KEY, SLUG_SESSION_KEY, Caller, may_enter, person, realm_of
from tenants.context import scope_or_none
from tenants.models import User

MAX_LABEL = 255

# Django would update a `last_login` of the user, whom no role but the gate's may write.
signals.user_logged_in.disconnect(update_last_login, dispatch_uid="update_last_login")


class GateBackend(BaseBackend):
    """Signs people in on the host they are on: current members on a tenant's, staff on the platform's."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> User | None:
        """Return the person, or None; it takes as long for an unknown address as for a wrong password."""
        email, password = credentials.get("username") or credentials.get("email"), credentials.get("password")
        caller: Caller | None = getattr(request, "caller", None)
        if not email or not password or caller is None:
            return None
        user = gate.person(email=email, tenant_id=caller.tenant.id if caller.tenant else None)
        if user is None or not user.password_hash:
            make_password(password)
            return None
        if not check_password(password, user.password_hash) or not may_enter(user, caller.tenant):
            return None
        return user


@receiver(signals.user_logged_in)
def note_sign_in(request: HttpRequest, user: User, **_kwargs: object) -> None:
    """Bind the session to this side of the walls, and note the sign-in."""
    tenant = request.caller.tenant  # type: ignore[attr-defined]
    request.session[REALM_SESSION_KEY] = realm_of(tenant)
    request.session[SLUG_SESSION_KEY] = tenant.slug if tenant else ""
    gate.signed_in(user)
    _record(person(user, tenant, request.caller.origin), "user.signed_in", user)  # type: ignore[attr-defined]


@receiver(signals.user_logged_out)
def note_sign_out(request: HttpRequest, user: User | None, **_kwargs: object) -> None:
    """Note that somebody signed out."""
    caller: Caller | None = getattr(request, "caller", None)
    if user is not None and caller is not None and caller.known:
        _record(caller, "user.signed_out", user)


@receiver(signals.user_login_failed)
def note_refused_sign_in(credentials: dict[str, Any], request: HttpRequest | None = None, **_kwargs: object) -> None:
    """Note that somebody tried to sign in, under which address, and whether that is anybody's."""
    caller: Caller | None = getattr(request, "caller", None)
    if caller is None:
        return
    said = str(credentials.get("username") or credentials.get("email") or "")
    # Whatever was typed: cut to a label, and without what a text cannot hold.
    label = said.encode("utf-8", "replace").decode().replace("\x00", "")[:MAX_LABEL]
    known = gate.person(email=label)
    with caller.scope():
        resource = ("user", str(known.pk) if known else "unknown", label)
        recording.record("user.sign_in_failed", resource, outcome="failure")


def _record(caller: Caller, action: str, user: User) -> None:
    """Record in the open unit of work, or in one of its own: a sign-in happens outside any."""
    resource = ("user", str(user.pk), user.email)
    if scope_or_none():
        recording.record(action, resource)
        return
    with caller.scope():
        recording.record(action, resource)


class CallerAuthentication(BaseAuthentication):
    """DRF's view of the gate's answer. A session must also carry a CSRF token, as a key need not."""

    def authenticate(self, request: Request) -> tuple[User | AnonymousUser, Caller] | None:
        """Return (user, caller) or None for an anonymous caller."""
        caller: Caller = request._request.caller  # type: ignore[attr-defined]  # noqa: SLF001
        if not caller.known:
            return None
        if caller.by_session:
            SessionAuthentication().enforce_csrf(request)
        return caller.user, caller

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401."""
        return 'Bearer realm="daybook"'
