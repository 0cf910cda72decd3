"""Who may do what, as one table: roles of people, scopes of keys, roles of staff."""

from __future__ import annotations

from enum import StrEnum

from django.db.models import TextChoices


class Role(TextChoices):
    """What a person is in a tenant."""

    OWNER = "owner"
    ADMIN = "admin"
    AUDITOR = "auditor"
    MEMBER = "member"


class StaffRole(TextChoices):
    """What a person is on the platform."""

    SUPPORT = "support"
    BILLING = "billing"
    ADMIN = "admin"


class KeyScope(TextChoices):
    """What a tenant's key may do."""

    READ = "audit:read"
    WRITE = "audit:write"
    ADMIN = "admin"


class Right(StrEnum):
    """What a caller may be allowed to do."""

    READ_TRAIL = "read the trail"
    READ_OWN = "read one's own actions"
    READ_VIEW = "read what a viewer token shows"
    EXPORT = "export the trail"
    WRITE_EVENTS = "write events"
    ADMINISTER = "administer members, keys and settings of the tenant"
    READ_USAGE = "read usage, quotas and the subscription"
    READ_TENANTS = "read tenants and plans"
    READ_TENANT_TRAIL = "read a tenant's trail, with a reason"
    CHANGE_SUBSCRIPTION = "change a subscription"
    CHANGE_PLANS = "change what plans allow"
    READ_PLATFORM_LOG = "read the platform log"
    ADMINISTER_PEOPLE = "list and delete people"


_EVERYTHING = frozenset({Right.READ_TRAIL, Right.EXPORT, Right.WRITE_EVENTS, Right.READ_USAGE, Right.ADMINISTER})

RIGHTS_OF_ROLE: dict[str, frozenset[Right]] = {
    Role.OWNER: _EVERYTHING,
    Role.ADMIN: _EVERYTHING,
    Role.AUDITOR: frozenset({Right.READ_TRAIL, Right.EXPORT, Right.READ_USAGE}),
    Role.MEMBER: frozenset({Right.READ_OWN}),
}
RIGHTS_OF_SCOPE: dict[str, frozenset[Right]] = {
    KeyScope.READ: frozenset({Right.READ_TRAIL, Right.EXPORT, Right.READ_USAGE}),
    KeyScope.WRITE: frozenset({Right.WRITE_EVENTS}),
    KeyScope.ADMIN: _EVERYTHING,
}
_STAFF = frozenset({Right.READ_USAGE, Right.READ_TENANTS, Right.READ_PLATFORM_LOG})
_BILLING = _STAFF | {Right.CHANGE_SUBSCRIPTION}

RIGHTS_OF_STAFF: dict[str, frozenset[Right]] = {
    StaffRole.SUPPORT: _STAFF | {Right.READ_TENANT_TRAIL},
    StaffRole.BILLING: _BILLING,
    StaffRole.ADMIN: _BILLING | {Right.READ_TENANT_TRAIL, Right.EXPORT, Right.ADMINISTER_PEOPLE, Right.CHANGE_PLANS},
}
