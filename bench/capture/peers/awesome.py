"""awesome-audit-log-django: signals; before, after and diff as JSON in a table per model, which no model reads."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar

from bench.capture.peers.plain import Plain


class Awesome(Plain):
    """With its helpers for all three bulk operations."""

    distribution: ClassVar[str] = "awesome-audit-log-django"
    applications: ClassVar[tuple[str, ...]] = ("awesome_audit_log.apps.AwesomeAuditLogConfig",)
    settings: ClassVar[dict[str, Any]] = {"AWESOME_AUDIT_LOG": {"AUDIT_MODELS": ["docs.doc"]}}
    middleware: ClassVar[tuple[str, ...]] = ("awesome_audit_log.middleware.RequestEntryPointMiddleware",)
    tables: ClassVar[tuple[str, ...]] = ("docs_doc_log",)

    def install(self) -> None:
        """Make its table now, which the first event would make."""
        import_module("awesome_audit_log.db").AuditDatabaseManager().ensure_log_table_for_model_exist(self.doc)

    def bulk_create(self, docs: Sequence[Any]) -> object:
        """Create by its helper."""
        return _helpers().audited_bulk_create(self.doc.objects, docs)

    def bulk_update(self, docs: Sequence[Any], fields: Sequence[str]) -> object:
        """Save by its helper."""
        return _helpers().audited_bulk_update(self.doc.objects, docs, fields)

    def update(self, documents: Any, **changes: Any) -> object:
        """Change by its helper."""
        return _helpers().audited_queryset_update(documents, **changes)


def _helpers() -> Any:
    return import_module("awesome_audit_log.bulk")
