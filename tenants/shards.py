"""Where a tenant's data is: the database alias that its row of the directory names (`Tenant.shard`).

A unit of work is one transaction on one alias, so each of its queries goes there: those of shared tables as well,
of which a shard has a copy to read (a reference table). What decides who is calling (the gate), and what changes
shared tables (units of the platform), is on `default`.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, models
from django_tenants.routers import TenantSyncRouter

from tenants.context import scope_or_none


class UnitRouter:
    """Sends a query to the alias of the open unit of work; without one it goes to `default`, which refuses it."""

    def db_for_read(self, _model: type[models.Model], **_hints: Any) -> str | None:
        """Return the alias of the open unit of work, if there is one."""
        scope = scope_or_none()
        return scope.alias if scope else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **_hints: Any) -> bool | None:
        """Let a unit of work load fixtures of its own side's applications; of migrations the next router knows."""
        scope = scope_or_none()
        if scope is None or scope.alias != db or scope.database != DEFAULT_DB_ALIAS:
            return None
        apps = settings.TENANT_APPS if scope.tenant else settings.SHARED_APPS
        return bool(TenantSyncRouter().app_in_list(app_label, apps))

    def allow_relation(self, _one: models.Model, _other: models.Model, **_hints: Any) -> bool:
        """Let rows refer to each other wherever they were read: all aliases are one database in parts."""
        return True
