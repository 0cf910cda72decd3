"""Examples of the OpenAPI document, made of its schemas: one value for each name, so that they tell one story."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]

_ID = "019a3f2e-7c1b-7d54-9b1e-3f0a5c6d7e8f"
_TIME = "2026-11-22T10:00:00.123456Z"
# By `Component.property` or by `property`; what is not here comes from the schema: its example, default or parts.
_VALUES: dict[str, Any] = {
    "id": _ID,
    "tenant": "acme",
    "created_at": _TIME,
    "changed_at": _TIME,
    "occurred_at": "2026-11-22T09:59:58.000000Z",
    "position": 1841,
    "action": "invoice.approved",
    "operation": "update",
    "source": "api",
    "slug": "acme",
    "name": "Acme",
    "label": "Invoice 2026-117",
    "description": "Approved after the second look.",
    "changes": {"status": {"old": "draft", "new": "approved"}},
    "metadata": {"department": "finance"},
    "ip": "203.0.113.7",
    "user_agent": "billing/2.1",
    "request_id": "4f1c0d0c3f6e4a57a1b7f6a2f7d1c9e8",
    "transaction_id": "845213",
    "transaction": "845213",
    "idempotency_key": "invoice-2026-117-approved",
    "Idempotency-Key": "7b1f2c9e-import-42",
    "captured": False,
    "cold": False,
    "version": 1,
    "targets": [],
    "next": "https://acme.example/api/v1/audit-logs?cursor=eyJwIjoxODQxfQ",
    "previous": None,
    "next_cursor": "eyJwIjoxODQxfQ",
    "cursor": "eyJwIjoxODQxfQ",
    "oldest_kept": None,
    "reason": "They asked for it on the phone.",
    "plan": "premium",
    "is_active": True,
    "entry_id": _ID,
    "actor_id": "u-42",
    "resource_id": "2026-117",
    "resource_type": "invoice",
    "since": "2026-11-01T00:00:00Z",
    "until": "2026-12-01T00:00:00Z",
    "outcome": "success",
    "limit": 100,
    "order": "desc",
    "days": 30,
    "language": "en",
    "sentence": "dana@acme.example approved Invoice 2026-117",
    "event_type": "invoice.approved",
    "EventType.name": "invoice.approved",
    "origin": "declared",
    "EventType.description": "An invoice was approved.",
    "personal": ["card_holder"],
    "sentences": {"en": "{actor} approved {resource}"},
    "metadata_schema": {"type": "object", "properties": {"amount": {"type": "number"}}},
    "first_seen": _TIME,
    "last_seen": _TIME,
    "strict": False,
    "EventTypePage.next_cursor": None,
    "export_id": _ID,
    "format": "csv",
    "compress": None,
    "filter": {"action": ["invoice.*"]},
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "entries": 1841,
    "bytes": 402113,
    "Export.state": "ready",
    "finished_at": _TIME,
    "expires_at": _TIME,
    "link": f"https://acme.example/api/v1/exports/{_ID}/file?link=WyIwMTlhM2Yy",
    "link_expires_at": _TIME,
    "start": _TIME,
    "type": "user",
    "value": "invoice.approved",
    "issuer": "https://login.acme.example",
    "audience": "daybook",
    "role_claim": "groups",
    "roles": {"security": "auditor"},
    "default_role": "member",
    "EventResult.errors": [],
    "EventResult.status": "created",
    "TenantRow.status": "active",
    "key_id": _ID,
    "Key.name": "SIEM",
    "NewKey.name": "SIEM",
    "KeyInput.name": "SIEM",
    "prefix": "dbk_3kV9xQ2a",
    "secret": "dbk_3kV9xQ2aW7cF0hZ5yT1uB8eR4mN6pL2sD9gJ3vK0xQc",
    "last_used_at": _TIME,
    "revoked_at": None,
    "replaced_by": None,
    "overlap_hours": 24,
    "member_id": _ID,
    "invitation_id": _ID,
    "email": "dana@acme.example",
    "Member.name": "Dana",
    "AcceptanceInput.name": "Dana",
    "AcceptanceInput.token": "IjAxOWEzZjJlN2MxYjdkNTQ5YjFlM2Yw:1vNq5k:3kV9xQ2aW7cF0hZ5yT1uB8eR4mN6pL2sD9gJ3vK0xQc",
    "password": "correct horse battery staple",
    "NewView.token": "dbv_eyJpIjoiMDE5YTNmMmUifQ:1vNq5k:3kV9xQ2aW7cF0hZ5yT1uB8eR4mN6pL2sD9gJ3vK0xQc",
    "ViewInput.origin": "https://app.example",
    "View.origin": "https://app.example",
    "NewView.origin": "https://app.example",
    "seconds": 600,
    "Plan.slug": "premium",
    "Plan.name": "Premium",
}
_ACTOR = {"type": "user", "id": "u-42", "label": "dana@acme.example"}
_RESOURCE = {"type": "invoice", "id": "2026-117", "label": "Invoice 2026-117"}
_COMPONENTS: dict[str, Any] = {"ActorInput": _ACTOR, "ResourceInput": _RESOURCE, "Party": _RESOURCE}
_PROPERTIES: dict[str, Any] = {"actor": _ACTOR, "requested_by": _ACTOR, "created_by": _ACTOR, "impersonator": None}
# Of a viewer token it is an id.
_PROPERTIES |= {f"{name}.actor": "u-42" for name in ("ViewInput", "View", "NewView")}
UNKNOWN = "..."


def sample(document: Document, schema: dict[str, Any], name: str = "") -> Any:
    """Return an example of what a schema of the document describes, for a property or parameter of this name."""
    if "$ref" in schema:
        component = schema["$ref"].rpartition("/")[2]
        if component in _COMPONENTS:
            return _COMPONENTS[component]
        return sample(document, document["components"]["schemas"][component], component)
    for word in ("example", "const", "default"):
        if word in schema:
            return schema[word]
    if schema.get("examples"):
        return schema["examples"][0]
    return _of_parts(document, schema, name)


def _of_parts(document: Document, schema: dict[str, Any], name: str) -> Any:
    """Return an example of a schema that says its parts: alternatives (the first), items (one) or properties (all)."""
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            return sample(document, schema[word][0], name)
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "array":
        return [sample(document, schema.get("items", {}), name)]
    if "properties" in schema:
        return {key: _property(document, name, key, part) for key, part in schema["properties"].items()}
    return {"object": {}, "integer": 1, "number": 1, "boolean": True}.get(str(schema.get("type")), UNKNOWN)


def _property(document: Document, component: str, name: str, schema: dict[str, Any]) -> Any:
    for key in (f"{component}.{name}", name):
        if key in _PROPERTIES:
            return _PROPERTIES[key]
        if key in _VALUES and ("." in key or not _is_object(document, schema)):
            return _VALUES[key]
    return sample(document, schema, name)


def parameter(document: Document, described: dict[str, Any]) -> Any:
    """Return an example of a parameter."""
    schema, name = described["schema"], described["name"]
    known = {"actor": "u-42", "tenant": "acme"}.get(name, _VALUES.get(name))
    if known is None:
        return sample(document, schema, name)
    return [known] if schema.get("type") == "array" else known


def _is_object(document: Document, schema: dict[str, Any]) -> bool:
    """Tell whether a schema's own parts make the example: a plan is an object here, a slug there."""
    for part in (schema, *schema.get("anyOf", ())):
        if "$ref" in part:
            found = document["components"]["schemas"][part["$ref"].rpartition("/")[2]]
            return "properties" in found
    return False
