"""The entry as the API shows it."""

from __future__ import annotations

from typing import Any


def render(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry as it is."""
    return entry
