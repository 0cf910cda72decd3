"""An invitation is accepted, by the page or by the API: attempts are counted here, for both together."""

from __future__ import annotations

from math import ceil

from allauth.core.internal import ratelimit
from django.http import HttpRequest

from tenants import invitations, people
from tenants.callers import Caller
from tenants.context import ANONYMOUS, account_scope
from tenants.errors import RateLimited
from tenants.models import Membership

# As attempts to sign in: with somebody's invitation his password could be guessed here.
_APP, _ACTION = "allauth.account", "login_failed"


def accept(request: HttpRequest, token: str, *, name: str, password: str) -> Membership:
    """Make a member of whoever was sent this token: see `people.accept_invitation`, which opens its own units of work.

    Raises what that does, and RateLimited after too many attempts with one invitation or from one address.
    """
    caller: Caller = request.caller  # type: ignore[attr-defined]
    # By its id: how a token is spelled or signed makes no other invitation of it.
    invitation = invitations.invited_by(token) or token
    with account_scope(caller.tenant, actor=ANONYMOUS, origin=caller.origin):
        allowed = ratelimit.consume(request, app=_APP, action=_ACTION, key=f"invitation:{invitation}")
    if not allowed:
        raise RateLimited("There were too many attempts to accept an invitation.", wait=_longest())
    return people.accept_invitation(token, name=name, password=password, tenant=caller.tenant, origin=caller.origin)


def _longest() -> int:
    """Return after how many seconds no attempt of now counts any more."""
    rates: list[ratelimit.Rate] = ratelimit.get_rates(app=_APP, action=_ACTION)
    return ceil(max(float(rate.duration) for rate in rates))
