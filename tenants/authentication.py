"""Authentication: people by e-mail and password (Django), callers that the gate has identified (DRF)."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import signals
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.models import AnonymousUser, update_last_login
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from tenants import gate
from tenants import sign_ins as sign_ins  # noqa: PLC0414 - its receivers hear of what happens here
from tenants.callers import Caller, may_enter
from tenants.models import User

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

    def get_user(self, user_id: str) -> User | None:
        """Return whose session it is, for the list of a person's sessions. Requests ask the gate by themselves."""
        return gate.person(user_id=user_id)


class CallerAuthentication(BaseAuthentication):
    """DRF's view of the gate's answer. A session must also carry a CSRF token, as a key need not."""

    def authenticate(self, request: Request) -> tuple[User | AnonymousUser, Caller] | None:
        """Return (user, caller) or None for an anonymous caller."""
        caller: Caller = request._request.caller  # type: ignore[attr-defined]  # noqa: SLF001
        if not caller.known:
            return None
        if caller.by_session:
            # Django's own request: DRF's would parse the body to look for a form's token.
            SessionAuthentication().enforce_csrf(request._request)  # type: ignore[arg-type]  # noqa: SLF001
        return caller.user, caller

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401."""
        return 'Bearer realm="daybook"'
