"""People across tenants: create, give a role, end a membership, delete with all pointers cleared."""

from __future__ import annotations

from django.contrib.auth.hashers import make_password
from django.db import connection
from django.utils import timezone

from tenants.context import Realm, current_scope, enter_tenant
from tenants.errors import BadInput, Conflict, ScopeConflict
from tenants.models import Membership, Tenant, User
from tenants.recording import record
from tenants.roles import Role


def create_user(*, email: str, name: str = "", staff_role: str = "") -> User:
    """Create a person. Runs in a platform scope. Raises Conflict when the address is taken."""
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


def set_role(user: User, tenant: Tenant, role: str) -> Membership:
    """Give a person a role in a tenant; a change of role ends the old membership and begins a new one."""
    if role not in Role.values:
        raise BadInput(f"{role!r} is no role. Roles are {', '.join(Role.values)}.")
    end_membership(user, tenant)
    membership = Membership.objects.create(user=user, tenant=tenant, role=role)
    record("membership.created", ("user", str(user.pk), user.email), changes={"tenant": tenant.slug, "role": role})
    return membership


def end_membership(user: User, tenant: Tenant) -> None:
    """End a person's current membership. It is kept, since it says in whose trails the person may appear."""
    Membership.objects.filter(user=user, tenant=tenant, ended_at=None).update(ended_at=timezone.now())


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


def _clear(schema: str, trail: str, user: User) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT guard.clear_user(%s, %s, %s)", [schema, trail, user.pk])
        return int(cursor.fetchone()[0])
