"""The current Scope (whose data, who acts, from where): one ContextVar, and the ways to open one.

A scope is a unit of work: one transaction, bound to the role of one tenant (or of the platform) before
its first query. Without a scope no query is sent. Threads begin without one; async tasks inherit it, and
the connection refuses a query whose scope is not the one its transaction was opened for.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ContextDecorator
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from enum import StrEnum
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, Protocol
from uuid import UUID

from django.db import connections

from tenants.backend.base import DatabaseWrapper
from tenants.backend.unit import (
    SHARED_SCHEMA,
    Binding,
    account_role,
    auditor_role,
    current,
    platform_role,
    tenant_role,
)
from tenants.errors import NoScope, ScopeConflict


class Realm(StrEnum):
    """Which side of the walls a scope is on."""

    TENANT = "tenant"
    PLATFORM = "platform"
    GATE = "gate"
    ACCOUNT = "account"


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
    @property
    def login(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. `user_id` is set for people, and then equals `id`. `impersonator` acts under this name."""

    type: str
    id: str
    label: str = ""
    user_id: UUID | None = None
    impersonator: Actor | None = None


# The program that this process, thread or task runs: `manage.py NAME` within a command, what a job calls itself.
program: ContextVar[str | None] = ContextVar("program", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a unit of work came from: address, user agent, request id and source, as the trail shows them.

    What a browser is to a request is the program to a command or a job.
    """

    ip: str | None = None
    user_agent: str | None = field(default_factory=program.get)
    request_id: str | None = None
    source: str = "command"


SYSTEM = Actor("system", "daybook", "Daybook")
ANONYMOUS = Actor("anonymous", "anonymous", "")


@dataclass(slots=True, eq=False)
class Scope:
    """Whose data (realm, tenant), who acts, from where. Compared by identity: one object, one unit of work.

    Who acts may be found out late: while a view authenticates its caller itself, `late` is asked whenever the actor
    matters, before each statement too, and its answer, once there is one, is the actor from then on.
    """

    realm: Realm
    tenant: TenantLike | None
    # Who acts, as far as is known; `actor` asks.
    known: Actor
    origin: Origin = field(default_factory=Origin)
    parent: Scope | None = None
    # Another login of the same database: the owner's, while `provisioning` works.
    database: str = "default"
    # The entry of the platform log that says why the platform reads this tenant's trail.
    reason: UUID | None = None
    # The entry of this trail that says why row changes are not captured at the moment.
    paused: UUID | None = None
    late: Callable[[], Actor | None] | None = None
    # Of the pages of accounts: the tenant on whose host they are asked for (None: the platform's).
    side: TenantLike | None = None

    @property
    def actor(self) -> Actor:
        """Who acts. Lets out what `late` raises, and asks it again the next time."""
        if self.late is not None:
            # Asking may send a query, which must not ask again.
            late, self.late = self.late, None
            try:
                found = late()
            except BaseException:
                self.late = late
                raise
            self.known, self.late = (found, None) if found else (self.known, late)
        return self.known

    @property
    def alias(self) -> str:
        """The database alias that holds this scope's data."""
        return self.tenant.shard if self.tenant else self.database

    @property
    def entered(self) -> bool:
        """Whether this is the platform within a tenant, in the platform's own transaction."""
        outer = self.parent if self.realm is Realm.TENANT else None
        return outer is not None and (outer.realm in {Realm.PLATFORM, Realm.ACCOUNT} or outer.entered)

    def binding(self) -> Binding:
        """Return what the first message of the unit of work says."""
        if self.realm is Realm.GATE:
            return Binding(role=None, path=("gate",))
        context = self.context()
        if self.realm is Realm.ACCOUNT:
            return Binding(role=account_role(), path=(SHARED_SCHEMA,), context=context)
        if self.tenant is None:
            return Binding(role=platform_role(), path=(SHARED_SCHEMA,), context=context)
        path = (self.tenant.schema_name, SHARED_SCHEMA)
        if self.entered:
            return Binding(role=auditor_role(), path=path, context=context)
        return Binding(role=tenant_role(self.tenant.id), path=path, context=context, login=self.tenant.login)

    @property
    def pointer(self) -> UUID | None:
        """The person that entries of this scope point to: who acts, if he is of this side of the walls."""
        own, actor = "user" if self.realm is Realm.TENANT else "staff", self.actor
        return actor.user_id if actor.type == own and not self.entered else None

    def context(self) -> str:
        """Return what the database knows of the unit of work, as JSON: what its entries of changed rows will say.

        Written by hand, for `json.dumps` takes 3 µs more.
        """
        origin, by = self.origin, self.actor.impersonator
        known = {
            "by": _party(by) if by else None,
            "request_id": _text(origin.request_id),
            "ip": _text(origin.ip),
            "agent": _text(origin.user_agent),
            "reason": f'"{self.reason}"' if self.reason else None,
            "paused": f'"{self.paused}"' if self.paused else None,
            "side": f'"{self.side.id if self.side else Realm.PLATFORM}"' if self.realm is Realm.ACCOUNT else None,
        }
        more = "".join(f', "{name}": {value}' for name, value in known.items() if value)
        person = ', "person": true' if self.pointer else ""
        return f'{{"actor": {_party(self.actor)}, "source": {_quoted(origin.source)}{person}{more}}}'


def _party(actor: Actor) -> str:
    return f"[{_quoted(actor.type)}, {_quoted(actor.id)}, {_quoted(actor.label)}]"


def _text(value: str | None) -> str | None:
    return _quoted(value) if value else None


def current_scope() -> Scope:
    """Return the open scope, or raise NoScope."""
    if (scope := scope_or_none()) is not None:
        return scope
    raise NoScope


def scope_or_none() -> Scope | None:
    """Return the open scope, if any."""
    scope: Scope | None = current.get()
    return scope


class Opening(ContextDecorator):
    """A unit of work for as long as a `with` block runs, or each call of a function that it decorates."""

    def __init__(self, make: Callable[[Scope | None], Scope]) -> None:
        self._make = make

    def _recreate_cm(self) -> Opening:
        return Opening(self._make)

    def __enter__(self) -> Scope:
        """Open it within the scope that is open here, if any. Raises ScopeConflict, NoScope."""
        scope = self._scope = self._make(current.get())
        if not _open_allowed(scope):
            raise ScopeConflict
        connection = connections[scope.alias]
        if not isinstance(connection, DatabaseWrapper):
            raise NoScope(f"The database {scope.alias!r} does not use the backend `tenants.backend`; set its ENGINE.")
        parent = scope.parent if scope.parent and scope.parent.alias == scope.alias else None
        self._unit = connection.unit(scope, scope.binding(), parent=parent)
        self._unit.__enter__()
        current.set(scope)
        return scope

    def __exit__(self, *error: object) -> bool | None:
        """Commit, or roll back after an exception."""
        # Not by a token: asgiref may run the end of the block in another copy of the context.
        current.set(self._scope.parent)
        return self._unit.__exit__(*error)  # type: ignore[arg-type]


def tenant_scope(
    tenant: TenantLike,
    *,
    actor: Actor,
    origin: Origin | None = None,
    late: Callable[[], Actor | None] | None = None,
) -> Opening:
    """Open a unit of work in a tenant: commits at the end, rolls back on an exception.

    Inside a scope of the same tenant it is a savepoint under another actor. Inside a platform scope it is
    refused: `enter_tenant` is the way. `late` is asked before each query who acts, until it says so.
    Raises ScopeConflict.
    """

    def make(parent: Scope | None) -> Scope:
        reason, paused = (parent.reason, parent.paused) if parent else (None, None)
        return Scope(Realm.TENANT, tenant, actor, origin or Origin(), parent, reason=reason, paused=paused, late=late)

    return Opening(make)


def platform_scope(*, actor: Actor, origin: Origin | None = None) -> Opening:
    """Open a unit of work of the platform: shared tables and the platform log, no tenant's trail."""

    def make(parent: Scope | None) -> Scope:
        paused = parent.paused if parent else None
        return Scope(Realm.PLATFORM, None, actor, origin or Origin(), parent, paused=paused)

    return Opening(make)


def without_capture(entry: UUID) -> Opening:
    """Within a unit of work, capture no row changes of the block: `capture.pause` has written the entry that says why.

    Raises NoScope.
    """

    def make(outer: Scope | None) -> Scope:
        if outer is None:
            raise NoScope
        return replace(outer, parent=outer, paused=entry)

    return Opening(make)


def act_as(actor: Actor) -> None:
    """Say who acts from here on in the open unit of work, as an authentication of one's own has found out."""
    current_scope().late = lambda: actor


def enter_tenant(tenant: TenantLike, *, reason: UUID | None = None) -> Opening:
    """Within a platform's unit of work, append to one tenant's trail in the same transaction, then come back.

    The trail cannot be read so, but for what this transaction wrote, without the id of an entry that says why:
    `auditing.read_tenant` is the way. Raises NoScope, ScopeConflict.
    """

    def make(outer: Scope | None) -> Scope:
        if outer is None:
            raise NoScope
        if outer.realm is not Realm.PLATFORM:
            raise ScopeConflict
        return Scope(Realm.TENANT, tenant, outer.actor, outer.origin, outer, reason=reason)

    return Opening(make)


def account_scope(side: TenantLike | None, *, actor: Actor, origin: Origin) -> Opening:
    """Open a unit of work of the pages of accounts, on a tenant's host or on the platform's (None).

    Row security shows it the people who may enter this side, their addresses, second factors and sessions; it may
    ask the gate for a person. `at_side` is how it writes into the trail of its side.
    """
    return Opening(lambda parent: Scope(Realm.ACCOUNT, None, actor, origin, parent, side=side))


def at_side() -> Opening:
    """Within a unit of accounts, append to the trail of its side in the same transaction, then come back.

    Raises NoScope, ScopeConflict.
    """

    def make(outer: Scope | None) -> Scope:
        if outer is None:
            raise NoScope
        if outer.realm is not Realm.ACCOUNT:
            raise ScopeConflict
        realm = Realm.TENANT if outer.side else Realm.PLATFORM
        return Scope(realm, outer.side, outer.actor, outer.origin, outer)

    return Opening(make)


def gate_scope(database: str = "default") -> Opening:
    """Open the gate of a database: the login role, which may call the gate's functions and nothing else."""
    return Opening(lambda parent: Scope(Realm.GATE, None, ANONYMOUS, Origin(), parent, database))


def _open_allowed(scope: Scope) -> bool:
    """Tell whether a scope may be opened in its parent."""
    parent = scope.parent
    if parent is None:
        return True
    if parent.realm is Realm.ACCOUNT:
        own = Realm.TENANT if parent.side else Realm.PLATFORM
        return scope.realm is own and scope.tenant is parent.side and scope.actor is parent.actor
    if parent.realm is Realm.PLATFORM and scope.realm is Realm.TENANT:
        return scope.origin is parent.origin and scope.actor is parent.actor
    same_tenant = (scope.tenant.id if scope.tenant else None) == (parent.tenant.id if parent.tenant else None)
    return scope.realm is parent.realm and scope.realm is not Realm.GATE and same_tenant


def fetch(query: str, *arguments: Any) -> tuple[Any, ...]:
    """Run a query of one row in the open unit of work; return that row. Raises NoScope."""
    with connections[current_scope().alias].cursor() as cursor:
        cursor.execute(query, arguments)
        row: tuple[Any, ...] = cursor.fetchone()
        return row


def roll_back() -> None:
    """Make the open unit of work roll back at its end, without an exception."""
    connections[current_scope().alias].set_rollback(True)
