"""What happens to accounts, as entries of the trail of the side where it happens.

A change is written in its own transaction. Sign-ins, and refused ones, change nothing that must agree with their
entry: they are written in a unit of the side's own right after (`sign_ins.after_unit`), before the session is begun.
"""

from __future__ import annotations

from typing import Any

from allauth.account import signals as account
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.mfa import signals as mfa
from allauth.mfa.models import Authenticator
from django.core.cache import cache
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.http import HttpRequest

from tenants import recording, sign_ins
from tenants.context import at_side
from tenants.models import User

_ONCE = 60


def change(action: str, user: Any, changes: dict[str, Any] | None = None) -> None:
    """Record, in the open unit of accounts, what was done to a person's account."""
    with at_side():
        recording.record(action, ("user", str(user.pk), user.email), changes=changes)


def throttled(request: HttpRequest) -> None:
    """Note that somebody tried to sign in too often: once a minute for each address and caller."""
    said = sign_ins.address_in({"email": request.POST.get("login", "")})
    caller: Any = request.caller  # type: ignore[attr-defined]
    if cache.add(f"throttled:{caller.origin.ip}:{said}", 1, timeout=_ONCE):
        sign_ins.after_unit(
            request, lambda: sign_ins.record_refused(caller, said, "denied", "There were too many attempts.")
        )


@receiver(account.password_changed)
def _password_changed(user: User, **_kwargs: object) -> None:
    change("user.password_changed", user)


@receiver(account.password_reset)
def _password_reset(user: User, **_kwargs: object) -> None:
    change("user.password_reset", user)


@receiver(account.email_added)
def _address_change_asked(user: User, email_address: EmailAddress, **_kwargs: object) -> None:
    change("user.email_change_requested", user, {"email": {"old": user.email, "new": email_address.email}})


@receiver(account.email_changed)
def _address_changed(user: User, from_email_address: EmailAddress | None, **kwargs: Any) -> None:
    old = from_email_address.email if from_email_address else None
    change("user.email_changed", user, {"email": {"old": old, "new": kwargs["to_email_address"].email}})


# Not allauth's own signals, which are sent after the commit.
@receiver(post_save, sender=Authenticator)
def _factor_added(instance: Authenticator, created: bool, **_kwargs: object) -> None:
    if created:
        change("user.second_factor_added", instance.user, {"type": {"new": instance.type}})


@receiver(post_delete, sender=Authenticator)
def _factor_removed(instance: Authenticator, **_kwargs: object) -> None:
    change("user.second_factor_removed", instance.user, {"type": {"old": instance.type}})


@receiver(mfa.authentication_failed)
def _wrong_code(user: User, **_kwargs: object) -> None:
    request = context.request
    caller: Any = request.caller
    sign_ins.after_unit(
        request, lambda: sign_ins.record_refused(caller, user.email, "failure", "The second factor was wrong.")
    )
