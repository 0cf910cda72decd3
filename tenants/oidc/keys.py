"""The public keys of identity providers, learnt by discovery and kept in this process.

Whatever tokens say, an issuer is asked at most once a minute, and two issuers at a time: so many of this process's
threads wait for them at most. What was learnt holds for an hour, and for a day where the issuer cannot be reached
meanwhile.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import BoundedSemaphore, Lock

import structlog
from django.db import connections
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from tenants.errors import CannotServe
from tenants.oidc import fetching
from tenants.oidc.fetching import CannotFetch

log = structlog.get_logger("daybook.oidc")
FRESH, STALE, PAUSE = 3600.0, 86400.0, 60.0
_MAX_ISSUERS, _MAX_KEYS = 1000, 50
# Symmetric keys are none: with them whoever can verify can sign.
_TYPES = {"RSA", "EC", "OKP"}
# Seconds for which a request waits for an answer that another one asks for. It holds a thread, which others need.
_WAIT = 0.2
_AT_A_TIME = 2
_SOON = 5


class ProviderUnreachable(CannotServe):
    """This tenant's identity provider has not been reached, so its tokens cannot be checked. Try again later."""

    def __init__(self, *, wait: int = int(PAUSE)) -> None:
        super().__init__()
        self.headers = {"Retry-After": str(wait)}


@dataclass
class _Issuer:
    """What is known of an issuer: its keys, when they were learnt, when it was last asked (monotonic seconds)."""

    keys: list[PyJWK] = field(default_factory=list)
    learnt: float | None = None
    asked: float | None = None
    asking: Lock = field(default_factory=Lock)

    def age(self) -> float:
        """Return how old the keys are, in seconds."""
        return float("inf") if self.learnt is None else time.monotonic() - self.learnt

    def may_be_asked(self) -> bool:
        """Tell whether the last question is long enough ago."""
        return self.asked is None or time.monotonic() - self.asked >= PAUSE


_issuers: OrderedDict[str, _Issuer] = OrderedDict()
_table = Lock()
_fetches = BoundedSemaphore(_AT_A_TIME)


def key_for(issuer: str, key_id: str | None, algorithm: str) -> PyJWK | None:
    """Return an issuer's key of this id for this algorithm, or None. Raises ProviderUnreachable.

    A token that names no key has the only one there is. Works outside any unit of work.
    """
    known = _known(issuer)
    found = _find(known, key_id, algorithm)
    if (found is None or known.age() > FRESH) and known.may_be_asked():
        usable = found is not None and known.age() <= STALE
        answered = _learn(issuer, known, wait=0 if usable else _WAIT)
        found = _find(known, key_id, algorithm)
        if found is None and not answered:
            raise ProviderUnreachable(wait=_SOON)
    if known.age() > STALE:
        raise ProviderUnreachable
    return found


def forget() -> None:
    """Forget all issuers: for tests, and for a tenant that has said its provider anew."""
    with _table:
        _issuers.clear()


def _known(issuer: str) -> _Issuer:
    with _table:
        known = _issuers.setdefault(issuer, _Issuer())
        _issuers.move_to_end(issuer)
        if len(_issuers) > _MAX_ISSUERS:
            _issuers.popitem(last=False)
        return known


def _find(known: _Issuer, key_id: str | None, algorithm: str) -> PyJWK | None:
    fitting = [key for key in known.keys if key.algorithm_name == algorithm]
    if key_id is None:
        return fitting[0] if len(fitting) == 1 else None
    return next((key for key in fitting if key.key_id == key_id), None)


def _learn(issuer: str, known: _Issuer, *, wait: float) -> bool:
    """Ask the issuer, once for all who wait. Return whether it was; not, where others ask for longer than the wait."""
    with _holding(known.asking, wait) as mine:
        if not mine:
            return False
        if not known.may_be_asked():
            return True
        with _holding(_fetches, wait) as free:
            if free:
                _ask(issuer, known)
            return free


@contextmanager
def _holding(lock: Lock | BoundedSemaphore, wait: float) -> Iterator[bool]:
    """Hold a lock, if it is to be had within so many seconds; tell whether it was."""
    held = lock.acquire(timeout=wait)
    try:
        yield held
    finally:
        if held:
            lock.release()


def _ask(issuer: str, known: _Issuer) -> None:
    """Learn the issuer's keys. A failure leaves what was known."""
    # The gate's connection goes back to its pool: others need it while this request waits.
    connections.close_all()
    try:
        known.keys = _asked(issuer)
        known.learnt = time.monotonic()
    except CannotFetch as error:
        log.warning("identity_provider_unreachable", issuer=issuer, error=str(error))
    finally:
        # Only now: whoever comes meanwhile waits for the answer.
        known.asked = time.monotonic()


def _asked(issuer: str) -> list[PyJWK]:
    found = fetching.document(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if found.get("issuer") != issuer or not isinstance(found.get("jwks_uri"), str):
        raise CannotFetch(f"The discovery document of {issuer} is another's, or names no keys.")
    listed = fetching.document(found["jwks_uri"]).get("keys")
    if not isinstance(listed, list):
        raise CannotFetch(f"The key set of {issuer} has no keys.")
    return [key for key in map(_key, listed[:_MAX_KEYS]) if key]


def _key(said: object) -> PyJWK | None:
    """Return a public key to verify signatures with; None for what is no such key."""
    if not isinstance(said, dict) or said.get("kty") not in _TYPES or said.get("use", "sig") != "sig" or "d" in said:
        return None
    try:
        return PyJWK.from_dict(said)
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
