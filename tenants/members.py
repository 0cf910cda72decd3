"""The people of one tenant, as its own unit of work sees and changes them: who is a member, in which role.

The rules stand in `guard.change_member`, under a lock: the last owner stays, and owners alone make and unmake owners.
"""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet

from tenants.context import fetch
from tenants.errors import BadInput, Conflict, NotAllowed, NotFound
from tenants.models import Membership
from tenants.recording import record
from tenants.roles import Role


class LastOwner(Conflict):
    """This is the tenant's last owner. Make somebody else an owner first."""


class OwnersOnly(NotAllowed):
    """Only an owner makes or unmakes owners."""


def current() -> QuerySet[Membership]:
    """Return the memberships of now, each with its person."""
    memberships: QuerySet[Membership] = Membership.objects.filter(ended_at=None).select_related("user")
    return memberships


def member(person: UUID) -> Membership:
    """Return a person's membership of now. Raises NotFound: also for members of other tenants."""
    found = current().filter(user_id=person).first()
    if found is None:
        raise NotFound
    return found


def change_role(person: UUID, role: str, *, by_owner: bool) -> Membership:
    """Give a member another role; return the membership of now. `by_owner`: an owner asks for it.

    Raises BadInput, NotFound, OwnersOnly, LastOwner.
    """
    if role not in Role.values:
        raise BadInput(f"{role!r} is no role. Roles are {', '.join(Role.values)}.")
    before = member(person)
    if (old := _change(person, role, by_owner=by_owner)) is not None:
        resource = ("user", str(person), before.user.email)
        record("membership.changed", resource, changes={"role": {"old": old, "new": role}})
    return member(person)


def remove(person: UUID, *, by_owner: bool) -> None:
    """End a person's membership; his sessions are refused from the next request on.

    Invitations that he has made are withdrawn. Raises NotFound, OwnersOnly, LastOwner.
    """
    before = member(person)
    old = _change(person, None, by_owner=by_owner)
    record("membership.ended", ("user", str(person), before.user.email), changes={"role": old})


def _change(person: UUID, role: str | None, *, by_owner: bool) -> str | None:
    """Return the role until now; None where nothing changed."""
    said, old = fetch("SELECT * FROM guard.change_member(%s, %s, %s)", person, role, by_owner)
    refusals = {"unknown": NotFound, "owners_only": OwnersOnly, "last_owner": LastOwner}
    if said in refusals:
        raise refusals[said]
    return str(old) if said == "changed" else None
