"""Secrets of second factors as they are stored: encrypted by a key made of SECRET_KEY; former ones still open them.

Whoever uses a second factor has his secrets encrypted anew by the key of now, so that a former one can be dropped.
"""

from __future__ import annotations

from base64 import b32encode, urlsafe_b64encode
from contextlib import suppress
from hashlib import sha256
from secrets import token_bytes
from typing import Any

import structlog
from allauth.mfa import signals
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.dispatch import receiver

from tenants.models import User

log = structlog.get_logger("daybook.accounts")
_NAMES = ("secret", "seed")
_RANDOM = 20


def sealed(secret: str) -> str:
    """Return what is stored of a secret."""
    return _keys()[0].encrypt(secret.encode()).decode()


def opened(stored: str) -> str:
    """Return a secret. For one that no key opens any more it is a random one, which no code of anybody fits."""
    try:
        return MultiFernet(_keys()).decrypt(stored.encode()).decode()
    except InvalidToken:
        log.error("second_factor_unreadable", hint="docs/operations.md, Rotate keys and passwords")  # noqa: TRY400
        return b32encode(token_bytes(_RANDOM)).decode()


@receiver(signals.authenticator_used)
def _renew(user: User, **_kwargs: object) -> None:
    """Encrypt anew what a former key has encrypted: of all factors of a person who has just used one."""
    for factor in Authenticator.objects.filter(user_id=user.pk).select_for_update():
        kept: dict[str, Any] = factor.data
        renewed = {**kept, **{name: _renewed(kept[name]) for name in _NAMES if name in kept}}
        if renewed != kept:
            factor.data = renewed
            factor.save(update_fields=["data"])


def _renewed(stored: str) -> str:
    """Return what is stored of a secret, by the key of now; what it opens, and what none opens, as it is."""
    current, *former = _keys()
    for key in former:
        with suppress(InvalidToken):
            return current.encrypt(key.decrypt(stored.encode())).decode()
    return stored


def _keys() -> list[Fernet]:
    """Return the key of now, then the former ones."""
    said = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return [Fernet(urlsafe_b64encode(sha256(b"daybook.mfa" + key.encode()).digest())) for key in said]
