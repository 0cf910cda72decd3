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
    world.sequence()
    return stored(world)


def stored(world: World) -> list[dict[str, Any]]:
    columns = ["id", "created_at", "action", "actor_id", "resource_type", "resource_id", "outcome", "source"]
    columns += ["operation", "request_id"]
    schema = world.acme.schema_name
    rows = world.sql(f"SELECT {', '.join(columns)} FROM {schema}.audit_log ORDER BY id DESC")
    return [dict(zip(columns, row, strict=True)) for row in rows]


def same(text: str) -> str:
    return str(as_uuid(text) or text)


COLUMNS = {"actor": "actor_id", "transaction": "transaction_id"}


def named(entry: dict[str, Any], field: str, value: str) -> bool:
    """Say whether an entry has a value, or begins with it."""
    found = str(entry[COLUMNS.get(field, field)] or "")
    return found.startswith(value[:-1]) if value.endswith("*") else same(found) == same(value.removeprefix("\\"))


def oracle(entry: dict[str, Any], wanted: Filter) -> bool:
    """Say in plain Python whether a filter lets an entry through."""
    for field in ("action", "actor", "resource_type", "resource_id", "outcome", "source", "operation", "request_id"):
        values = getattr(wanted, field)
        asked = [value for value in values if not value.startswith("-")]
        refused = [value[1:] for value in values if value.startswith("-")]
        if asked and not any(named(entry, field, value) for value in asked):
            return False
        if any(named(entry, field, value) for value in refused):
            return False
    return (wanted.since is None or entry["created_at"] >= wanted.since) and (
        wanted.until is None or entry["created_at"] < wanted.until
    )
