"""Times of an entry as numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def happened(entry: dict[str, Any]) -> str:
    """Return when it happened: as the client claims, else when it was recorded. RFC 3339, in UTC."""
    said: str = entry["occurred_at"] or entry["created_at"]
    return said


def millis(text: str) -> int:
    """Return the whole milliseconds since 1970 of an RFC 3339 time."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)
