"""What the SDK of WorkOS expects to get: objects that say what they are, lists with the ends of a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from audit.api.workos import schemas
from audit.api.workos.errors import ValidationFailed
from audit.declared import Declared, Version
from audit.models import AuditExport
from tenants.errors import Fault

_ORDERS = ("asc", "desc", "normal")
_MOST, _USUAL = 100, 10
_Item = TypeVar("_Item")


def rendered(moment: datetime) -> str:
    """Return a time as WorkOS writes it: in UTC with milliseconds."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def schema(version: Version) -> dict[str, Any]:
    """Return one version of an action's schema."""
    return {
        "object": "audit_log_schema",
        "version": version.number,
        **schemas.sent(version.schema),
        "created_at": rendered(version.created_at),
    }


def action(one: Declared) -> dict[str, Any]:
    """Return an action with its current schema."""
    return {
        "object": "audit_log_action",
        "name": one.name,
        "schema": schema(one.current),
        "created_at": rendered(one.declared_at),
        "updated_at": rendered(one.changed_at),
    }


# What the states of an export are called.
_STATES = {"pending": "pending", "running": "pending", "ready": "ready", "failed": "error", "expired": "expired"}


def export(job: AuditExport, url: str | None) -> dict[str, Any]:
    """Return an export; `url` is where its file is, once it is ready."""
    return {
        "object": "audit_log_export",
        "id": str(job.pk),
        "state": _STATES[job.state],
        "url": url,
        "created_at": rendered(job.created_at),
        "updated_at": rendered(job.finished_at or job.created_at),
    }


@dataclass(frozen=True, slots=True)
class Slice:
    """Which part of a list is asked for."""

    limit: int = _USUAL
    after: str | None = None
    before: str | None = None
    descending: bool = True


def asked(sent: Mapping[str, Sequence[str]]) -> Slice:
    """Return what the parameters of a list ask. Raises ValidationFailed, which names each."""
    faults: list[Fault] = []
    for name, values in sent.items():
        if (detail := _wrong(name, values)) is not None:
            faults.append({"parameter": name, "code": "invalid", "detail": detail})
    if faults:
        raise ValidationFailed(errors=faults)
    said = {name: values[0] for name, values in sent.items()}
    limit, order = int(said.get("limit", _USUAL)), said.get("order", "desc")
    return Slice(limit, said.get("after"), said.get("before"), descending=order == "desc")


def _wrong(name: str, values: Sequence[str]) -> str | None:
    if name not in {"limit", "after", "before", "order"} or len(values) != 1:
        return "There is no such parameter here, or it is given twice."
    value = values[0]
    if name == "order" and value not in _ORDERS:
        return f"This is one of: {', '.join(_ORDERS)}."
    digits = value.isascii() and value.isdecimal() and len(value) <= len(str(_MOST))
    if name == "limit" and not (digits and 1 <= int(value) <= _MOST):
        return f"This is a whole number from 1 to {_MOST}."
    return None


def page(
    items: Sequence[_Item], part: Slice, key: Callable[[_Item], str], shown: Callable[[_Item], dict[str, Any]]
) -> dict[str, Any]:
    """Return a page of items that are given in the order of their making. Raises ValidationFailed."""
    ordered = [*items][:: -1 if part.descending else 1]
    keys = [key(item) for item in ordered]
    first, last = 0, len(keys)
    if part.after is not None:
        first = _place(keys, "after", part.after) + 1
    if part.before is not None:
        last = _place(keys, "before", part.before)
    if part.before is not None and part.after is None:
        first = max(0, last - part.limit)
    last = min(last, first + part.limit)
    return {
        "object": "list",
        "data": [shown(item) for item in ordered[first:last]],
        "list_metadata": {
            "before": keys[first] if 0 < first < len(keys) else None,
            "after": keys[last - 1] if first < last < len(keys) else None,
        },
    }


def _place(keys: list[str], name: str, value: str) -> int:
    if value not in keys:
        raise ValidationFailed(
            errors=[{"parameter": name, "code": "invalid", "detail": "There is nothing of this id in the list."}]
        )
    return keys.index(value)
