"""An entry as it is read, and the other answers of the API. The models are what the OpenAPI document shows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, RootModel

from audit.entry import LogEntry
from audit.events import Operation, Outcome, Source
from audit.wire import EventInput
from tenants.api.routes import FaultAnswer, Problem
from tenants.api.wire import Answer, Written, rendered
from tenants.context import TenantLike


class PartyAnswer(Answer):
    """An actor, a resource or a target. An erased or missing label is empty."""

    type: str
    id: str
    label: str


class TenantAnswer(Answer):
    """Whose entry it is."""

    id: str
    slug: str


class ContextAnswer(Answer):
    """Where the action came from; `transaction_id` groups what was written together."""

    ip: str | None
    user_agent: str | None
    request_id: str | None
    source: Source
    transaction_id: str


class AuditLogAnswer(Answer):
    """One entry of the trail. `position` is null until the entry is sequenced."""

    id: str
    position: int | None
    tenant: TenantAnswer | None
    created_at: AwareDatetime
    occurred_at: AwareDatetime | None
    action: str
    operation: Operation
    outcome: Outcome
    actor: PartyAnswer
    impersonator: PartyAnswer | None
    resource: PartyAnswer
    targets: list[PartyAnswer]
    changes: dict[str, Any] | None
    description: str
    context: ContextAnswer
    metadata: dict[str, Any]
    version: int
    captured: Annotated[bool, Field(description="Whether the database wrote it, of a row that was changed.")]
    sentence: Annotated[str, Field(description="The entry in words, where `language` is asked for.")] = ""


class AuditLogPage(Answer):
    """A page. `next` and `previous` are null where there is nothing more; `next_cursor` is always a place to resume."""

    results: list[AuditLogAnswer]
    next: str | None
    previous: str | None
    next_cursor: str
    oldest_kept: Annotated[AwareDatetime | None, Field(description="Null: nothing was ever purged.")]
    cold: Annotated[bool, Field(description="Whether a part of the page came from the archive.")]


class EventResult(Answer):
    """What became of one event: for `duplicate`, `id` is that of the entry its key wrote before."""

    status: Literal["created", "duplicate", "rejected"]
    id: str | None
    errors: list[FaultAnswer]


class EventResults(Answer):
    """What became of the events of a batch, in their order."""

    results: list[EventResult]


class ShownPage(Answer):
    """A page whose entries are shown in another format, or with some of their fields."""

    results: list[dict[str, Any]]
    next: str | None
    previous: str | None
    next_cursor: str
    oldest_kept: Annotated[AwareDatetime | None, Field(description="Null: nothing was ever purged.")]
    cold: Annotated[bool, Field(description="Whether a part of the page came from the archive.")]


class ShownEntry(RootModel[dict[str, Any]]):
    """One entry in another format, or some of its fields."""


class LineFaults(Answer):
    """A line that was rejected: its number, from 1, and what is wrong with it (ten faults at most)."""

    line: int
    errors: list[FaultAnswer]


class StreamAnswer(Answer):
    """What became of the first `lines` lines of a stream: each was created, a duplicate, rejected, or blank."""

    lines: int
    created: int
    duplicates: int
    rejected: list[LineFaults]


class StreamProblem(Problem):
    """An error; of a stream it says what was stored before it: all that the counts count, and nothing else."""

    lines: int = 0
    created: int = 0
    duplicates: int = 0
    rejected: list[LineFaults] = []


class WriteAnswer(RootModel[AuditLogAnswer | EventResults | StreamAnswer]):
    """The entry of a single event, what became of a batch, or of a stream."""


class RepeatedAnswer(RootModel[EventResult | StreamAnswer]):
    """Nothing new: the entry that the event's key wrote before, or a stream without new events."""


class BatchInput(Written):
    """Up to 1,000 events, 5 MB in all."""

    events: Annotated[list[EventInput], Field(min_length=1, max_length=1000)]


class EventsInput(RootModel[EventInput | BatchInput]):
    """One event, or a batch."""


def represent(entry: Any, tenant: TenantLike | None) -> dict[str, Any]:
    """Return an entry of any trail as the API shows it. Load entries with their `agent`."""
    row: LogEntry = entry
    by = row.impersonator_type
    return {
        "id": str(row.id),
        "position": row.position,
        "tenant": None if tenant is None else {"id": str(tenant.id), "slug": tenant.slug},
        "created_at": rendered(row.created_at),
        "occurred_at": None if row.occurred_at is None else rendered(row.occurred_at),
        "action": row.action,
        "operation": row.operation,
        "outcome": row.outcome,
        "actor": _party(row.actor_type, row.actor_id, row.actor_label),
        "impersonator": None if by is None else _party(by, row.impersonator_id, row.impersonator_label),
        "resource": _party(row.resource_type, row.resource_id, row.resource_label),
        "targets": row.targets or [],
        "changes": row.all_changes,
        "description": row.description or "",
        "context": {
            "ip": row.ip,
            "user_agent": entry.agent.user_agent if entry.agent_id is not None else None,
            "request_id": row.request_id,
            "source": row.source,
            "transaction_id": str(row.transaction_id),
        },
        "metadata": row.metadata or {},
        "version": row.version,
        "captured": row.captured,
    }


def _party(kind: str, key: str | None, label: str | None) -> dict[str, str]:
    return {"type": kind, "id": key or "", "label": label or ""}
