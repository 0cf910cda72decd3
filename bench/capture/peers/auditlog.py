"""django-auditlog: signals; a diff of old and new values as text."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar
from uuid import UUID

from bench.capture.adapter import LAST
from bench.capture.peers.plain import Plain


class Auditlog(Plain):
    """As its documentation has it, with default settings."""

    distribution: ClassVar[str] = "django-auditlog"
    applications: ClassVar[tuple[str, ...]] = ("auditlog",)
    middleware: ClassVar[tuple[str, ...]] = ("auditlog.middleware.AuditlogMiddleware",)
    tables: ClassVar[tuple[str, ...]] = ("auditlog_logentry",)
    seeding: ClassVar[str] = """
INSERT INTO auditlog_logentry (object_pk, object_repr, action, changes, timestamp, content_type_id, actor_id,
  remote_addr, changes_text)
SELECT object::text, 'Document ' || n, 1,
  jsonb_build_object('title', jsonb_build_array('Title ' || n, 'Title ' || n + 1),
    'number', jsonb_build_array(n::text, (n + 1)::text)),
  moment, (SELECT id FROM django_content_type WHERE (app_label, model) = ('docs', 'doc')), person, '203.0.113.7', ''
FROM {events}"""

    def register(self, doc: Any) -> None:
        """Register the model."""
        import_module("auditlog.registry").auditlog.register(doc)

    def history(self, key: UUID) -> list[Any]:
        """Read by `get_for_object`."""
        return list(_entries().get_for_object(self.doc(pk=key)))

    def activity(self, person: int) -> list[Any]:
        """Read by the entry's actor; its default order is newest first."""
        return list(_entries().filter(actor_id=person)[:LAST])


def _entries() -> Any:
    return import_module("auditlog.models").LogEntry.objects
