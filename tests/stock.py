"""django-tenants as it comes: what the controls of the isolation tests put in the walls' place.

Its own backend, connected as a login that may read everything, and its own ways to choose a tenant. A probe that
finds no foreign row behind the walls must find one here; otherwise it would find none anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from clones import close_pool
from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, connection, connections
from django.test import override_settings
from psycopg.conninfo import conninfo_to_dict
from trying_urls import labels
from world import World

from tenants.context import SYSTEM, tenant_scope
from tenants.errors import DomainError

REFUSALS = (DomainError, DatabaseError, SynchronousOnlyOperation)
Enter = Callable[[Any], AbstractContextManager[object]]


def scope(tenant: Any) -> AbstractContextManager[object]:
    """Enter a tenant as Daybook does."""
    return tenant_scope(tenant, actor=SYSTEM)


@contextmanager
def as_middleware(tenant: Any) -> Iterator[None]:
    """Enter a tenant as django-tenants' middleware does: it sets, and nobody sets back."""
    stock: Any = connection
    stock.set_tenant(tenant)
    yield


@contextmanager
def no_walls(world: World) -> Iterator[None]:
    """Run the block on django-tenants' own backend as the superuser: no roles, no row security, no unit of work."""
    walled = connections.settings["default"]
    login = {name.upper(): str(value) for name, value in conninfo_to_dict(world.superuser).items() if name != "dbname"}
    stock = {"ENGINE": "django_tenants.postgresql_backend", "OPTIONS": {}}
    _replace({**walled, **login, **stock})
    try:
        with override_settings(TENANT_DB_ALIAS="default"):
            yield
    finally:
        _replace(walled)


def _replace(settings: Any) -> None:
    connections["default"].close()
    close_pool()
    connections.settings["default"] = settings
    del connections["default"]


@dataclass
class Witness:
    """Reads, and notes what was seen that should not have been, and how often it was refused."""

    strays: list[tuple[str | None, list[str]]] = field(default_factory=list)
    right: int = 0
    refused: list[type[Exception]] = field(default_factory=list)

    def read(self, wanted: str | None, how: Callable[[], list[str]] = labels) -> None:
        """Read the things of whatever tenant is chosen now; `wanted` is whose they should be (None: nobody's)."""
        try:
            self.saw(wanted, how())
        except REFUSALS as error:
            self.refused.append(type(error))

    def saw(self, wanted: str | None, rows: list[str]) -> None:
        """Note rows that came to whoever wanted a tenant's."""
        if any(row != wanted for row in rows):
            self.strays.append((wanted, rows))
        else:
            self.right += bool(rows)
