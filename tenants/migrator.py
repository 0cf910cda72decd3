"""`manage.py migrate_schemas` over all tenants: django-tenants' own, read and run as the owner.

It would read the list of tenants on the application's login, which sends no query without a scope, and enter
the migrations of shared applications, which do nothing in a tenant's schema, as done there.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import connections
from django_tenants.migration_executors.standard import StandardExecutor

from tenants.errors import DomainError

OWNER = "owner"


class NoOwner(DomainError):
    """Tables are changed by the owner's login: set MIGRATION_DATABASE_URL for this command."""


class OwnersExecutor(StandardExecutor):  # type: ignore[misc]
    """Migrates one schema after the other: the shared one wholly, a tenant's by the tenants' applications."""

    def run_migrations(self, tenants: Any = None) -> None:
        """Migrate the schemas of a list of names, or of a queryset of names."""
        schemas = tenants if isinstance(tenants, list) else list(tenants.using(OWNER))
        if self.PUBLIC_SCHEMA_NAME in schemas:
            super().run_migrations([self.PUBLIC_SCHEMA_NAME])
        asked = self.options.get("app_label")
        for label in (app.rpartition(".")[2] for app in settings.TENANT_APPS):
            if asked in {None, label}:
                self.options["app_label"] = label
                super().run_migrations([name for name in schemas if name != self.PUBLIC_SCHEMA_NAME])
        self.options["app_label"] = asked


def executor(codename: str | None = None) -> type[OwnersExecutor]:  # noqa: ARG001 - called by this name
    """Return the executor, whichever `--executor` is asked for (settings.GET_EXECUTOR_FUNCTION). Raises NoOwner."""
    if OWNER not in connections:
        raise NoOwner
    return OwnersExecutor
