"""Who is calling, before a tenant is known: hosts, keys, people and sessions, read through the gate's functions.

Each function opens a transaction of the login role, which may call `gate.*` and nothing else. None may be
called inside a unit of work, but for some in one of the pages of accounts.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import nullcontext
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import ProgrammingError, connection

from tenants.context import Realm, gate_scope, scope_or_none
from tenants.models import User
from tenants.roles import RIGHTS_OF_ROLE, RIGHTS_OF_SCOPE, Right, Role

_HOST_AND_KEY = """SELECT host.*, key.* FROM (VALUES (true)) AS one
LEFT JOIN gate.host(%s) AS host ON true LEFT JOIN gate.key(%s) AS key ON true"""


@dataclass(frozen=True, slots=True)
class TenantRef:
    """What the gate tells of a tenant: enough to open a scope."""

    id: UUID
    slug: str
    name: str
    schema_name: str
    shard: str
    status: str
    login: str

    @property
    def suspended(self) -> bool:
        """Whether its hosts and keys are refused."""
        return self.status != "active"


@dataclass(frozen=True, slots=True)
class KeyRef:
    """What the gate tells of a key: whose it is, what it may do, and whether it may be used now."""

    id: UUID
    name: str
    scopes: frozenset[str]
    valid: bool
    tenant: TenantRef | None
    user: User | None


@dataclass(frozen=True, slots=True)
class ProviderRef:
    """What the gate tells of a tenant's identity provider."""

    issuer: str
    audience: str
    algorithms: list[str]
    role_claim: str
    roles: dict[str, str]
    default_role: str


@dataclass(frozen=True, slots=True)
class MakerRef:
    """What the gate tells of somebody of a tenant: his label, and what he may do now (nothing, once he is gone)."""

    tenant: TenantRef
    label: str
    rights: frozenset[Right]


_HOST = len(fields(TenantRef))


def digest(secret: str) -> bytes:
    """Return what is stored of a secret of full entropy (a key, a session key): its SHA-256."""
    return hashlib.sha256(secret.encode()).digest()


def host(name: str) -> TenantRef | None:
    """Return the tenant served under a host name (lower case, no port)."""
    row = _call("SELECT * FROM gate.host(%s)", name)
    return TenantRef(*row) if row else None


def tenant(slug: str) -> TenantRef | None:
    """Return the tenant with a slug."""
    row = _call("SELECT * FROM gate.tenant(%s)", slug)
    return TenantRef(*row) if row else None


def due(work: str) -> list[TenantRef]:
    """Return the tenants that have something due in their table of jobs of this name, up to 1,000."""
    with gate_scope(), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM gate.due(%s)", [work])
        return [TenantRef(*row) for row in cursor.fetchall()]


def key(secret: str) -> KeyRef | None:
    """Return the key with this secret, and note its use."""
    return host_and_key(None, secret)[1]


def host_and_key(name: str | None, secret: str) -> tuple[TenantRef | None, KeyRef | None]:
    """Return the tenant served under a host name and the key with a secret, in one transaction; note the key's use."""
    row = _call(_HOST_AND_KEY, name, digest(secret))
    assert row is not None  # noqa: S101 - the statement has one row, whatever is found
    host_row, (key_id, key_name, scopes, valid, *owner_row, user_id, email, staff_role) = row[:_HOST], row[_HOST:]
    served = TenantRef(*host_row) if host_row[0] else None
    if key_id is None:
        return served, None
    owner = TenantRef(*owner_row) if owner_row[0] else None
    user = User(id=user_id, email=email, staff_role=staff_role) if user_id else None
    return served, KeyRef(key_id, key_name, frozenset(scopes), valid, owner, user)


def maker(tenant_id: UUID, kind: str, key_id: UUID) -> MakerRef | None:
    """Return who a tenant's person (`user`) or key (`api_key`) is now; None if there is no such tenant."""
    row = _call("SELECT * FROM gate.maker(%s, %s, %s)", tenant_id, kind, key_id)
    if row is None:
        return None
    *tenant_row, label, role, scopes = row
    rights = RIGHTS_OF_ROLE.get(role or "", frozenset()).union(*(RIGHTS_OF_SCOPE[scope] for scope in scopes or ()))
    return MakerRef(TenantRef(*tenant_row), label or "", rights)


def person(*, user_id: str | None = None, email: str | None = None, tenant_id: UUID | None = None) -> User | None:
    """Return a person with password hash, staff role and role in the tenant."""
    row = _call("SELECT * FROM gate.person(%s, %s, %s)", user_id, email, tenant_id)
    if row is None:
        return None
    key_, address, name, active, staff_role, password, role = row
    user = User(id=key_, email=address, name=name, is_active=active, staff_role=staff_role)
    user.password_hash, user.tenant_role = password, Role(role) if role else None
    return user


def identity_provider(tenant_id: UUID) -> ProviderRef | None:
    """Return a tenant's identity provider, if it has one."""
    row = _call("SELECT * FROM gate.identity_provider(%s)", tenant_id)
    if row is None:
        return None
    issuer, audience, algorithms, role_claim, roles, default_role = row
    return ProviderRef(issuer, audience, algorithms, role_claim, json.loads(roles), default_role)


def signed_in(user: User, *, new_password_hash: str | None = None) -> None:
    """Note a login, and a password hash that was made anew with today's parameters."""
    _call("SELECT gate.signed_in(%s, %s)", user.pk, new_password_hash)


def load_session(session_key: str) -> str | None:
    """Return the data of a session that has not expired."""
    row = _call("SELECT gate.load_session(%s)", digest(session_key))
    return str(row[0]) if row and row[0] is not None else None


def save_session(session_key: str, data: str, expires_at: datetime, *, fresh: bool) -> bool:
    """Write a session; return False for one that is not `fresh` and was ended meanwhile."""
    row = _call("SELECT gate.save_session(%s, %s, %s, %s)", digest(session_key), data, expires_at, fresh)
    return bool(row and row[0])


def end_session(session_key: str) -> None:
    """Forget a session."""
    _call("SELECT gate.end_session(%s)", digest(session_key))


def clear_sessions() -> None:
    """Forget sessions that have expired."""
    _call("SELECT gate.clear_sessions()")


def ready() -> bool:
    """Tell whether the database answers and has been migrated."""
    try:
        row = _call("SELECT gate.ready()")
    except ProgrammingError:  # a database without the gate
        return False
    return bool(row and row[0])


def _call(query: str, *arguments: Any) -> tuple[Any, ...] | None:
    scope = scope_or_none()
    # The pages of accounts may call some of the functions by their own role, within their own transaction.
    inside = scope is not None and scope.realm is Realm.ACCOUNT
    with nullcontext() if inside else gate_scope(), connection.cursor() as cursor:
        cursor.execute(query, arguments)
        row: tuple[Any, ...] | None = cursor.fetchone()
        return row
