"""Daybook itself, in the project's environment and settings: a captured model in the schema of a new tenant.

Each group of operations is one unit of work, by alice and with a request's context where the operation has one. So
what is timed is the capture within a unit of work, not the unit: beside it stand the same model uncaptured in the same
unit, and plain Django in one transaction.
"""

from __future__ import annotations

import os
import uuid
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar
from uuid import UUID

import psycopg

from bench.base import AGENT
from bench.capture.adapter import LAST, Adapter, Work, model, seeded
from config import env, local
from tenants import provisioning
from tenants.context import SYSTEM, Actor, Origin, platform_scope, scope_or_none, tenant_scope
from tenants.models import User

# What captured documents are called in the trail.
RESOURCE = "doc"


class Captured(Adapter):
    """A document whose changes are captured."""

    captured: ClassVar[str] = "docs.Doc"

    def migrate(self) -> None:
        """Make a tenant, whose schema has the application's tables."""
        self._tenant = provisioning.create_tenant(slug=self._slug, name=self._slug, domain=f"{self._slug}.localhost")
        self.doc, self.author = model(self.captured), model("docs.Author")
        with platform_scope(actor=SYSTEM):
            user = User.objects.get(email="alice@acme.example")
        self._alice = Actor("user", str(user.pk), user.email, user.pk)

    @property
    def _slug(self) -> str:
        return f"capture-{os.getpid()}"

    def group(self, *, context: bool) -> AbstractContextManager[object]:
        """Open a unit of work of the tenant: alice's in a request, or one of a command."""
        if context:
            return tenant_scope(self._tenant, actor=self._alice, origin=_origin(0))
        return tenant_scope(self._tenant, actor=SYSTEM)

    def requested(self, work: Work, number: int) -> Work:
        """Return `work` in the group's unit of work, or in one of its own where none is open."""

        def run() -> object:
            if scope_or_none() is not None:
                return work()
            with tenant_scope(self._tenant, actor=self._alice, origin=_origin(number)):
                return work()

        return run

    def events(self) -> int:
        """Return how many entries the tenant's trail has."""
        return int(_trail().objects.count())

    def seed(self, events: int) -> None:
        """Write entries as a superuser: they are back-dated, so the check of new ids is off meanwhile."""
        with psycopg.connect(env.text(local.SUPERUSER, ""), autocommit=True) as admin:
            admin.execute(f"SET search_path = {self._tenant.schema_name}".encode())
            admin.execute("INSERT INTO audit_user_agent (user_agent) VALUES (%s)", [AGENT.format(140)])
            with admin.transaction():
                admin.execute("ALTER TABLE audit_log DISABLE TRIGGER check_id")
                admin.execute(_ENTRIES.format(events=seeded(events), resource=RESOURCE).encode())
                admin.execute("ALTER TABLE audit_log ENABLE ALWAYS TRIGGER check_id")
            admin.execute("VACUUM ANALYZE audit_log")

    def history(self, key: UUID) -> list[Any]:
        """Read by `get_resource_history`."""
        return list(_trail().get_resource_history(RESOURCE, key))

    def activity(self, person: int) -> list[Any]:
        """Read by `get_user_activity`."""
        return list(_trail().get_user_activity(User(pk=UUID(int=person)), days=90)[:LAST])


class Units(Captured):
    """Writes in requests that are a unit of work each, as in life."""

    def group(self, *, context: bool) -> AbstractContextManager[object]:
        """Open nothing for a request: it opens its own unit."""
        return nullcontext() if context else super().group(context=False)

    def begin(self) -> Any:
        """Return the connection that the next unit of work of this thread has too: the pool holds one."""
        with super().group(context=False):
            return super().begin()


class Uncaptured(Captured):
    """The very same model, uncaptured."""

    captured: ClassVar[str] = "docs.PlainDoc"


def _origin(number: int) -> Origin:
    return Origin(
        ip=f"203.0.{number % 250}.{number % 200}",
        user_agent=AGENT.format(number % 200),
        request_id=uuid.uuid4().hex,
        source="request",
    )


def _trail() -> Any:
    return model("audit.AuditLog")


# Transactions are numbered up to the present one, since those to come are not settled.
_ENTRIES = """
INSERT INTO audit_log (transaction_id, agent_id, version, id, user_id, actor_uuid, resource_uuid, actor_type, action,
  operation, outcome, source, request_id, resource_type, changes, salt, actor_label, resource_label, ip)
SELECT pg_current_xact_id()::text::bigint - 1, (SELECT max(id) FROM audit_user_agent), 1,
  (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
    || '8' || substr(md5(n::text), 5, 15))::uuid,
  lpad(to_hex(person), 32, '0')::uuid, lpad(to_hex(person), 32, '0')::uuid, object, 'user', 'updated',
  'update', 'success', 'request', md5('request' || n), '{resource}',
  jsonb_build_object('title', jsonb_build_object('old', 'Title ' || n, 'new', 'Title ' || n + 1),
    'number', jsonb_build_object('old', n, 'new', n + 1)),
  decode(md5('salt' || n), 'hex'), 'person' || person || '@acme.example', 'Document ' || n, '203.0.113.7'
FROM {events}
"""
