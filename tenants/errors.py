"""The one tree of errors. The docstring is the message, class attributes are the code and the HTTP status.

`config.problems` renders them, and nothing else does. An error about input lists what is wrong in `errors`:
`{"pointer": "/events/3/actor/id", "code": "...", "detail": "..."}`.
"""

from __future__ import annotations

import re
from typing import Any, TypedDict


class Fault(TypedDict, total=False):
    """One thing that is wrong in the input: where (a JSON pointer or a parameter), its code, its rule."""

    pointer: str
    parameter: str
    code: str
    detail: str


class DomainError(Exception):
    """Something is wrong."""

    status = 500
    headers: dict[str, str] = {}

    def __init__(self, detail: str = "", *, errors: list[Fault] | None = None) -> None:
        self.detail = detail or " ".join((self.__doc__ or "").split())
        self.errors = errors or []
        # What the answer says besides (extension members of RFC 9457).
        self.members: dict[str, Any] = {}
        super().__init__(self.detail)

    @property
    def code(self) -> str:
        """The name of the error as programs see it: NoSuchEntry is `no_such_entry`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()


class NoScope(DomainError):
    """No tenant and no platform scope is open here, so the query was not sent.

    Open one first: `with tenant_scope(tenant, actor=...)`.
    """


class ScopeConflict(DomainError):
    """This scope may not be opened inside the one that is open.

    A tenant's unit of work enters nothing; a platform's may enter one tenant.
    """


class Refused(DomainError):
    """The caller may not do this."""

    status = 403


class NotSignedIn(Refused):
    """Sign in, or send a key: `Authorization: Bearer <key>`."""

    status = 401
    headers = {"WWW-Authenticate": 'Bearer realm="daybook"'}


class BadKey(NotSignedIn):
    """This key is not known, was revoked or has expired.

    Issue a new one and send it as `Authorization: Bearer <key>`.
    """


class ForeignKeyHost(Refused):
    """This key belongs to another tenant than the host does. Use the key on its own tenant's host."""


class TenantSuspended(Refused):
    """This tenant is suspended. Ask the platform's staff to resume it."""


class NotAllowed(Refused):
    """Your role or your key's scopes do not allow this."""


class UnknownHost(DomainError):
    """No tenant and no platform is served under this host name."""

    status = 404


class NotFound(DomainError):
    """There is nothing here under this id."""

    status = 404


class BadInput(DomainError):
    """The input breaks a rule; `errors` says where and which."""

    status = 400


def parameter_fault(name: str, detail: str, code: str = "bad_value") -> Fault:
    """Return what is wrong with a parameter or a header."""
    return {"parameter": name, "code": code, "detail": detail}


def bad_parameters(faults: list[Fault]) -> BadInput:
    """Return the refusal of parameters that have these faults; the first is the message."""
    return BadInput(f"{faults[0]['parameter']}: {faults[0]['detail']}", errors=faults)


def bad_parameter(name: str, detail: str, code: str = "bad_value") -> BadInput:
    """Return the refusal of one parameter or header."""
    return bad_parameters([parameter_fault(name, detail, code)])


class Unprocessable(BadInput):
    """No event was accepted; `errors` says why."""

    status = 422


class TooLarge(BadInput):
    """The input is larger than the limit."""

    status = 413


class Conflict(DomainError):
    """The state of the resource does not allow this."""

    status = 409


class RateLimited(DomainError):
    """Too many requests in this minute. Wait for as long as `Retry-After` says."""

    status = 429

    def __init__(self, detail: str = "", *, wait: int) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": str(wait)}


class CannotServe(DomainError):
    """The database cannot be reached or took too long. Try again in a few seconds."""

    status = 503
    headers = {"Retry-After": "5"}


class TooSlow(DomainError):
    """The query took longer than is allowed, and was ended.

    Narrow the filter: an actor, a resource or an action, a shorter time between `since` and `until`, a smaller `limit`.
    """

    status = 503
