"""Events over HTTP: batches of 500 beside a COPY of the same rows, a stream, and single ones.

An event has 700 bytes as JSON: actor, resource, one target, three changed fields, address, agent, request and two
metadata. The COPY writes the very rows that the batches have written, into the same table with its indexes and
triggers, as superuser, from text that is ready: what PostgreSQL itself takes for them.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from itertools import count
from time import perf_counter
from typing import Any
from uuid import UUID

from bench.api.served import Client, served, together
from bench.base import AGENT, Bench, Figure, interleaved, percentile

BATCH, BATCHES, CLIENTS, ROUNDS = 500, 20, 4, 3
SINGLES, RATE, SECONDS = 1_000, 200, 10
LOGS = "/api/v1/audit-logs"
_CREATED = 201
# All that a client of the database may say of an entry: id, time and transaction are the database's own.
_COLUMNS = """agent_id, version, user_id, actor_uuid, resource_uuid, occurred_at, actor_type, actor_key, action,
operation, outcome, source, request_id, resource_type, resource_key, targets, changes, description, metadata, salt,
actor_label, resource_label, ip"""


def event(rng: random.Random, number: int) -> dict[str, Any]:
    """Return a typical event of 700 bytes."""

    def some() -> str:
        return str(UUID(int=rng.getrandbits(128), version=4))

    return {
        "action": rng.choice(("invoice.paid", "user.updated", "document.viewed", "plan.changed")),
        "actor": {"type": "user", "id": some(), "label": f"person{number}@acme.example"},
        "resource": {"type": "invoice", "id": some(), "label": f"Invoice {number}"},
        "targets": [{"type": "organization", "id": some()}],
        "changes": {"plan": {"old": "free", "new": "premium"}, "seats": {"old": 5, "new": number}},
        "occurred_at": "2026-11-22T10:00:00.123456Z",
        "context": {"ip": f"203.0.113.{number % 250}", "user_agent": AGENT.format(number % 20), "request_id": some()},
        "metadata": {"region": "eu-west-1", "session": rng.getrandbits(64)  % 10**12},
    }  # fmt: skip


def run(bench: Bench) -> list[Figure]:
    """Measure batches and COPY in turns, then the rest."""
    key, rng = _key(bench), random.Random(1)
    batches = [_batch([event(rng, number) for number in range(BATCH)]) for _ in range(BATCHES)]
    singles = [json.dumps(event(rng, number), separators=(",", ":")).encode() for number in range(SINGLES)]
    with served() as port:
        clients = [Client(port, key) for _ in range(CLIENTS)]
        print(f"  {ROUNDS} rounds of {BATCHES} batches, and of COPY", flush=True)
        written, copied, copied_whole = interleaved(
            ROUNDS,
            lambda: together(clients, _post, batches),
            lambda: _copy(bench, BATCHES, BATCH),
            lambda: _copy(bench, 1, BATCHES * BATCH),
        )
        stream = together(clients[:1], _stream, [batches] * 2)
        alone = together(clients, _post, singles)
        took = _paced(port, key, singles)
    events = BATCHES * BATCH
    return [
        Figure("bytes of an event", sum(map(len, singles)) / len(singles), "B"),
        _rate("events/s in batches of 500", events, written, least=15_000),
        _rate("rows/s of COPY, 500 a transaction", events, copied),
        _rate("rows/s of COPY, all in one", events, copied_whole),
        Figure("batches / COPY, 500 a transaction", _ratio(copied, written), "times", least=0.4),
        Figure("batches / COPY, all in one", _ratio(copied_whole, written), "times", least=0.4),
        Figure("events/s in one stream", 2 * events / stream, "/s"),
        Figure("single events/s", SINGLES / alone, "/s", least=350),
        Figure(f"single, {RATE} a second: p99", percentile(took, 99), "ms", 40, f"p50 {percentile(took, 50):.1f} ms"),
    ]


def _rate(name: str, rows: int, seconds: list[float], least: float | None = None) -> Figure:
    return Figure(name, rows / statistics.median(seconds), "/s", least=least)


def _ratio(peer: list[float], ours: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(peer, ours, strict=True))


def _key(bench: Bench) -> str:
    from tenants import apikeys  # noqa: PLC0415 - Django is set up by now
    from tenants.context import SYSTEM, platform_scope  # noqa: PLC0415
    from tenants.models import Tenant  # noqa: PLC0415

    with platform_scope(actor=SYSTEM):
        acme = Tenant.objects.get(slug=bench.acme.slug)
        return apikeys.issue(name="bench ingest", tenant=acme, scopes=["audit:write"])[1]


def _batch(events: list[dict[str, Any]]) -> bytes:
    return json.dumps({"events": events}, separators=(",", ":")).encode()


def _post(client: Client, body: bytes) -> None:
    status, answer = client.send("POST", LOGS, body)
    assert status == _CREATED, answer[:500]


def _stream(client: Client, batches: list[bytes]) -> None:
    lines = [json.dumps(one, separators=(",", ":")) for body in batches for one in json.loads(body)["events"]]
    status, answer = client.send("POST", LOGS, "\n".join(lines).encode(), **{"Content-Type": "application/x-ndjson"})
    assert status == _CREATED, answer[:500]


def _copy(bench: Bench, transactions: int, rows: int) -> float:
    """Return the seconds of COPY of the newest entries, again and again."""
    with bench.admin() as admin, admin.cursor() as cursor:
        cursor.execute(f"SET search_path = {bench.acme.schema_name}")
        newest = f"SELECT {_COLUMNS} FROM audit_log WHERE source = 'api' ORDER BY id DESC LIMIT {rows}"
        with cursor.copy(f"COPY ({newest}) TO STDOUT") as copy:
            text = b"".join(bytes(piece) for piece in copy)
        began = perf_counter()
        for _ in range(transactions):
            with cursor.copy(f"COPY audit_log ({_COLUMNS}) FROM STDIN") as copy:
                copy.write(text)
        return perf_counter() - began


def _paced(port: int, key: str, bodies: list[bytes]) -> list[float]:
    """Return the milliseconds of single events that come at a fixed rate, from when each was due."""
    clients, turn, took = [Client(port, key) for _ in range(2 * CLIENTS)], count(), list[float]()
    began = perf_counter() + 0.1

    def one(client: Client, body: bytes) -> None:
        due = began + next(turn) / RATE
        time.sleep(max(0.0, due - perf_counter()))
        _post(client, body)
        took.append((perf_counter() - due) * 1000)

    together(clients, one, [bodies[number % len(bodies)] for number in range(RATE * SECONDS)])
    return took
