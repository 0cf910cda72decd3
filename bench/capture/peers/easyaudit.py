"""django-easy-audit: signals; the whole row and a diff as JSON text."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar
from uuid import UUID

from bench.capture.adapter import BODY, LAST, model
from bench.capture.peers.plain import Plain


class EasyAudit(Plain):
    """Events of models alone: its log of requests is written by signals that no request here sends."""

    distribution: ClassVar[str] = "django-easy-audit"
    applications: ClassVar[tuple[str, ...]] = ("easyaudit",)
    middleware: ClassVar[tuple[str, ...]] = ("easyaudit.middleware.easyaudit.EasyAuditMiddleware",)
    tables: ClassVar[tuple[str, ...]] = ("easyaudit_crudevent",)
    seeding: ClassVar[str] = f"""
INSERT INTO easyaudit_crudevent (event_type, object_id, object_repr, object_json_repr, changed_fields,
  user_pk_as_string, datetime, content_type_id, user_id)
SELECT 2, object::text, 'Document ' || n,
  jsonb_build_array(jsonb_build_object('model', 'docs.doc', 'pk', object, 'fields',
    jsonb_build_object('title', 'Title ' || n, 'body', '{BODY}', 'number', n)))::text,
  jsonb_build_object('number', jsonb_build_array(n::text, (n + 1)::text))::text,
  person::text, moment, (SELECT id FROM django_content_type WHERE (app_label, model) = ('docs', 'doc')), person
FROM {{events}}"""

    def history(self, key: UUID) -> list[Any]:
        """Read by object; its default order is newest first."""
        kind = model("contenttypes.ContentType").objects.get_for_model(self.doc)
        return list(_events().filter(object_id=str(key), content_type=kind))

    def activity(self, person: int) -> list[Any]:
        """Read by user."""
        return list(_events().filter(user_id=person)[:LAST])


def _events() -> Any:
    return import_module("easyaudit.models").CRUDEvent.objects
