"""People across tenants: create, give a role, end a membership, delete with all pointers cleared."""

from __future__ import annotations

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import connection
from django.utils import timezone

from tenants.context import Realm, current_scope, enter_tenant
from tenants.errors import BadInput, Conflict, ScopeConflict
from tenants.models import Membership, Tenant, User
from tenants.recording import record
from tenants.roles import Role, StaffRole


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
