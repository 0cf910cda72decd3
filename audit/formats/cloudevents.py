"""CloudEvents 1.0, structured JSON: the attributes that route an event, and the whole entry as `data`."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from audit.formats.times import happened

# What the specification forbids in texts, which an action or an id may hold.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef]|[\ufffe\uffff\U0001fffe\U0001ffff]")
_DIGITS = 19


def render(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry as a CloudEvent. Characters that may not stand in an attribute are percent-encoded there."""
    tenant, resource = entry["tenant"], entry["resource"]
    event = {
        "specversion": "1.0",
        "id": entry["id"],
        "source": f"urn:uuid:{tenant['id']}" if tenant else "urn:daybook:platform",
        "type": _allowed(entry["action"]),
        "subject": _allowed(f"{resource['type']}/{resource['id']}"),
        "time": happened(entry),
        "datacontenttype": "application/json",
        "dataschema": f"urn:daybook:event:{quote(entry['action'], safe='')}:{entry['version']}",
        "data": entry,
    }
    if tenant:
        event["tenant"] = _allowed(tenant["slug"])
    if entry["position"] is not None:
        # The extension asks for a text whose order is that of the events.
        event["sequence"] = f"{entry['position']:0{_DIGITS}d}"
    return event


def _allowed(text: str) -> str:
    return _FORBIDDEN.sub(lambda match: quote(match[0], safe=""), text)
