"""What `tenants` asks to have recorded, written into the trail of the open scope."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from audit.models import AuditLog
from audit.vocabulary import BUILT_IN
from subscriptions import platform_log
from tenants.context import Realm, current_scope


def record(
    *,
    action: str,
    resource: tuple[str, str, str],
    outcome: str = "success",
    changes: dict[str, Any] | None = None,
    description: str = "",
    tenant_id: UUID | None = None,
) -> UUID:
    """Write an entry into the tenant's trail or, in a platform scope, into the platform log; return its id."""
    kind, key, label = resource
    details: dict[str, Any] = {"outcome": outcome, "description": description, "resource_label": label}
    if action in BUILT_IN:
        details["personal"] = BUILT_IN[action].personal
    if current_scope().realm is Realm.TENANT:
        return AuditLog.log_action(None, action, kind, key, changes, **details).pk
    return platform_log.log_action(action, kind, key, changes, tenant_id=tenant_id, **details).pk
