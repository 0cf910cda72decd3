"""May this caller use this view? Views name a right for each method; a view that names none is closed."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from tenants.callers import Caller
from tenants.errors import NotAllowed, NotFound, NotSignedIn
from tenants.roles import Right


class HasRight(BasePermission):
    """The caller has one of the rights that `view.rights[method]` names, on the side of the walls it is for."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return True, or raise: NotSignedIn, NotAllowed, NotFound for a platform's view in a tenant's scope."""
        rights: dict[str, frozenset[Right]] = getattr(view, "rights", {})
        caller = caller_in(request)
        if not caller.known:
            raise NotSignedIn
        if getattr(view, "platform", False) != (caller.tenant is None):
            raise (
                NotFound if caller.tenant else NotAllowed("Staff read a tenant's trail through the platform API alone.")
            )
        if not caller.rights & rights.get(request.method or "", frozenset()):
            raise NotAllowed
        return True


def caller_in(request: Request) -> Caller:
    """Return the caller that the gate put on the request."""
    caller: Caller = request._request.caller  # type: ignore[attr-defined]  # noqa: SLF001
    return caller
