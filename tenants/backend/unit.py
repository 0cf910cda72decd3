"""What the first message of a unit of work says: role, search_path and context. Pure text, no I/O.

The message also clears what an earlier unit of work may have left on the pooled connection. `RESET ALL`
does not clear a session role, so every message names its role, the gate's too.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol
from uuid import UUID

from django.conf import settings
from psycopg import sql

SHARED_SCHEMA = "shared"

# The scope that is open in this thread or task; `tenants.context` says what it is.
current: ContextVar[Any] = ContextVar("scope", default=None)
# The scope that has just been committed, while what waited for that runs.
committed: ContextVar[Any] = ContextVar("committed", default=None)

# What clears a session. Locks that outlive a transaction must be released by a SELECT, which costs as much as all
# else; a hardened server refuses to take them.
# BEGIN names its modes: RESET ALL comes too late for a `default_transaction_read_only` that was left behind.
_BEGIN = b"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE NOT DEFERRABLE;"
CLEAN = _BEGIN + b"RESET ALL;CLOSE ALL;UNLISTEN *;DEALLOCATE ALL;"
UNLOCK = b"SELECT pg_advisory_unlock_all();"


def platform_role() -> str:
    """Return the role that units of work of the platform run as."""
    return f"{settings.DATABASE_ROLE_PREFIX}_platform"


def auditor_role() -> str:
    """Return the role of the platform within a tenant: it appends to the trail, and reads it for a recorded reason."""
    return f"{settings.DATABASE_ROLE_PREFIX}_auditor"


def account_role() -> str:
    """Return the role of the pages where people sign in and see to their accounts: no trail, no credential."""
    return f"{settings.DATABASE_ROLE_PREFIX}_account"


def tenant_role(tenant_id: UUID) -> str:
    """Return the role of one tenant. Roles are cluster-wide, so the name carries the tenant's random id."""
    return f"{settings.DATABASE_ROLE_PREFIX}_t_{tenant_id.hex}"


@dataclass(frozen=True, slots=True)
class Binding:
    """The role (None: the login role itself), the search_path and the context of a unit of work.

    `login` is the database login that may take on the role (None: that of the database alias).
    """

    role: str | None
    path: tuple[str, ...]
    context: str = ""
    login: str | None = None

    @property
    def tenants(self) -> tuple[str, ...]:
        """The tenant's schema, if there is one."""
        return self.path[:-1]

    def settings(self, quote: Callable[[bytes], bytes]) -> bytes:
        """Return the SET LOCAL statements, `;` after each. `quote` makes a literal of text."""
        context = quote(self.context.encode())
        return _role_and_path(self.role, self.path) + b"SET LOCAL daybook.context=" + context + b";"

    def first_message(self, quote: Callable[[bytes], bytes], clean: bytes = CLEAN + UNLOCK) -> bytes:
        """Return the message that begins the transaction: BEGIN, clean, bind."""
        return clean + self.settings(quote)


class Scope(Protocol):
    """What a connection asks of the scope that it works for; `tenants.context` says what that is."""

    @property
    def actor(self) -> object:
        """Who acts: another object when somebody else is found out to act."""

    def binding(self) -> Binding:
        """Return what the connection is to be bound to."""


@lru_cache(maxsize=4096)
def _role_and_path(role: str | None, path: tuple[str, ...]) -> bytes:
    """Return the settings that are the same for all units of work of a tenant (kept: quoting takes 25 µs).

    pg_temp comes last, so that it shadows nothing.
    """
    name = sql.Identifier(role) if role else sql.SQL("NONE")
    schemas = sql.SQL(",").join(sql.Identifier(part) for part in (*path, "pg_temp"))
    return sql.SQL("SET LOCAL ROLE {};SET LOCAL search_path={};").format(name, schemas).as_bytes(None)
