"""auditrum: triggers; old row, new row and diff as JSON in a partitioned table, the context in another."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar
from uuid import UUID

from django.db import connection

from bench.capture.adapter import BODY, LAST
from bench.capture.peers.plain import Plain


class Auditrum(Plain):
    """With its default storage, and without the hash chain, each of whose inserts scans the whole log."""

    distribution: ClassVar[str] = "auditrum"
    applications: ClassVar[tuple[str, ...]] = ("auditrum.integrations.django",)
    middleware: ClassVar[tuple[str, ...]] = (
        "auditrum.integrations.django.middleware.RequestIDMiddleware",
        "auditrum.integrations.django.middleware.AuditrumMiddleware",
    )
    tables: ClassVar[tuple[str, ...]] = ("auditlog",)
    contexts: ClassVar[tuple[str, ...]] = ("audit_context",)
    seeding: ClassVar[str] = f"""
INSERT INTO audit_context (id, metadata)
SELECT md5('context' || n)::uuid, jsonb_build_object('user_id', person, 'client_ip', '203.0.113.7', 'source', 'http')
FROM {{events}};
INSERT INTO auditlog (operation, changed_at, object_id, table_name, user_id, old_data, new_data, diff, context_id)
SELECT 'UPDATE', moment, object::text, 'docs_doc', person,
  jsonb_build_object('id', object, 'title', 'Title ' || n, 'body', '{BODY}', 'number', n),
  jsonb_build_object('id', object, 'title', 'Title ' || n + 1, 'body', '{BODY}', 'number', n + 1),
  jsonb_build_object('number', jsonb_build_object('old', n, 'new', n + 1)), md5('context' || n)::uuid
FROM {{events}}"""

    def register(self, doc: Any) -> None:
        """Track the model."""
        import_module("auditrum.integrations.django.tracking").track()(doc)

    def install(self) -> None:
        """Install the trigger as the migration does that its `auditrum_makemigrations` writes."""
        executor = import_module("auditrum.integrations.django.executor").DjangoExecutor(connection=connection)
        manager = import_module("auditrum.tracking").TriggerManager(executor)
        manager.bootstrap()
        manager.install(self.doc.audit_spec, force=True)

    def history(self, key: UUID) -> list[Any]:
        """Read by `for_object`, newest first."""
        return list(_entries().for_object(self.doc(pk=key)).order_by("-changed_at"))

    def activity(self, person: int) -> list[Any]:
        """Read by `for_user`."""
        return list(_entries().for_user(person).order_by("-changed_at")[:LAST])


def _entries() -> Any:
    return import_module("auditrum.integrations.django.models").AuditLog.objects
