"""CSV (RFC 4180, UTF-8 without a byte order mark): a header, one row an entry, JSON columns as JSON text.

Spreadsheets run a cell that begins with `=`, `+`, `-`, `@`, a tab or a line break as a formula. Such a cell gets an
apostrophe before it, and so does one that begins with an apostrophe: whoever takes one leading apostrophe off a cell
that has one has the text again, exactly.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from audit.formats.file import BROKEN

COLUMNS = (
    "id", "position", "tenant_id", "tenant_slug", "created_at", "occurred_at", "action", "operation", "outcome",
    "actor_type", "actor_id", "actor_label", "impersonator_type", "impersonator_id", "impersonator_label",
    "resource_type", "resource_id", "resource_label", "targets", "changes", "description",
    "ip", "user_agent", "request_id", "source", "transaction_id", "metadata", "version", "captured",
)  # fmt: skip
_RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
_NOBODY = {"type": None, "id": None, "label": None}


class CsvWriter:
    """Entries as rows."""

    def begin(self) -> bytes:
        """Return the header."""
        return _rows([COLUMNS])

    def page(self, lines: Sequence[str]) -> bytes:
        """Return a row for each entry."""
        return _rows([[_cell(value) for value in row(json.loads(line))] for line in lines])

    def end(self) -> bytes:
        """Return nothing."""
        return b""

    def broken(self) -> bytes:
        """Return a last row of one cell, `#export_interrupted`: it has fewer columns than the header."""
        return _rows([[f"#{BROKEN}"]])


def row(entry: dict[str, Any]) -> list[Any]:
    """Return an entry's values in the order of COLUMNS, not yet made safe."""
    tenant, context = entry["tenant"] or {"id": None, "slug": None}, entry["context"]
    by, actor, resource = entry["impersonator"] or _NOBODY, entry["actor"], entry["resource"]
    return [
        entry["id"], entry["position"], tenant["id"], tenant["slug"], entry["created_at"], entry["occurred_at"],
        entry["action"], entry["operation"], entry["outcome"],
        actor["type"], actor["id"], actor["label"], by["type"], by["id"], by["label"],
        resource["type"], resource["id"], resource["label"],
        entry["targets"] or None, entry["changes"], entry["description"],
        context["ip"], context["user_agent"], context["request_id"], context["source"], context["transaction_id"],
        entry["metadata"] or None, entry["version"], entry["captured"],
    ]  # fmt: skip


def _rows(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_RISKY) else value
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(value).lower() if isinstance(value, bool) else value
