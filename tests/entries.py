"""Entries as the API shows them, made up or of the corpus, without a database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from leaves import corpus_lines

from audit.events import Event, Party, operation_of
from audit.importers import FORMATS, Unmappable

TENANT = {"id": "019a0000-0000-7000-8000-00000000acae", "slug": "acme"}
CREATED = datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)
CORPUS = {"github": "github.jsonl", "okta": "okta.jsonl", "cloudtrail": "aws_cloudtrail.jsonl"}


def made(action: str = "updated", **fields: Any) -> dict[str, Any]:
    """Return an entry of which each field says something, with other values for some of them."""
    return {
        "id": "019a0000-0000-7000-8000-000000000001",
        "position": 1841,
        "tenant": TENANT,
        "created_at": "2026-11-22T10:00:00.123456Z",
        "occurred_at": "2026-11-22T09:59:59.999999Z",
        "action": action,
        "operation": operation_of(action).value,
        "outcome": "success",
        "actor": party("user", "019a0000-0000-7000-8000-0000000a11ce", "alice@acme.example"),
        "impersonator": None,
        "resource": party("organization", "o-1", "Acme"),
        "targets": [],
        "changes": {"plan": {"old": "free", "new": "premium"}},
        "description": "Alice bought the better plan.",
        "context": {
            "ip": "203.0.113.7",
            "user_agent": "curl/8",
            "request_id": "r-1",
            "source": "request",
            "transaction_id": "742",
        },
        "metadata": {"team": "sales", "seats": 5},
        "version": 1,
        "captured": False,
        **fields,
    }


def party(kind: str, key: str, label: str = "") -> dict[str, str]:
    """Return a party as the API shows it."""
    return {"type": kind, "id": key, "label": label}


def shown(event: Event, number: int) -> dict[str, Any]:
    """Return an event as the API would show its entry."""
    context = event.context
    return {
        "id": str(UUID(int=(0x019A << 112) + (7 << 76) + (2 << 62) + number)),
        "position": number or None,
        "tenant": TENANT,
        "created_at": _rendered(CREATED),
        "occurred_at": event.occurred_at and _rendered(event.occurred_at),
        "action": event.action,
        "operation": str(event.operation or operation_of(event.action)),
        "outcome": str(event.outcome),
        "actor": _party(event.actor or Party("system", "daybook", "Daybook")),
        "impersonator": event.impersonator and _party(event.impersonator),
        "resource": _party(event.resource),
        "targets": [_party(target) for target in event.targets],
        "changes": event.changes,
        "description": event.description,
        "context": {
            "ip": context.ip,
            "user_agent": context.user_agent,
            "request_id": context.request_id,
            "source": str(context.source or "import"),
            "transaction_id": "742",
        },
        "metadata": event.metadata,
        "version": event.version,
        "captured": False,
    }


def corpus() -> Iterator[dict[str, Any]]:
    """Yield the entries of all events of the corpus; skips the test, saying so, where it is not there."""
    number = 0
    for vendor, name in CORPUS.items():
        for line in corpus_lines(name):
            try:
                event = FORMATS[vendor](line)
            except Unmappable:
                continue
            yield shown(event, number)
            number += 1


def _party(said: Party) -> dict[str, str]:
    return party(str(said.type), said.id, said.label)


def _rendered(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
