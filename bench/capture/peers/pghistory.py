"""django-pghistory: triggers; the whole row in a table per model, the context of a request in another."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar
from uuid import UUID

from bench.capture.adapter import BODY, LAST
from bench.capture.peers.plain import Plain


class Row(Plain):
    """With triggers for each row, its default."""

    distribution: ClassVar[str] = "django-pghistory"
    applications: ClassVar[tuple[str, ...]] = ("pgtrigger", "pghistory")
    middleware: ClassVar[tuple[str, ...]] = ("pghistory.middleware.HistoryMiddleware",)
    tables: ClassVar[tuple[str, ...]] = ("docs_docevent",)
    contexts: ClassVar[tuple[str, ...]] = ("pghistory_context",)
    level: ClassVar[str] = "Row"
    # One context per event, as requests that change one row each make them.
    seeding: ClassVar[str] = f"""
INSERT INTO pghistory_context (id, created_at, updated_at, metadata)
SELECT md5('context' || n)::uuid, moment, moment, jsonb_build_object('user', person, 'url', '/documents/')
FROM {{events}};
INSERT INTO docs_docevent (pgh_created_at, pgh_label, id, title, body, number, price, published_at, active, data,
  email, author_id, pgh_context_id, pgh_obj_id)
SELECT moment, 'update', object, 'Title ' || n, '{BODY}', n, 12.5, moment, true, '{{{{"language": "en"}}}}',
  'person' || person || '@acme.example', 1, md5('context' || n)::uuid, object
FROM {{events}}"""

    def register(self, doc: Any) -> None:
        """Track insertions, updates and deletions."""
        package = import_module("pghistory")
        events = (package.InsertEvent(), package.UpdateEvent(), package.DeleteEvent())
        package.track(*events, level=getattr(package, self.level))(doc)

    def history(self, key: UUID) -> list[Any]:
        """Read by `Events.tracks`, which has the context with it."""
        return list(import_module("pghistory.models").Events.objects.tracks(self.doc(pk=key)))

    def activity(self, person: int) -> list[Any]:
        """Read by the user in the context's JSON, the only place where it stands."""
        events = self.doc.pgh_event_model.objects.filter(pgh_context__metadata__user=person)
        return list(events.order_by("-pgh_created_at")[:LAST])


class Statement(Row):
    """With triggers for each statement."""

    level: ClassVar[str] = "Statement"
