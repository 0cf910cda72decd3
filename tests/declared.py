"""A tenant's catalogue of event types, as tests declare types in it and write events of them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from world import World

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"amount": {"type": "number", "minimum": 0}, "currency": {"enum": ["EUR", "CHF"]}},
    "required": ["amount"],
    "additionalProperties": False,
}
TYPE: dict[str, Any] = {
    "description": "An invoice was paid.",
    "metadata_schema": SCHEMA,
    "personal": ["card_holder"],
    "sentences": {"en": "{actor} paid {resource}: {metadata.amount}", "de": "{actor} zahlte {resource}"},
}
PAID: dict[str, Any] = {
    "action": "invoice.paid",
    "resource": {"type": "invoice", "id": "7", "label": "No 7"},
    "metadata": {"amount": 5},
}


class Catalogue:
    """A tenant's catalogue over HTTP, as its admin key; events as its writing key."""

    def __init__(self, world: World, slug: str = "acme") -> None:
        self.world, self.slug = world, slug
        self.admin, self.write = world.api(slug, f"{slug}.admin"), world.api(slug, f"{slug}.write")

    def put(self, name: str, body: Any, key: str | None = None) -> Any:
        api = self.world.api(self.slug, key) if key else self.admin
        path = "/api/v1/events" + (f"/{quote(name)}" if name else "")
        return api.put(path, body)

    def get(self, name: str = "", key: str | None = None, **parameters: Any) -> Any:
        api = self.world.api(self.slug, key) if key else self.admin
        return api.get("/api/v1/events" + (f"/{quote(name)}" if name else ""), **parameters)

    def post(self, *events: Any) -> Any:
        return self.write.post("/api/v1/audit-logs", events[0] if len(events) == 1 else {"events": [*events]})

    def state(self) -> list[Any]:
        """Return all that the catalogue's tables and the trail hold, beyond all walls."""
        schema = self.world.tenant(self.slug).schema_name
        tables = ("audit_event_type", "audit_event_schema", "audit_event_policy", "audit_log")
        kept = "WHERE t.action <> 'access.denied'"
        return [
            self.world.sql(
                f"SELECT t::text FROM {schema}.{table} AS t {kept if table == 'audit_log' else ''} ORDER BY 1"
            )
            for table in tables
        ]


def faults(answer: Any) -> dict[str, str]:
    assert answer["Content-Type"] == "application/problem+json", answer.content
    return {fault.get("pointer", fault.get("parameter")): fault["code"] for fault in answer.json().get("errors", [])}
