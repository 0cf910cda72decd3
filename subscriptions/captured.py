"""What is captured of the models of `tenants`, which knows no trail: each change goes to the platform log as well."""

from __future__ import annotations

from audit.capture import register
from tenants.models import ApiKey, Credential, Domain, Invitation, Membership, Tenant, User

_APP = "subscriptions"

# Where a tenant is kept, and who is staff, is nothing that a tenant is told.
register(Tenant, label="name", internal=("shard", "login"), tenant="id", app=_APP)
register(Domain, label="domain", tenant="tenant", app=_APP)
register(User, label="email", personal=("email", "name"), internal=("staff_role",), person="id", app=_APP)
# That a password was changed is told; when somebody signed in is told by other entries.
register(Credential, exclude=("last_login",), person="user", app=_APP)
register(Membership, tenant="tenant", app=_APP)
# Who made them is said by the entry itself.
_MADE = ("created_by_type", "created_by_id", "created_by_label")
register(Invitation, label="email", personal=("email",), exclude=_MADE, tenant="tenant", app=_APP)
register(ApiKey, label="name", exclude=("last_used_at", *_MADE), tenant="tenant", app=_APP)
