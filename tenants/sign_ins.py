"""Sign-ins, refused ones and sign-outs: each is an entry, on the side of the walls where it happens."""

from __future__ import annotations

from collections.abc import Callable
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
    signed_in = person(user, tenant, request.caller.origin)  # type: ignore[attr-defined]
    after_unit(request, lambda: _record(signed_in, "user.signed_in", user))


@receiver(signals.user_logged_out)
def note_sign_out(request: HttpRequest, user: User | None, **_kwargs: object) -> None:
    """Note that somebody signed out."""
    caller: Caller | None = getattr(request, "caller", None)
    if user is not None and caller is not None and caller.known:
        after_unit(request, lambda: _record(caller, "user.signed_out", user))


@receiver(signals.user_login_failed)
def note_refused_sign_in(credentials: dict[str, Any], request: HttpRequest | None = None, **_kwargs: object) -> None:
    """Note that somebody tried to sign in, under which address, and which of this side's people has it.

    Of a person who does not belong here nothing is said, not even that he exists. What is no address is not kept: it
    may well be a password, typed into the wrong field.
    """
    caller: Caller | None = getattr(request, "caller", None)
    if request is None or caller is None:
        return
    after_unit(request, lambda: record_refused(caller, address_in(credentials), "failure"))


def record_refused(caller: Caller, address: str, outcome: str, reason: str = "") -> None:
    """Record, outside any unit of work, that a sign-in under an address was refused."""
    known = gate.person(email=address, tenant_id=caller.tenant.id if caller.tenant else None) if address else None
    key = str(known.pk) if known and may_enter(known, caller.tenant) else "unknown"
    with caller.scope():
        recording.record("user.sign_in_failed", ("user", key, address), outcome=outcome, description=reason)


def address_in(credentials: dict[str, Any]) -> str:
    """Return the address that somebody typed to sign in, or nothing where it is no address."""
    said = str(credentials.get("username") or credentials.get("email") or "")
    try:
        validate_email(said)
    except ValidationError:
        return ""
    return said


def after_unit(request: HttpRequest, note: Callable[[], None]) -> None:
    """Do something outside the unit of accounts that the request is in, right after it; without one, now."""
    waiting: list[Callable[[], None]] | None = getattr(request, "after_unit", None)
    if waiting is None:
        note()
    else:
        waiting.append(note)


def _record(caller: Caller, action: str, user: User) -> None:
    """Record in the open unit of work, or in one of its own: a sign-in happens outside any."""
    resource = ("user", str(user.pk), user.email)
    if scope_or_none():
        recording.record(action, resource)
        return
    with caller.scope():
        recording.record(action, resource)
