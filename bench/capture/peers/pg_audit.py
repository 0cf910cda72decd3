"""django-pg-audit: triggers on all tables; the old and the new row as JSON."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar
from uuid import UUID

from django.core.management import call_command

from bench.capture.adapter import BODY, LAST
from bench.capture.peers.plain import Plain


class PgAudit(Plain):
    """With the middleware that sets the context, and without the one that logs requests and answers."""

    distribution: ClassVar[str] = "django-pg-audit"
    applications: ClassVar[tuple[str, ...]] = ("django_pg_audit",)
    middleware: ClassVar[tuple[str, ...]] = ("django_pg_audit.middleware.AuditSessionMiddleware",)
    tables: ClassVar[tuple[str, ...]] = ("pg_audit_log",)
    seeding: ClassVar[str] = f"""
INSERT INTO pg_audit_log (table_name, operation, old_data, new_data, record_id, ip_address, updated_at, is_db_user,
  api_name, http_method, request_id, updated_by_id)
SELECT 'docs_doc', 'UPDATE', jsonb_build_object('id', object, 'title', 'Title ' || n, 'body', '{BODY}', 'number', n),
  jsonb_build_object('id', object, 'title', 'Title ' || n + 1, 'body', '{BODY}', 'number', n + 1), object::text,
  '203.0.113.7', moment, false, '/documents/', 'POST', gen_random_uuid(), person
FROM {{events}}"""

    def install(self) -> None:
        """Attach its triggers to the tables that were made after its migrations."""
        with open("/dev/null", "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a device
            call_command("attach_audit_triggers", "--exclude", "docs_author", stdout=nowhere)

    def history(self, key: UUID) -> list[Any]:
        """Read by table and record; its default order is newest first."""
        return list(_entries().filter(table_name="docs_doc", record_id=str(key)))

    def activity(self, person: int) -> list[Any]:
        """Read by user."""
        return list(_entries().filter(updated_by=person)[:LAST])


def _entries() -> Any:
    return import_module("django_pg_audit.models").AuditLog.objects
