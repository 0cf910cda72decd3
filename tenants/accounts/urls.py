"""The pages of accounts: django-allauth's own, but for signing up, and each in a unit of work of accounts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from allauth.account.urls import urlpatterns as account
from allauth.mfa.urls import urlpatterns as mfa
from allauth.usersessions.urls import urlpatterns as sessions
from django.urls import URLPattern, URLResolver, include, path

from tenants.accounts.invitation import accept
from tenants.middleware import in_accounts

_LEFT_OUT = {"account_signup"}


def _kept(patterns: Iterable[URLPattern | URLResolver]) -> Iterator[Any]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield path(str(pattern.pattern), include([*_kept(pattern.url_patterns)]))
        elif pattern.name not in _LEFT_OUT:
            in_accounts(pattern.callback)
            yield pattern


urlpatterns = [
    *_kept(account),
    path("invitation/<str:token>", accept, name="account_invitation"),
    path("2fa/", include([*_kept(mfa)])),
    path("sessions/", include([*_kept(sessions)])),
]
