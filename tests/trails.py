"""A trail to search in, and what a filter means in a few lines of plain Python: the oracle of the real ones."""

from __future__ import annotations

import random
import time
from typing import Any

from world import World

from audit import ingest
from audit.entry import as_uuid
from audit.events import Event, Outcome, Party, RequestContext
from audit.query import Filter

ACTIONS = ["invoice.paid", "invoice.sent", "invoice", "invoicex.paid", "user.deleted", "100%_done", "a\\b", "created"]
ACTORS = ["u-1", "u-2", "1b1b5d9d-3c11-4d58-9d0b-4f7f1e0a7e65", "system", "o'hara"]
TYPES = ["invoice", "user", "a:b"]
RESOURCES = ["7", "8", "", "b:c", "4F7F1E0A7E654D589D0B1B1B5D9D3C11", "x/y"]


def generated(number: int, seed: int = 1) -> list[Event]:
    pick = random.Random(seed)
    return [
        Event(
            action=pick.choice(ACTIONS),
            actor=Party("user", pick.choice(ACTORS)),
            resource=Party(pick.choice(TYPES), pick.choice(RESOURCES)),
            outcome=pick.choice([*Outcome]),
            context=RequestContext(user_agent=pick.choice(["curl/8", None])),
        )
        for _ in range(number)
    ]


def fill(world: World, events: list[Event]) -> list[dict[str, Any]]:
    """Write events in several transactions; return what is stored of them and of what was there, newest first."""
    for start in range(0, len(events), 40):
        with world.scope("acme"):
            ingest.write([(None, event) for event in events[start : start + 40]], keep_for=None)
        time.sleep(0.002)
    return stored(world)


def stored(world: World) -> list[dict[str, Any]]:
    columns = ["id", "created_at", "action", "actor_id", "resource_type", "resource_id", "outcome"]
    schema = world.acme.schema_name
    rows = world.sql(f"SELECT {', '.join(columns)} FROM {schema}.audit_log ORDER BY id DESC")
    return [dict(zip(columns, row, strict=True)) for row in rows]


def same(text: str) -> str:
    return str(as_uuid(text) or text)


def named(action: str, pattern: str) -> bool:
    return action.startswith(pattern[:-1]) if pattern.endswith(".*") else action == pattern


def oracle(entry: dict[str, Any], wanted: Filter) -> bool:
    """Say in plain Python whether a filter lets an entry through."""
    asked = [pattern for pattern in wanted.actions if not pattern.startswith("-")]
    refused = [pattern[1:] for pattern in wanted.actions if pattern.startswith("-")]
    return (
        (not asked or any(named(entry["action"], pattern) for pattern in asked))
        and not any(named(entry["action"], pattern) for pattern in refused)
        and (wanted.actor is None or entry["actor_id"] == same(wanted.actor))
        and (wanted.resource_type is None or entry["resource_type"] == wanted.resource_type)
        and (wanted.resource_id is None or entry["resource_id"] == same(wanted.resource_id))
        and (wanted.outcome is None or entry["outcome"] == wanted.outcome)
        and (wanted.since is None or entry["created_at"] >= wanted.since)
        and (wanted.until is None or entry["created_at"] < wanted.until)
    )
