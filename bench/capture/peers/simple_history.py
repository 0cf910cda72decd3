"""django-simple-history: signals; the whole new row in a table per model."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar
from uuid import UUID

from bench.capture.adapter import BODY, LAST
from bench.capture.peers.plain import Plain


class SimpleHistory(Plain):
    """With its helpers for bulk_create and bulk_update; it has none for queryset.update."""

    distribution: ClassVar[str] = "django-simple-history"
    applications: ClassVar[tuple[str, ...]] = ("simple_history",)
    middleware: ClassVar[tuple[str, ...]] = ("simple_history.middleware.HistoryRequestMiddleware",)
    tables: ClassVar[tuple[str, ...]] = ("docs_historicaldoc",)
    seeding: ClassVar[str] = f"""
INSERT INTO docs_historicaldoc (id, title, body, number, price, published_at, active, data, email, history_date,
  history_type, author_id, history_user_id)
SELECT object, 'Title ' || n, '{BODY}', n, 12.5, moment, true, '{{{{"language": "en"}}}}',
  'person' || person || '@acme.example', moment, '~', 1, person
FROM {{events}}"""

    def register(self, doc: Any) -> None:
        """Register the model."""
        import_module("simple_history").register(doc)

    def bulk_create(self, docs: Sequence[Any]) -> object:
        """Create by its helper."""
        return _helpers().bulk_create_with_history(docs, self.doc)

    def bulk_update(self, docs: Sequence[Any], fields: Sequence[str]) -> object:
        """Save by its helper."""
        return _helpers().bulk_update_with_history(docs, self.doc, fields)

    def history(self, key: UUID) -> list[Any]:
        """Read by the object's manager."""
        return list(self.doc(pk=key).history.all())

    def activity(self, person: int) -> list[Any]:
        """Read by the user of the history; its default order is newest first."""
        return list(self.doc.history.filter(history_user_id=person)[:LAST])


def _helpers() -> Any:
    return import_module("simple_history.utils")
