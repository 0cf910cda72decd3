"""People across tenants: create, give a role, end a membership, delete with all pointers cleared."""

from __future__ import annotations

from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, connection
from django.utils import timezone

from tenants import gate, invitations
from tenants.context import (
    ANONYMOUS,
    Actor,
    Origin,
    Realm,
    TenantLike,
    act_as,
    current_scope,
    enter_tenant,
    platform_scope,
    tenant_scope,
)
from tenants.errors import BadInput, Conflict, Fault, NotFound, NotSignedIn, ScopeConflict
from tenants.models import Invitation, Membership, Tenant, User
from tenants.recording import record
from tenants.roles import Role, StaffRole


class WrongPassword(NotSignedIn):
    """There is an account with this address, which has another password. Accept with that one, or reset it first."""


def create_user(*, email: str, name: str = "", staff_role: str = "") -> User:
    """Create a person. Runs in a platform scope. Raises BadInput, and Conflict when the address is taken."""
    _check(email, staff_role)
    if User.objects.filter(email=email.lower()).exists():
        raise Conflict(f"There is a person with the address {email} already.")
    user = User(email=email, name=name, staff_role=staff_role)
    user.save(force_insert=True)
    record("user.created", ("user", str(user.pk), user.email), changes={"staff_role": staff_role})
    return user


def set_password(user: User, password: str) -> None:
    """Set a person's password, which ends his sessions. Runs in a platform scope."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT guard.set_password(%s, %s)", [user.pk, make_password(password)])
    record("user.password_set", ("user", str(user.pk), user.email))


def set_role(user: User, tenant: Tenant, role: str) -> Membership:
    """Give a person a role in a tenant; a change of role ends the old membership and begins a new one."""
    if role not in Role.values:
        raise BadInput(f"{role!r} is no role. Roles are {', '.join(Role.values)}.")
    end_membership(user, tenant)
    membership = Membership.objects.create(user=user, tenant=tenant, role=role)
    changes = {"tenant": tenant.slug, "role": role}
    record("membership.created", ("user", str(user.pk), user.email), changes=changes, tenant_id=tenant.pk)
    return membership


def end_membership(user: User, tenant: Tenant) -> None:
    """End a person's current membership. It is kept, since it says in whose trails the person may appear."""
    current = Membership.objects.filter(user=user, tenant=tenant, ended_at=None).select_for_update().first()
    if current is None:
        return
    current.ended_at = timezone.now()
    current.save(update_fields=["ended_at"])
    changes = {"tenant": tenant.slug, "role": current.role}
    record("membership.ended", ("user", str(user.pk), user.email), changes=changes, tenant_id=tenant.pk)


def accept_invitation(
    token: str, *, name: str, password: str, tenant: TenantLike | None = None, origin: Origin | None = None
) -> Membership:
    """Make a member of whoever was sent this token: with the password that the address has already, or with this one.

    `tenant`: whose host the request came to; another tenant's token is unknown there. Opens its own scopes, so it is
    called outside any. Raises NotFound for a token that is not good any more, BadInput for a password too weak,
    WrongPassword, Conflict for somebody who is a member already.
    """
    invitation = _open_invitation(token, tenant, origin)
    person = gate.person(email=invitation.email)
    if person is not None and not _may_join(person, password):
        with tenant_scope(invitation.tenant, actor=ANONYMOUS, origin=origin):
            record("invitation.refused", ("invitation", str(invitation.pk), invitation.email), outcome="denied")
        raise WrongPassword
    if person is None or not person.password_hash:
        _check_password(password, person or User(email=invitation.email, name=name))
    actor = Actor("user", str(person.pk), person.email) if person else ANONYMOUS
    try:
        with platform_scope(actor=actor, origin=origin):
            return _join(invitation, person, name, password)
    except IntegrityError as error:
        # The same address, let in by another tenant at this very moment.
        raise Conflict("This address has just got its account. Accept once more, with its password.") from error


def _open_invitation(token: str, tenant: TenantLike | None, origin: Origin | None) -> Invitation:
    """Return the invitation that a token is for. Raises NotFound."""
    key = invitations.invited_by(token)
    with platform_scope(actor=ANONYMOUS, origin=origin):
        found = invitations.pending().select_related("tenant").filter(pk=key).first() if key else None
    if found is None or (tenant and found.tenant_id != tenant.id) or found.tenant.status != Tenant.Status.ACTIVE:
        raise NotFound("This invitation is not good any more. Ask for another one.")
    return found


def _may_join(person: User, password: str) -> bool:
    return person.is_active and (not person.password_hash or check_password(password, person.password_hash))


def _check_password(password: str, person: User) -> None:
    try:
        validate_password(password, person)
    except ValidationError as error:
        faults: list[Fault] = [
            {"pointer": "/password", "code": "weak_password", "detail": text} for text in error.messages
        ]
        raise BadInput("The password is too weak.", errors=faults) from error


def _join(invitation: Invitation, person: User | None, name: str, password: str) -> Membership:
    """Accept in the open platform scope: whoever comes second, or too late, finds nothing to accept."""
    mine = invitations.pending().filter(pk=invitation.pk).select_for_update().first()
    if mine is None:
        raise NotFound("This invitation is not good any more. Ask for another one.")
    has_password = bool(person and person.password_hash)
    if person is None:
        person = create_user(email=invitation.email, name=name)
        act_as(Actor("user", str(person.pk), person.email))
    if Membership.objects.filter(user=person, tenant=invitation.tenant, ended_at=None).exists():
        raise invitations.AlreadyMember
    if not has_password:
        set_password(person, password)
    mine.accepted_at = timezone.now()
    mine.save(update_fields=["accepted_at"])
    membership = set_role(person, invitation.tenant, invitation.role)
    with enter_tenant(invitation.tenant):
        changes = {"role": invitation.role, "invited_by": invitation.created_by_label}
        record("invitation.accepted", ("invitation", str(invitation.pk), invitation.email), changes=changes)
    return membership


def delete_user(user: User) -> int:
    """Delete a person: clear the pointers in each trail he may stand in, and leave an entry in each.

    The entries keep the copied id and label. Runs in a platform scope, in its transaction. Returns the
    number of pointers cleared. A tenant cannot do this: a person is not one tenant's.
    """
    if current_scope().realm is not Realm.PLATFORM:
        raise ScopeConflict("A person is deleted in a platform scope: he may belong to several tenants.")
    resource = ("user", str(user.pk), user.email)
    cleared = _clear("shared", "platform_log", user)
    tenants = list(Tenant.objects.filter(memberships__user=user).distinct())
    for tenant in tenants:
        cleared += _clear(tenant.schema_name, "audit_log", user)
        with enter_tenant(tenant):
            record("user.deleted", resource)
    record("user.deleted", resource, changes={"tenants": [tenant.slug for tenant in tenants]})
    with connection.cursor() as cursor:
        cursor.execute("SELECT guard.delete_person(%s)", [user.pk])
    return cleared


def _check(email: str, staff_role: str) -> None:
    try:
        validate_email(email)
    except ValidationError as error:
        raise BadInput(f"{email!r} is no e-mail address.") from error
    if staff_role and staff_role not in StaffRole.values:
        raise BadInput(f"{staff_role!r} is no role of staff. Roles are {', '.join(StaffRole.values)}.")


def _clear(schema: str, trail: str, user: User) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT guard.clear_user(%s, %s, %s)", [schema, trail, user.pk])
        return int(cursor.fetchone()[0])
