"""The way to the owner's connection, which exists only where migrations and provisioning run."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.db import connections

from tenants.errors import DomainError

if TYPE_CHECKING:
    from tenants.owner.base import DatabaseWrapper

OWNER = "owner"


class NoOwner(DomainError):
    """Tables, roles and tenants are made by the owner's login: set MIGRATION_DATABASE_URL for this command."""


def owners_connection() -> DatabaseWrapper:
    """Return this thread's connection of the owner's login. Raises NoOwner."""
    if OWNER not in connections:
        raise NoOwner
    return cast("DatabaseWrapper", connections[OWNER])
