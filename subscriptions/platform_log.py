"""The platform's own trail: the only writer of it, and its queries."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from audit import ledger
from audit.entry import EntryQuerySet
from subscriptions.models import PlatformLog


def log_action(
    action: str,
    resource_type: str,
    resource_id: str,
    changes: dict[str, Any] | None = None,
    *,
    tenant_id: UUID | None = None,
    user: Any = None,
    **details: Any,
) -> PlatformLog:
    """Write an entry into the platform log, in the open platform scope's transaction, and return it.

    `tenant_id` is the tenant that it is about, if any; `details` are those of `audit.ledger.log_action`.
    """
    return ledger.log_action(
        PlatformLog, user, action, resource_type, resource_id, changes, tenant_id=tenant_id, **details
    )


def of_tenant(entries: EntryQuerySet, tenant_id: UUID) -> EntryQuerySet:
    """Return the entries that are about one tenant."""
    return entries.filter(tenant_id=tenant_id)
