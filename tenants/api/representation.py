"""Keys, members, invitations and viewer tokens, as written and as read: models that the OpenAPI document shows."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, model_validator
from pydantic_core import PydanticCustomError

from tenants.api.wire import Answer, Time, Written, rendered
from tenants.models import ApiKey, Invitation, Made, Membership
from tenants.roles import KeyScope, Role
from tenants.viewing import LONGEST, View

_ORIGIN = r"^https?://([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(:[0-9]{1,5})?$"
_SECONDS = int(LONGEST.total_seconds())
Id = Annotated[str, Field(min_length=1, max_length=255)]


class MakerAnswer(Answer):
    """Who made it; null for what is older than this is kept."""

    type: str
    id: str
    label: str


class KeyAnswer(Answer):
    """A key, never its secret. It works if it was not revoked and has not expired."""

    id: str
    name: str
    prefix: Annotated[str, Field(description="What its secret begins with.")]
    scopes: list[KeyScope]
    created_at: AwareDatetime
    created_by: MakerAnswer | None
    expires_at: AwareDatetime | None
    last_used_at: Annotated[AwareDatetime | None, Field(description="To the minute.")]
    revoked_at: AwareDatetime | None
    replaced_by: Annotated[str | None, Field(description="The id of the key that a rotation put in its place.")]


class KeyPage(Answer):
    """Keys, oldest first. `next_cursor` is null on the last page."""

    results: list[KeyAnswer]
    next_cursor: str | None


class NewKeyAnswer(KeyAnswer):
    """A key that was just made. `secret` is in this answer alone."""

    secret: str


class KeyInput(Written):
    """A key to be made."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    scopes: Annotated[list[Annotated[KeyScope, Field(strict=False)]], Field(min_length=1, max_length=3)]
    expires_at: Annotated[Time, Field(description="Left out: never.")] = None


class RotationInput(Written):
    """How a key is replaced."""

    overlap_hours: Annotated[float, Field(ge=0, le=24, strict=False, description="How long the old one works.")] = 24
    expires_at: Annotated[
        Time, Field(description="Of the new key. Left out: it lives as long as the old one was made for.")
    ] = None


class MemberAnswer(Answer):
    """A member. `id` is the person's, which stays the same whatever the role."""

    id: str
    email: str
    name: str
    role: Role
    since: Annotated[AwareDatetime, Field(description="In this role.")]


class MemberPage(Answer):
    """Members, in the order of their memberships. `next_cursor` is null on the last page."""

    results: list[MemberAnswer]
    next_cursor: str | None


class RoleInput(Written):
    """A member's new role."""

    role: Annotated[Role, Field(strict=False)]


class InvitationAnswer(Answer):
    """An invitation that can still be accepted."""

    id: str
    email: str
    role: Role
    created_at: AwareDatetime
    created_by: MakerAnswer | None
    expires_at: AwareDatetime


class InvitationPage(Answer):
    """Open invitations, oldest first. `next_cursor` is null on the last page."""

    results: list[InvitationAnswer]
    next_cursor: str | None


class InvitationInput(Written):
    """Whom to invite."""

    email: Annotated[str, Field(min_length=3, max_length=254)]
    role: Annotated[Role, Field(strict=False)]


class AcceptanceInput(Written):
    """The token of an invitation, and the password: of the account that the address has, or of the one it gets."""

    token: Annotated[str, Field(min_length=1, max_length=500)]
    name: Annotated[str, Field(max_length=200, description="For an account that is made.")] = ""
    password: Annotated[str, Field(min_length=8, max_length=1000)]


class AcceptanceAnswer(Answer):
    """Where the person may sign in now, and as what."""

    tenant: str
    role: Role


class ViewInput(Written):
    """What a viewer token shows: everything, or what is about one resource, of one actor, or both."""

    resource_type: Annotated[Id | None, Field(max_length=100, description="With `resource_id`.")] = None
    resource_id: Id | None = None
    actor: Annotated[Id | None, Field(description="An actor's id: his actions alone.")] = None
    origin: Annotated[
        str | None,
        Field(
            pattern=_ORIGIN, max_length=255, description="As browsers send it, in lower case: `https://app.example`."
        ),
    ] = None
    seconds: Annotated[int, Field(ge=1, le=_SECONDS, description="For how long it holds.")] = _SECONDS

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.resource_type is None) != (self.resource_id is None):
            raise PydanticCustomError("half_a_resource", "A resource has both resource_type and resource_id.")
        return self

    @property
    def resource(self) -> tuple[str, str] | None:
        """The resource as one."""
        return (self.resource_type, self.resource_id) if self.resource_type and self.resource_id else None


class ViewAnswer(Answer):
    """What a viewer token shows, and until when. Null: it is not restricted to that."""

    id: str
    access: Literal["read"]
    resource_type: str | None
    resource_id: str | None
    actor: str | None
    origin: str | None
    expires_at: AwareDatetime


class NewViewAnswer(ViewAnswer):
    """A viewer token that was just made. `token` is in this answer alone."""

    token: str


def key_answer(key: ApiKey) -> dict[str, Any]:
    """Return a key as the API shows it."""
    return {
        "id": str(key.pk),
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "created_at": rendered(key.created_at),
        "created_by": _maker(key),
        "expires_at": rendered(key.expires_at) if key.expires_at else None,
        "last_used_at": rendered(key.last_used_at) if key.last_used_at else None,
        "revoked_at": rendered(key.revoked_at) if key.revoked_at else None,
        "replaced_by": str(key.replaced_by_id) if key.replaced_by_id else None,
    }


def member_answer(membership: Membership) -> dict[str, Any]:
    """Return a member as the API shows it. Load it with `select_related("user")`."""
    return {
        "id": str(membership.user_id),
        "email": membership.user.email,
        "name": membership.user.name,
        "role": membership.role,
        "since": rendered(membership.created_at),
    }


def invitation_answer(invitation: Invitation) -> dict[str, Any]:
    """Return an invitation as the API shows it."""
    return {
        "id": str(invitation.pk),
        "email": invitation.email,
        "role": invitation.role,
        "created_at": rendered(invitation.created_at),
        "created_by": _maker(invitation),
        "expires_at": rendered(invitation.expires_at),
    }


def view_answer(view: View) -> dict[str, Any]:
    """Return what a viewer token shows."""
    resource_type, resource_id = view.resource or (None, None)
    return {
        "id": str(view.id),
        "access": "read",
        "resource_type": resource_type,
        "resource_id": resource_id,
        "actor": view.actor,
        "origin": view.origin,
        "expires_at": rendered(view.expires_at),
    }


def _maker(row: Made) -> dict[str, str] | None:
    if not row.created_by_type:
        return None
    return {"type": row.created_by_type, "id": row.created_by_id, "label": row.created_by_label}
