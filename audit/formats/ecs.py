"""Elastic Common Schema 8.17: an entry as a document for Elasticsearch.

What ECS has no field for stands under `daybook`, a name that ECS leaves to others. Map `daybook.changes` and
`daybook.metadata` as `flattened`: their shape differs from entry to entry.
"""

from __future__ import annotations

from typing import Any

from audit.formats.times import happened
from audit.formats.verbs import GROUPS, PEOPLE, SIGN_INS, SIGN_OUTS, kind_of, look_up

VERSION = "8.17.0"
_OUTCOME = {"denied": "failure"}
_TYPES = {"create": "creation", "read": "access", "update": "change", "delete": "deletion", "other": "info"}
_SIGNS = {**dict.fromkeys(SIGN_INS, "start"), **dict.fromkeys(SIGN_OUTS, "end")}


def render(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry as an ECS document."""
    document = {
        "@timestamp": happened(entry),
        "ecs": {"version": VERSION},
        "event": _event(entry),
        "user": _users(entry),
        "related": _related(entry),
        "daybook": _rest(entry),
    }
    return document | _optional(entry)


def _event(entry: dict[str, Any]) -> dict[str, Any]:
    category, types = _categories(entry)
    event = {
        "id": entry["id"],
        "kind": "event",
        "category": [category],
        "type": types,
        "action": entry["action"],
        "outcome": _OUTCOME.get(entry["outcome"], entry["outcome"]),
        "created": entry["created_at"],
        "provider": "daybook",
        "dataset": "daybook.audit",
    }
    return event if entry["position"] is None else {**event, "sequence": entry["position"]}


def _categories(entry: dict[str, Any]) -> tuple[str, list[str]]:
    """Return the category of an entry, and the types that ECS expects in it."""
    sign = look_up(_SIGNS, entry["action"])
    if sign is not None:
        return "authentication", [sign]
    what, kind = _TYPES[entry["operation"]], kind_of(entry["resource"]["type"])
    if kind in PEOPLE | GROUPS:
        return "iam", ["group" if kind in GROUPS else "user", "info" if what == "access" else what]
    return "configuration", [what]


def _users(entry: dict[str, Any]) -> dict[str, Any]:
    """Return who acted; where somebody acted under another's name, that other one is `effective`."""
    by = entry["impersonator"]
    return _user(entry["actor"]) if by is None else {**_user(by), "effective": _user(entry["actor"])}


def _user(party: dict[str, str]) -> dict[str, Any]:
    """Return a party as a user. A key or a program is one, too: ECS has no other place for who acts."""
    found = {"id": party["id"]}
    if party["label"]:
        found["email" if "@" in party["label"] else "name"] = party["label"]
    return found


def _related(entry: dict[str, Any]) -> dict[str, Any]:
    people = [entry["actor"], *([entry["impersonator"]] if entry["impersonator"] else [])]
    words = {word for party in people for word in (party["id"], party["label"]) if word}
    related: dict[str, Any] = {"user": sorted(words)}
    return {**related, "ip": [entry["context"]["ip"]]} if entry["context"]["ip"] else related


def _rest(entry: dict[str, Any]) -> dict[str, Any]:
    context, by = entry["context"], entry["impersonator"]
    rest = {
        "actor": {"type": entry["actor"]["type"]},
        "resource": entry["resource"],
        "operation": entry["operation"],
        "outcome": entry["outcome"],
        "source": context["source"],
        "transaction_id": context["transaction_id"],
        "version": entry["version"],
        "captured": entry["captured"],
    }
    more = {name: entry[name] for name in ("targets", "changes", "metadata") if entry[name]}
    return rest | more | ({"impersonator": {"type": by["type"]}} if by else {})


def _optional(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what only some entries say."""
    context, tenant = entry["context"], entry["tenant"]
    found = {
        "organization": tenant and {"id": tenant["id"], "name": tenant["slug"]},
        "source": context["ip"] and {"ip": context["ip"]},
        "user_agent": context["user_agent"] and {"original": context["user_agent"]},
        "http": context["request_id"] and {"request": {"id": context["request_id"]}},
        "message": entry["description"],
        "labels": _labels(entry["metadata"]),
    }
    return {name: value for name, value in found.items() if value}


def _labels(metadata: dict[str, Any]) -> dict[str, str]:
    """Return the plain values of the metadata as texts. A dot in a name would make an object of it.

    `a.b` beside `a_b` becomes `a_b_`.
    """
    labels: dict[str, str] = {}
    for name in sorted(metadata, key=lambda name: "." in name):
        value, label = metadata[name], name.replace(".", "_")
        if name and isinstance(value, str | int | float):
            while label in labels:
                label += "_"
            labels[label] = _word(value)
    return labels


def _word(value: str | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
