"""The current Scope (whose data, who acts, from where): one ContextVar, and the ways to open one.

A scope is a unit of work: one transaction, bound to the role of one tenant (or of the platform) before
its first query. Without a scope no query is sent. Threads begin without one; async tasks inherit it, and
the connection refuses a query whose scope is not the one its transaction was opened for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from django.db import connections

from tenants.backend.base import DatabaseWrapper
from tenants.backend.unit import SHARED_SCHEMA, Binding, current, platform_role, tenant_role
from tenants.errors import NoScope, ScopeConflict


class Realm(StrEnum):
    """Which side of the walls a scope is on."""

    TENANT = "tenant"
    PLATFORM = "platform"
    GATE = "gate"


class TenantLike(Protocol):
    """What a scope needs to know of a tenant; `models.Tenant` and the gate's answer both have it."""

    @property
    def id(self) -> UUID: ...  # noqa: D102
    @property
    def slug(self) -> str: ...  # noqa: D102
    @property
    def schema_name(self) -> str: ...  # noqa: D102
    @property
    def shard(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. `user_id` is set for people, and then equals `id`. `impersonator` acts under this name."""

    type: str
    id: str
    label: str = ""
    user_id: UUID | None = None
    impersonator: Actor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a unit of work came from: address, user agent, request id and source, as the trail shows them."""

    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    source: str = "command"


SYSTEM = Actor("system", "daybook", "Daybook")
ANONYMOUS = Actor("anonymous", "anonymous", "")


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """Whose data (realm, tenant), who acts, from where. Compared by identity: one object, one unit of work."""

    realm: Realm
    tenant: TenantLike | None
    actor: Actor
    origin: Origin = field(default_factory=Origin)
    parent: Scope | None = None
    # Another login of the same database: the owner's, while `provisioning` works.
    database: str = "default"

    @property
    def alias(self) -> str:
        """The database alias that holds this scope's data."""
        return self.tenant.shard if self.tenant else self.database

    def binding(self) -> Binding:
        """Return what the first message of the unit of work says."""
        if self.realm is Realm.GATE:
            return Binding(role=None, path=("gate",))
        context = json.dumps({"actor": [self.actor.type, self.actor.id], "request_id": self.origin.request_id})
        if self.tenant is None:
            return Binding(role=platform_role(), path=(SHARED_SCHEMA,), context=context)
        path = (self.tenant.schema_name, SHARED_SCHEMA)
        return Binding(role=tenant_role(self.tenant.id), path=path, context=context)


def current_scope() -> Scope:
    """Return the open scope, or raise NoScope."""
    if (scope := scope_or_none()) is not None:
        return scope
    raise NoScope


def scope_or_none() -> Scope | None:
    """Return the open scope, if any."""
    scope: Scope | None = current.get()
    return scope


@contextmanager
def tenant_scope(tenant: TenantLike, *, actor: Actor, origin: Origin | None = None) -> Iterator[Scope]:
    """Open a unit of work in a tenant: commits at the end, rolls back on an exception.

    Inside a scope of the same tenant it is a savepoint under another actor. Inside a platform scope it is
    refused: `enter_tenant` is the way. Raises ScopeConflict.
    """
    with _open(Scope(Realm.TENANT, tenant, actor, origin or Origin(), scope_or_none())) as scope:
        yield scope


@contextmanager
def platform_scope(*, actor: Actor, origin: Origin | None = None) -> Iterator[Scope]:
    """Open a unit of work of the platform: shared tables and the platform log, no tenant's trail."""
    with _open(Scope(Realm.PLATFORM, None, actor, origin or Origin(), scope_or_none())) as scope:
        yield scope


@contextmanager
def enter_tenant(tenant: TenantLike) -> Iterator[Scope]:
    """Within a platform's unit of work, act in one tenant in the same transaction, then come back."""
    outer = current_scope()
    if outer.realm is not Realm.PLATFORM:
        raise ScopeConflict
    with _open(Scope(Realm.TENANT, tenant, outer.actor, outer.origin, outer)) as scope:
        yield scope


@contextmanager
def gate_scope() -> Iterator[Scope]:
    """Open the gate: the login role, which may call the gate's functions and nothing else."""
    with _open(Scope(Realm.GATE, None, ANONYMOUS, Origin(), scope_or_none())) as scope:
        yield scope


def _open_allowed(scope: Scope) -> bool:
    """Tell whether a scope may be opened in its parent."""
    parent = scope.parent
    if parent is None:
        return True
    if parent.realm is Realm.PLATFORM and scope.realm is Realm.TENANT:
        return scope.origin is parent.origin and scope.actor is parent.actor
    same_tenant = (scope.tenant.id if scope.tenant else None) == (parent.tenant.id if parent.tenant else None)
    return scope.realm is parent.realm and scope.realm is not Realm.GATE and same_tenant


@contextmanager
def _open(scope: Scope) -> Iterator[Scope]:
    if not _open_allowed(scope):
        raise ScopeConflict
    connection = connections[scope.alias]
    if not isinstance(connection, DatabaseWrapper):
        raise NoScope(f"The database {scope.alias!r} does not use the backend `tenants.backend`; set its ENGINE.")
    parent = scope.parent if scope.parent and scope.parent.alias == scope.alias else None
    with connection.unit(scope, scope.binding(), parent=parent):
        current.set(scope)
        try:
            yield scope
        finally:
            # Not by a token: asgiref may run the end of the block in another copy of the context.
            current.set(scope.parent)


def roll_back() -> None:
    """Make the open unit of work roll back at its end, without an exception."""
    connections[current_scope().alias].set_rollback(True)
