"""API keys: issue, rotate, revoke. A key is shown once; only its SHA-256 is kept (256 random bits need no slow hash).

`issue` and `revoke` are the platform's. A tenant makes, rotates and revokes its own by functions of the database, which
take the tenant from the role of the unit of work (`tenants/sql/people.sql`).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from tenants.context import current_scope, fetch
from tenants.errors import BadInput, Conflict, NotAllowed
from tenants.gate import digest
from tenants.models import ApiKey, Tenant, User
from tenants.recording import record
from tenants.roles import RIGHTS_OF_SCOPE, KeyScope, Right

# What a secret begins with.
KEY_PREFIX = "dbk_"
# For how long a key that was replaced may go on working.
LONGEST_OVERLAP = timedelta(hours=24)
_PREFIX = 12


class KeyNotInUse(Conflict):
    """This key was revoked or replaced, or has expired. Make a new one."""


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
    secret, actor = _new_secret(), current_scope().actor
    key = ApiKey.objects.create(
        tenant=tenant,
        user=user,
        name=name,
        prefix=secret[:_PREFIX],
        digest=digest(secret),
        scopes=scopes or [],
        expires_at=expires_at,
        created_by_type=actor.type,
        created_by_id=actor.id,
        created_by_label=actor.label,
    )
    _record("api_key.created", key, {"scopes": key.scopes, "prefix": key.prefix})
    return key, secret


def revoke(key: ApiKey) -> None:
    """Revoke a key: it is refused from the next request on. Runs in a platform scope."""
    key.revoked_at = timezone.now()
    key.save(update_fields=["revoked_at"])
    _record("api_key.revoked", key, {"prefix": key.prefix})


def make(
    *, name: str, scopes: Iterable[str], expires_at: datetime | None, rights: frozenset[Right]
) -> tuple[ApiKey, str]:
    """Make a key of the tenant whose unit of work this is; return it and its secret.

    `rights` are those of who asks: no key may do more. Raises BadInput, NotAllowed.
    """
    wanted = sorted(set(scopes))
    _check_scopes(wanted)
    if not frozenset[Right]().union(*(RIGHTS_OF_SCOPE[scope] for scope in wanted)) <= rights:
        raise NotAllowed("A key may do no more than whoever makes it.")
    _check_expiry(expires_at)
    secret = _new_secret()
    query = "SELECT guard.issue_key(%s, %s, %s, %s, %s)"
    (made,) = fetch(query, name, secret[:_PREFIX], digest(secret), wanted, expires_at)
    key = ApiKey.objects.get(pk=made)
    _record("api_key.created", key, {"scopes": key.scopes, "prefix": key.prefix})
    return key, secret


def rotate(key: ApiKey, *, overlap: timedelta, expires_at: datetime | None) -> tuple[ApiKey, str]:
    """Replace a key of the tenant whose unit of work this is; return the new one and its secret.

    It has the old one's name and scopes and, without `expires_at`, lives as long as that was made for. The old one
    works for the `overlap` (0 to 24 hours), if it lasts so long. Raises BadInput, KeyNotInUse.
    """
    _check_expiry(expires_at)
    secret = _new_secret()
    query = "SELECT guard.rotate_key(%s, %s, %s, %s, %s)"
    (made,) = fetch(query, key.pk, secret[:_PREFIX], digest(secret), expires_at, min(overlap, LONGEST_OVERLAP))
    if made is None:
        raise KeyNotInUse
    key.refresh_from_db(fields=["expires_at", "replaced_by"])
    until = key.expires_at.isoformat() if key.expires_at else None
    _record("api_key.rotated", key, {"prefix": key.prefix, "replaced_by": str(made), "works_until": until})
    return ApiKey.objects.get(pk=made), secret


def retire(key: ApiKey) -> None:
    """Revoke a key of the tenant whose unit of work this is, at once; one that is revoked stays so."""
    if fetch("SELECT guard.revoke_key(%s)", key.pk)[0]:
        _record("api_key.revoked", key, {"prefix": key.prefix})


def _new_secret() -> str:
    return f"{KEY_PREFIX}{secrets.token_urlsafe(32)}"


def _check(tenant: Tenant | None, user: User | None, scopes: list[str]) -> None:
    if (tenant is None) == (user is None):
        raise BadInput("A key is either a tenant's or a staff member's.")
    if tenant:
        _check_scopes(scopes)
    if user and (scopes or not user.staff_role):
        raise BadInput("A personal key is for staff, and has its owner's rights instead of scopes.")


def _check_scopes(scopes: list[str]) -> None:
    known = ", ".join(KeyScope.values)
    if unknown := set(scopes) - set(KeyScope.values):
        raise BadInput(f"Unknown scopes: {', '.join(sorted(unknown))}. Known are {known}.")
    if not scopes:
        raise BadInput(f"A tenant's key needs a scope: {known}.")


def _check_expiry(expires_at: datetime | None) -> None:
    if expires_at is not None and expires_at <= timezone.now():
        detail = "A key expires in the future."
        raise BadInput(detail, errors=[{"pointer": "/expires_at", "code": "in_the_past", "detail": detail}])


def _record(action: str, key: ApiKey, changes: dict[str, Any]) -> None:
    record(action, ("api_key", str(key.pk), key.name), changes=changes, tenant_id=key.tenant_id)
