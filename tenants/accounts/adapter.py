"""What django-allauth asks of its host: addresses, sign-ins and passwords by the gate, mail after the commit."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.stagekit import clear_login
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from django.contrib.auth.hashers import make_password
from django.contrib.sites.shortcuts import get_current_site
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from tenants import gate, mail
from tenants.accounts import factors, notes
from tenants.callers import Caller, client_ip, may_enter
from tenants.models import User

_THROTTLED = "too_many_login_attempts"


class Accounts(DefaultAccountAdapter):  # type: ignore[misc]
    """People of one side of the walls, whom somebody invited: nobody signs up."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Refuse."""
        return False

    def is_ajax(self, request: HttpRequest) -> bool:
        """Answer pages alone."""
        return False

    def is_safe_url(self, url: str) -> bool:
        """Lead nobody to another host, not even another tenant's."""
        return url_has_allowed_host_and_scheme(url, {context.request.get_host()})

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the caller's address as the trail has it; the unspecified one where it is unknown."""
        return client_ip(request) or "::"

    def validation_error(self, code: str, *args: Any) -> ValidationError:
        """Return an error of a form; that somebody tried too often is noted."""
        if code == _THROTTLED:
            notes.throttled(context.request)
        error: ValidationError = super().validation_error(code, *args)
        return error

    def login(self, request: HttpRequest, user: User) -> None:
        """Begin the session of a person who may enter this side, as the gate knows him."""
        caller: Caller = request.caller  # type: ignore[attr-defined]
        person = gate.person(user_id=str(user.pk), tenant_id=caller.tenant.id if caller.tenant else None)
        if person is None or not may_enter(person, caller.tenant):
            clear_login(request)
            raise ImmediateHttpResponse(HttpResponseRedirect(reverse("account_login")))
        super().login(request, person)

    def set_password(self, user: User, password: str) -> None:
        """Set a person's password, which ends his other sessions."""
        user.password_hash = make_password(password)
        with connection.cursor() as cursor:
            cursor.execute("SELECT guard.change_password(%s, %s)", [user.pk, user.password_hash])

    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        """Make a confirmed address the person's. It may be somebody's of another side, which is not told."""
        try:
            with transaction.atomic():
                return bool(super().confirm_email(request, email_address))
        except IntegrityError:
            return False

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send a mail after the commit, without making the request wait for it."""
        request = self.request
        words = {"request": request, "email": email, "current_site": get_current_site(request), **context}
        mail.send_after_commit(self.render_mail(template_prefix, email, words))

    def send_password_reset_mail(self, user: User, email: str, context: dict[str, Any]) -> None:
        """Send the link, and note that it was asked for."""
        notes.change("user.password_reset_requested", user)
        super().send_password_reset_mail(user, email, context)

    def send_notification_mail(
        self, template_prefix: str, user: User, context: dict[str, Any] | None = None, email: str | None = None
    ) -> None:
        """Tell a person by mail what was changed; some of it is told after the commit, where nothing can be asked."""
        super().send_notification_mail(template_prefix, user, context, email or user.email)


class SecondFactors(DefaultMFAAdapter):  # type: ignore[misc]
    """Secrets of second factors are stored encrypted."""

    def encrypt(self, text: str) -> str:
        """Return what is stored of a secret."""
        return factors.sealed(text)

    def decrypt(self, encrypted_text: str) -> str:
        """Return the secret."""
        return factors.opened(encrypted_text)


class UserSessions(DefaultUserSessionsAdapter):  # type: ignore[misc]
    """A person's list of sessions."""

    def end_sessions(self, sessions: list[Any]) -> None:
        """End them, and note which they were."""
        ended = [{"ip": one.ip, "user_agent": one.user_agent, "since": one.created_at.isoformat()} for one in sessions]
        super().end_sessions(sessions)
        if ended:
            notes.change("user.sessions_revoked", context.request.user, {"sessions": {"old": ended}})
