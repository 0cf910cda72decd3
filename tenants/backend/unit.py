"""What the first message of a unit of work says: role, search_path and context. Pure text, no I/O.

The message also clears what an earlier unit of work may have left on the pooled connection. `RESET ALL`
does not clear a session role, so every message names its role, the gate's too.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from psycopg import sql

SHARED_SCHEMA = "shared"

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
        role = sql.Identifier(self.role) if self.role else sql.SQL("NONE")
        path = sql.SQL(",").join(sql.Identifier(part) for part in (*self.path, "pg_temp"))
        statements = sql.SQL("SET LOCAL ROLE {};SET LOCAL search_path={};SET LOCAL daybook.context={};")
        return statements.format(role, path, sql.Literal(self.context)).as_bytes(None)

    def first_message(self) -> bytes:
        """Return the message that begins the transaction: BEGIN, clean, bind."""
        return _CLEAN + self.settings()
