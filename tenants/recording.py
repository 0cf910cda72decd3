"""Where `tenants` says what must be recorded, without knowing the trail: a protocol that `config` fills in."""

from __future__ import annotations

from typing import Any, Protocol
from uuid import UUID


class Recorder(Protocol):
    """Writes one entry into the trail of the open scope, the tenant's or the platform's, and returns its id."""

    def __call__(  # noqa: D102
        self,
        *,
        action: str,
        resource: tuple[str, str, str],
        outcome: str = "success",
        changes: dict[str, Any] | None = None,
        description: str = "",
        tenant_id: UUID | None = None,
    ) -> UUID: ...


def _unfilled(**_entry: object) -> UUID:
    raise RuntimeError("No recorder is set: `config.apps` sets tenants.recording.record when Django starts.")


_recorder: Recorder = _unfilled


def fill(recorder: Recorder) -> None:
    """Set the recorder of this process."""
    global _recorder  # noqa: PLW0603 - filled once, when Django starts
    _recorder = recorder


def record(
    action: str,
    resource: tuple[str, str, str],
    *,
    outcome: str = "success",
    changes: dict[str, Any] | None = None,
    description: str = "",
    tenant_id: UUID | None = None,
) -> UUID:
    """Record an action on a resource (type, id, label) in the open scope's trail and transaction; return its id.

    `tenant_id` says which tenant an entry of the platform log is about; a tenant's own trail needs no telling.
    """
    return _recorder(
        action=action,
        resource=resource,
        outcome=outcome,
        changes=changes,
        description=description,
        tenant_id=tenant_id,
    )
