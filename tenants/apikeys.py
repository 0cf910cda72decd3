"""API keys: issue, revoke. A key is shown once; only its SHA-256 is kept (256 random bits need no slow hash)."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from django.utils import timezone

from tenants.errors import BadInput
from tenants.gate import digest
from tenants.models import ApiKey, Tenant, User
from tenants.recording import record
from tenants.roles import KeyScope

# What a secret begins with.
KEY_PREFIX = "dbk_"
_PREFIX = 12


def issue(
    *,
    name: str,
    tenant: Tenant | None = None,
    user: User | None = None,
    scopes: list[str] | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key for a tenant (with scopes) or for a staff member (with his own rights); return it and its secret.

    Opens no scope: run it in a platform scope. Raises BadInput.
    """
    _check(tenant, user, scopes or [])
    secret = f"{KEY_PREFIX}{secrets.token_urlsafe(32)}"
    key = ApiKey.objects.create(
        tenant=tenant,
        user=user,
        name=name,
        prefix=secret[:_PREFIX],
        digest=digest(secret),
        scopes=scopes or [],
        expires_at=expires_at,
    )
    _record("api_key.created", key, {"scopes": key.scopes, "prefix": key.prefix})
    return key, secret


def revoke(key: ApiKey) -> None:
    """Revoke a key: it is refused from the next request on."""
    key.revoked_at = timezone.now()
    key.save(update_fields=["revoked_at"])
    _record("api_key.revoked", key, {"prefix": key.prefix})


def _check(tenant: Tenant | None, user: User | None, scopes: list[str]) -> None:
    known = ", ".join(KeyScope.values)
    if (tenant is None) == (user is None):
        raise BadInput("A key is either a tenant's or a staff member's.")
    if unknown := set(scopes) - set(KeyScope.values):
        raise BadInput(f"Unknown scopes: {', '.join(sorted(unknown))}. Known are {known}.")
    if tenant and not scopes:
        raise BadInput(f"A tenant's key needs a scope: {known}.")
    if user and (scopes or not user.staff_role):
        raise BadInput("A personal key is for staff, and has its owner's rights instead of scopes.")


def _record(action: str, key: ApiKey, changes: dict[str, Any]) -> None:
    record(action, ("api_key", str(key.pk), key.name), changes=changes, tenant_id=key.tenant_id)
