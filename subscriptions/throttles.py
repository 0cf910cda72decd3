"""How many requests a caller and a tenant may make in a minute, by the tenant's plan; and how many with a bad key.

`RateLimit` stands between the gate and the unit of work, so what is refused costs no unit, and what is counted does
not go away with one that rolls back. Each process counts by itself, and tells the others by the database: seldom while
much is left, more often the less is left, so that together they let through hardly more than is allowed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_network
from threading import Lock
from time import time
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponseBase
from django.utils.module_loading import import_string

from subscriptions.models import REQUESTS_PER_MINUTE_OF_ONE, TENANT_REQUESTS_PER_MINUTE
from tenants import gate
from tenants.callers import Caller, client_ip
from tenants.context import gate_scope
from tenants.errors import DomainError, RateLimited

WINDOW = 60
BAD_KEYS_PER_MINUTE = 100
# A process tells what it has let through once that is a twentieth of what is left, and every few seconds.
_SHARE = 20
_SILENT = 5.0
_MOST = 10_000
_IPV6_SITE = 64
_NO_LIMIT = 2**62
_SPEND = "SELECT * FROM gate.spend(%s, %s, %s, %s, %s)"
Handler = Callable[[HttpRequest], HttpResponseBase]


@dataclass(slots=True)
class Count:
    """What one subject, a tenant or one who calls for it, has used of a minute.

    `known` is what all processes had told when this one last did, itself included; `own` what it has not told since.
    """

    name: str
    minute: int = 0
    known: int = 0
    own: int = 0
    allowed: int | None = None
    told_at: float = 0.0

    @property
    def left(self) -> int:
        """How many requests are left in the minute, as far as this process knows."""
        return max(0, (self.allowed or 0) - self.known - self.own)

    def begin(self, minute: int) -> None:
        """Begin with nought where a new minute has begun."""
        if minute != self.minute:
            self.minute, self.known, self.own, self.allowed = minute, 0, 0, None

    def must_tell(self, now: float) -> bool:
        """Whether what this process has not told would matter to the others."""
        return self.allowed is None or self.own * _SHARE >= self.left or now - self.told_at >= _SILENT

    def told(self, minute: int, used: int, allowed: int | None, now: float) -> None:
        """Take over what all processes have used together of a minute, and what the plan allows."""
        if minute == self.minute:
            self.known, self.told_at = max(self.known, used), now
            self.allowed = _NO_LIMIT if allowed is None else allowed


@dataclass(slots=True)
class Counter:
    """The counts of this process."""

    counts: dict[tuple[str, UUID], Count] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def spend(self, tenant: UUID | None, caller: UUID, now: float) -> list[Count]:
        """Count one request of a caller for a tenant (None: the platform); return both counts, the caller's first.

        Raises RateLimited where one of them has nothing left.
        """
        minute = int(now // WINDOW)
        with self.lock:
            mine = self._of(tenant, caller)
            for count in mine:
                count.begin(minute)
                if count.allowed is not None and not count.left:
                    raise _refusal(count, now)
            for count in mine:
                count.own += 1
            telling = any(count.must_tell(now) for count in mine)
            spent = self._hand_over(mine) if telling else []
        if telling:
            self._tell(tenant, caller, mine, spent, now)
        return mine

    def _of(self, tenant: UUID | None, caller: UUID) -> list[Count]:
        if len(self.counts) >= _MOST:
            self.counts.clear()
        subjects = [("caller", caller), *([("tenant", tenant)] if tenant else [])]
        return [self.counts.setdefault(subject, Count(subject[0])) for subject in subjects]

    @staticmethod
    def _hand_over(mine: list[Count]) -> list[int]:
        """Take what is to be told out of the counts, so that no other thread tells it as well."""
        spent = [count.own for count in mine]
        for count in mine:
            count.known, count.own = count.known + count.own, 0
        return spent

    def _tell(self, tenant: UUID | None, caller: UUID, mine: list[Count], spent: list[int], now: float) -> None:
        defaults = [TENANT_REQUESTS_PER_MINUTE, REQUESTS_PER_MINUTE_OF_ONE]
        amounts, minute = [spent[1] if tenant else 0, spent[0]], int(now // WINDOW)
        with gate_scope(), connection.cursor() as cursor:
            cursor.execute(_SPEND, [tenant, caller, minute, amounts, defaults])
            tenant_used, caller_used, tenant_allowed, caller_allowed = cursor.fetchone()
        told = ((caller_used, caller_allowed), (tenant_used, tenant_allowed))
        with self.lock:
            for count, (used, allowed) in zip(mine, told, strict=False):
                count.told(minute, used, allowed, now)
        for count, (used, allowed) in zip(mine, told, strict=False):
            # This request is the last of those that were told just now.
            if allowed is not None and used > allowed:
                raise _refusal(count, now)


def _wait(now: float) -> int:
    """Return how many seconds are left of the minute, rounded up."""
    return WINDOW - int(now % WINDOW)


def _refusal(count: Count, now: float) -> RateLimited:
    whose = "this key or person" if count.name == "caller" else "this tenant"
    return RateLimited(
        f"The plan allows {count.allowed} requests a minute of {whose}. Wait for as long as Retry-After says.",
        wait=_wait(now),
    )


counter = Counter()


class RateLimit:
    """Refuses the requests of known callers that are more than the plan allows; tells in each answer what is left."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Count, and answer; pages for people (`/admin`) are not counted."""
        caller: Caller | None = getattr(request, "caller", None)
        if caller is None or not caller.known or request.path_info.startswith("/admin"):
            return self.get_response(request)
        now = time()
        tenant, subject = caller.tenant.id if caller.tenant else None, subject_of(caller)
        try:
            counter.spend(tenant, subject, now)
        except (DomainError, DatabaseError) as error:
            response: HttpResponseBase = _render(request, error)
        else:
            response = self.get_response(request)
        for name, value in headers(tenant, subject, now).items():
            response[name] = value
        return response


def subject_of(caller: Caller) -> UUID:
    """Return by what a caller is counted: who he is in this tenant."""
    said = f"{caller.tenant and caller.tenant.id} {caller.actor.type} {caller.actor.id}"
    return UUID(bytes=hashlib.blake2b(said.encode(), digest_size=16).digest())


def headers(tenant: UUID | None, subject: UUID, now: float) -> dict[str, str]:
    """Return what an answer says of the limits: the fields of draft-ietf-httpapi-ratelimit-headers."""
    found = (counter.counts.get(("caller", subject)), counter.counts.get(("tenant", tenant)) if tenant else None)
    limited = [count for count in found if count and count.allowed not in {None, _NO_LIMIT}]
    if not limited:
        return {}
    return {
        "RateLimit-Policy": ", ".join(f'"{count.name}";q={count.allowed};w={WINDOW}' for count in limited),
        "RateLimit": ", ".join(f'"{count.name}";r={count.left};t={_wait(now)}' for count in limited),
    }


class BadKeys:
    """Refuses who has sent too many bad keys from one address, before the database is asked about another.

    A key that was good a while ago is let through: others behind the same address are not to blame.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer, and note whether the key was good."""
        sent = request.headers.get("Authorization", "")
        if not sent:
            return self.get_response(request)
        key, place, minute = gate.digest(sent), _site(client_ip(request)), int(time() // WINDOW)
        if key not in _good and _bad.get(place, (0, 0)) >= (minute, BAD_KEYS_PER_MINUTE):
            error = RateLimited("Too many keys that are not good came from this address.", wait=_wait(time()))
            return _render(request, error)
        response = self.get_response(request)
        if getattr(request, "caller", None) is not None and request.caller.known:  # type: ignore[attr-defined]
            _remember_good(key, minute)
        elif response.status_code == 401:  # noqa: PLR2004
            _good.pop(key, None)
            _remember_bad(place, minute)
        return response


# What this process has seen: keys that were good, by their digest, and how many bad ones came from an address.
_good: dict[bytes, int] = {}
_bad: dict[str, tuple[int, int]] = {}


def _remember_good(key: bytes, minute: int) -> None:
    if len(_good) >= _MOST:
        _good.clear()
    _good[key] = minute


def _remember_bad(place: str, minute: int) -> None:
    if len(_bad) >= _MOST:
        _bad.clear()
    then, count = _bad.get(place, (minute, 0))
    _bad[place] = (minute, count + 1 if then == minute else 1)


def _site(address: str | None) -> str:
    """Return an address as one who sends from it is known: of IPv6 the network, since a site has many of them."""
    if address is None or ":" not in address:
        return address or ""
    return str(ip_network(f"{address}/{_IPV6_SITE}", strict=False))


def forget() -> None:
    """Forget what this process has counted and seen."""
    counter.counts.clear()
    _good.clear()
    _bad.clear()


def _render(request: HttpRequest, error: Exception) -> HttpResponseBase:
    response: HttpResponseBase = import_string(settings.PROBLEM_RENDERER)(request, error)
    return response
