"""OCSF 1.8: an entry as an event of the class that fits it, Entity Management (3004) where none does better.

A class is chosen only where each field that it requires can be filled from the entry, so every event is valid.
What OCSF has no place for stands in `unmapped`, under the entry's own names.
"""

from __future__ import annotations

import re
from typing import Any

from audit.formats.ocsf_classes import Event, classified
from audit.formats.times import happened, millis

VERSION = "1.8.0"
_STATUS = {"success": (1, "Success"), "failure": (2, "Failure"), "denied": (2, "Failure"), "unknown": (0, "Unknown")}
_INFORMATIONAL = 1
_KINDS = {"user": (1, "User"), "staff": (99, "staff"), "anonymous": (0, "Unknown")}
# Stricter than the schema's own pattern, which a line end may follow.
_EMAIL = re.compile(r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~.-]+@[a-zA-Z0-9-]+\.[a-zA-Z0-9.-]+")
# Everything else of an entry has a place of its own.
_UNMAPPED = ("targets", "changes", "metadata", "impersonator", "captured")


def render(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry as an OCSF event. The times are milliseconds since 1970."""
    found = classified(entry)
    status_id, status = _STATUS[entry["outcome"]]
    event = {
        **_of_class(found),
        "severity_id": _INFORMATIONAL,
        "time": millis(happened(entry)),
        "status_id": status_id,
        "status": status,
        "status_code": entry["outcome"],
        "metadata": _metadata(entry),
        "actor": _actor(entry["actor"]),
        "unmapped": _unmapped(entry),
        **found.fields,
    }
    return event | _optional(entry)


def _of_class(found: Event) -> dict[str, Any]:
    kind = found.kind
    return {
        "category_uid": kind.category_uid,
        "category_name": kind.category_name,
        "class_uid": kind.uid,
        "class_name": kind.name,
        "activity_id": found.activity_id,
        "activity_name": found.activity_name,
        "type_uid": kind.uid * 100 + found.activity_id,
        "type_name": f"{kind.name}: {found.activity_name}",
    }


def _metadata(entry: dict[str, Any]) -> dict[str, Any]:
    tenant, context = entry["tenant"], entry["context"]
    known = {
        "sequence": entry["position"],
        "tenant_uid": tenant["id"] if tenant else None,
        "correlation_uid": context["request_id"],
    }
    return {
        "version": VERSION,
        "product": {"name": "Daybook", "vendor_name": "Daybook"},
        "uid": entry["id"],
        "event_code": entry["action"],
        "log_version": str(entry["version"]),
        "log_source": context["source"],
        "original_time": happened(entry),
        "logged_time": millis(entry["created_at"]),
        **{name: value for name, value in known.items() if value is not None},
    }


def _actor(actor: dict[str, str]) -> dict[str, Any]:
    """Return who acted: a person as a user, a key or a program as an application."""
    if actor["type"] not in _KINDS:
        named = {"app_name": actor["label"]} if actor["label"] else {}
        return {"app_uid": actor["id"], **named}
    type_id, kind = _KINDS[actor["type"]]
    return {"user": {**_user(actor), "type_id": type_id, "type": kind}}


def _user(party: dict[str, str]) -> dict[str, Any]:
    """Return a party as an OCSF user; a label that is an e-mail address is also said to be one."""
    found = {"uid": party["id"]}
    if party["label"]:
        found["name"] = party["label"]
    if _EMAIL.fullmatch(party["label"]):
        found["email_addr"] = party["label"]
    return found


def _unmapped(entry: dict[str, Any]) -> dict[str, Any]:
    more = {name: entry[name] for name in _UNMAPPED if entry[name] not in (None, [], {})}
    return {"actor_type": entry["actor"]["type"], "transaction_id": entry["context"]["transaction_id"], **more}


def _optional(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what only some entries say: address, user agent, description."""
    context, found = entry["context"], dict[str, Any]()
    if context["ip"]:
        found["src_endpoint"] = {"ip": context["ip"]}
    if context["user_agent"]:
        found["http_request"] = {"user_agent": context["user_agent"]}
    if entry["description"]:
        found["message"] = entry["description"]
    return found
