"""What the first message of a unit of work says: role, search_path and context. Pure text, no I/O.

The message also clears what an earlier unit of work may have left on the pooled connection. `RESET ALL`
does not clear a session role, so every message names its role, the gate's too.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.conf import settings
from psycopg import sql

SHARED_SCHEMA = "shared"

# The scope that is open in this thread or task; `tenants.context` says what it is.
current: ContextVar[Any] = ContextVar("scope", default=None)

_CLEAN = b"BEGIN;RESET ALL;CLOSE ALL;UNLISTEN *;DEALLOCATE ALL;SELECT pg_advisory_unlock_all();"


def platform_role() -> str:
    """Return the role that units of work of the platform run as."""
    return f"{settings.DATABASE_ROLE_PREFIX}_platform"


def tenant_role(tenant_id: UUID) -> str:
    """Return the role of one tenant. Roles are cluster-wide, so the name carries the tenant's random id."""
    return f"{settings.DATABASE_ROLE_PREFIX}_t_{tenant_id.hex}"


@dataclass(frozen=True, slots=True)
class Binding:
    """The role (None: the login role itself), the search_path and the context of a unit of work."""

    role: str | None
    path: tuple[str, ...]
    context: str = ""

    def settings(self) -> bytes:
        """Return the SET LOCAL statements, `;` after each. pg_temp comes last, so that it shadows nothing."""
        context = sql.Literal(self.context).as_bytes(None)
        return _role_and_path(self.role, self.path) + b"SET LOCAL daybook.context=" + context + b";"

    def first_message(self) -> bytes:
        """Return the message that begins the transaction: BEGIN, clean, bind."""
        return _CLEAN + self.settings()


@lru_cache(maxsize=4096)
def _role_and_path(role: str | None, path: tuple[str, ...]) -> bytes:
    """Return the settings that are the same for all units of work of a tenant (kept: quoting takes 25 µs)."""
    name = sql.Identifier(role) if role else sql.SQL("NONE")
    schemas = sql.SQL(",").join(sql.Identifier(part) for part in (*path, "pg_temp"))
    return sql.SQL("SET LOCAL ROLE {};SET LOCAL search_path={};").format(name, schemas).as_bytes(None)
