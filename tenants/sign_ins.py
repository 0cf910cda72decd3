"""Sign-ins, refused ones and sign-outs: each is an entry, on the side of the walls where it happens."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import signals
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.dispatch import receiver
from django.http import HttpRequest

from tenants import gate, recording
from tenants.callers import REALM_SESSION_KEY, SLUG_SESSION_KEY, Caller, may_enter, person, realm_of
from tenants.context import scope_or_none
from tenants.models import User


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
    """Note that somebody tried to sign in, under which address, and which of this side's people has it.

    Of a person who does not belong here nothing is said, not even that he exists. What is no address is not kept: it
    may well be a password, typed into the wrong field.
    """
    caller: Caller | None = getattr(request, "caller", None)
    if caller is None:
        return
    address = _address(credentials)
    known = gate.person(email=address, tenant_id=caller.tenant.id if caller.tenant else None) if address else None
    key = str(known.pk) if known and may_enter(known, caller.tenant) else "unknown"
    with caller.scope():
        recording.record("user.sign_in_failed", ("user", key, address), outcome="failure")


def _address(credentials: dict[str, Any]) -> str:
    said = str(credentials.get("username") or credentials.get("email") or "")
    try:
        validate_email(said)
    except ValidationError:
        return ""
    return said


def _record(caller: Caller, action: str, user: User) -> None:
    """Record in the open unit of work, or in one of its own: a sign-in happens outside any."""
    resource = ("user", str(user.pk), user.email)
    if scope_or_none():
        recording.record(action, resource)
        return
    with caller.scope():
        recording.record(action, resource)
