"""Pages of 100 entries of a trail of 1,000,000: in the process, and through the whole HTTP stack.

In the process means filter, query, rows and their representation, in an open unit of work. Each filter is
asked with many values, frequent and rare ones, and with time bounds anywhere in the 90 days of the trail. What is
held to the aim is the time on the clock; beside it stands the CPU of both processes, which a busy machine disturbs
less.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from time import perf_counter
from typing import Any
from uuid import UUID

from django.db import connection
from django.test import Client

from audit import query
from audit.api.representation import represent
from audit.events import Outcome
from audit.models import AuditLog
from audit.query import Filter, Order, Place
from bench import fill
from bench.base import Bench, Cost, Figure, cost, interleaved, percentile
from tenants.context import tenant_scope

ENTRIES, LIMIT, TIMES = 1_000_000, 100, 100
PLANS, PATIENCE = 10, 5.0
AIM = 15.0


def _id(kind: str, number: int) -> str:
    """Return the id that `fill` gives to a person or a resource."""
    return str(UUID(hashlib.md5(f"{kind}{number}".encode(), usedforsecurity=False).hexdigest()))


def _person(rng: random.Random) -> str:
    return _id("person", int(rng.random() ** 3 * fill.PEOPLE))


def _resource(rng: random.Random) -> tuple[str, str]:
    number = int(rng.random() ** 3 * fill.RESOURCES)
    return fill.TYPES[number % len(fill.TYPES)], _id("resource", number)


def _moment(rng: random.Random) -> datetime:
    return datetime.now(UTC) - timedelta(days=rng.uniform(1, 89))


def _about(rng: random.Random) -> Filter:
    kind, key = _resource(rng)
    return Filter(resource_type=(kind,), resource_id=(key,))


def _between(rng: random.Random) -> Filter:
    moment = _moment(rng)
    return Filter(since=moment, until=moment + timedelta(hours=rng.uniform(1, 48)))


FILTERS: dict[str, Callable[[random.Random], Filter]] = {
    "no filter": lambda _rng: Filter(),
    "actor": lambda rng: Filter(actor=(_person(rng),)),
    "resource": _about,
    "resource_id": lambda rng: Filter(resource_id=(_resource(rng)[1],)),
    "resource_type": lambda rng: Filter(resource_type=(rng.choice(fill.TYPES),)),
    "resource_type, 1 of 10,000": lambda _rng: Filter(resource_type=("region",)),
    "action": lambda rng: Filter(action=(rng.choice(fill.ACTIONS),)),
    "action, 1 of 10,000": lambda _rng: Filter(action=("tenant.frozen",)),
    "two actions": lambda rng: Filter(action=tuple(rng.sample(fill.ACTIONS, 2))),
    "action prefix": lambda _rng: Filter(action=("invoice.*",)),
    "action prefix, 1 of 10,000": lambda _rng: Filter(action=("tenant.*",)),
    "action excluded": lambda rng: Filter(action=("-" + rng.choice(fill.ACTIONS),)),
    "outcome success": lambda _rng: Filter(outcome=(Outcome.SUCCESS,)),
    "outcome denied, 1 of 100": lambda _rng: Filter(outcome=(Outcome.DENIED,)),
    "outcome unknown, 1 of 10,000": lambda _rng: Filter(outcome=(Outcome.UNKNOWN,)),
    "actor + action": lambda rng: Filter(actor=(_person(rng),), action=(rng.choice(fill.ACTIONS),)),
    "actor + resource_type": lambda rng: Filter(actor=(_person(rng),), resource_type=(rng.choice(fill.TYPES),)),
    "busiest actor + action, 1 of 10,000": lambda _rng: Filter(actor=(_id("person", 0),), action=("tenant.frozen",)),
    "busiest actor + resource_type, 1 of 10,000": lambda _rng: Filter(
        actor=(_id("person", 0),), resource_type=("region",)
    ),
    "busiest actor + action never seen": lambda _rng: Filter(actor=(_id("person", 0),), action=("never",)),
    "actor + action prefix": lambda rng: Filter(actor=(_person(rng),), action=("invoice.*",)),
    "actor + action + resource_type": lambda rng: Filter(
        actor=(_person(rng),), action=(rng.choice(fill.ACTIONS),), resource_type=(rng.choice(fill.TYPES),)
    ),
    "actor + outcome denied": lambda rng: Filter(actor=(_person(rng),), outcome=(Outcome.DENIED,)),
    "resource + action": lambda rng: replace(_about(rng), action=(rng.choice(fill.ACTIONS),)),
    "since + until": _between,
    "until": lambda rng: Filter(until=_moment(rng)),
    "action + until": lambda rng: Filter(action=(rng.choice(fill.ACTIONS),), until=_moment(rng)),
    "actor + until": lambda rng: Filter(actor=(_person(rng),), until=_moment(rng)),
    "what matches nothing": lambda _rng: Filter(actor=(_id("nobody", 0),)),
}


def run(bench: Bench) -> list[Figure]:
    """Fill the trail, then read it in each way."""
    print(f"  writing {ENTRIES:,} entries", flush=True)
    began = perf_counter()
    fill.fill(bench, ENTRIES)
    fill.sequence(bench)
    print(f"  written in {perf_counter() - began:.0f} s; reading", flush=True)
    with tenant_scope(bench.acme, actor=bench.alice):
        figures = [_filter(bench, name, choose) for name, choose in FILTERS.items()]
        figures += [_deep(bench, Order.DESC), _deep(bench, Order.ASC), _poll(bench)]
    return [*figures, *_http(bench)]


def _filter(bench: Bench, name: str, choose: Callable[[random.Random], Filter]) -> Figure:
    """Measure one kind of filter with TIMES values of it, or as many as PATIENCE (seconds) allows."""
    filters = [choose(random.Random(seed)) for seed in range(TIMES)]
    with _statements() as seen:
        for wanted in filters[:PLANS]:
            _read(bench, wanted)
    backend, costs = connection.connection.info.backend_pid, list[Cost]()
    for wanted in filters:
        if sum(one.clock for one in costs) < PATIENCE:
            costs.append(cost(partial(_read, bench, wanted), 1, backend))
    cpu = percentile([one.cpu * 1000 for one in costs], 95)
    return _figure(name, [one.clock * 1000 for one in costs], f"{_plans(seen)}; p95 of CPU {cpu:.1f} ms")


def _read(bench: Bench, wanted: Filter, order: Order = Order.DESC, place: Place | None = None) -> float:
    """Return the milliseconds of one page, from the filter to what the API would render."""
    began = perf_counter()
    page = query.page(AuditLog.objects.prefetch_related("agent"), wanted, order, place, LIMIT)
    _ = [represent(entry, bench.acme) for entry in page.entries]
    return (perf_counter() - began) * 1000


def _figure(name: str, times: list[float], note: str) -> Figure:
    return Figure(f"{name}: p95", percentile(times, 95), "ms", AIM, f"p50 {percentile(times, 50):.1f} ms; {note}")


@contextmanager
def _statements() -> Iterator[list[str]]:
    """Collect the statements about the trail that are sent meanwhile, as text with their values in."""
    seen: list[str] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("SELECT") and "audit_log" in sql:
            seen.append(context["cursor"].mogrify(sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield seen


def _plans(statements: list[str]) -> str:
    """Return by which indexes the statements read the trail, and say so if any reads it from end to end."""
    found = set()
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}")
            found |= set(_scans(cursor.fetchone()[0][0]["Plan"]))
    return " or ".join(sorted(found))


def _scans(node: dict[str, Any]) -> Iterator[str]:
    """Yield how a plan reads the partitions of the trail."""
    if node.get("Relation Name", "").startswith("audit_log"):
        yield node.get("Index Name", node["Node Type"].upper()).removeprefix("audit_log_default_")
    if node["Node Type"] == "Bitmap Index Scan":
        yield f"bitmap of {node['Index Name'].removeprefix('audit_log_default_')}"
    for inner in node.get("Plans", []):
        yield from _scans(inner)


def _deep(bench: Bench, order: Order) -> Figure:
    """Measure page 1,000 beside page 1, in turns."""
    newest = AuditLog.objects.order_by("-id").values_list("id", flat=True)
    desc = order is Order.DESC
    place = Place("<", newest[999 * LIMIT - 1]) if desc else Place(">", position=999 * LIMIT)
    shallow, deep = interleaved(
        TIMES, lambda: _read(bench, Filter(), order), lambda: _read(bench, Filter(), order, place)
    )
    note = f"{percentile(deep, 50):.1f} / {percentile(shallow, 50):.1f} ms"
    return Figure(f"page 1,000 / page 1, {order}", percentile(deep, 50) / percentile(shallow, 50), "times", 1.3, note)


def _poll(bench: Bench) -> Figure:
    """Measure a poller that comes back when it has seen all."""
    end = query.end(AuditLog.objects.all())
    with _statements() as seen:
        _read(bench, Filter(), Order.ASC, end)
    times = [_read(bench, Filter(), Order.ASC, end) for _ in range(TIMES)]
    return _figure("poll at the end", times, _plans(seen))


def _http(bench: Bench) -> list[Figure]:
    """Measure whole requests, from Django's handler on: gate, unit of work, view, JSON."""
    client = Client(headers={"host": "acme.localhost", "authorization": f"Bearer {bench.key}"})

    def get(parameters: dict[str, str]) -> float:
        began = perf_counter()
        answer = client.get("/api/v1/audit-logs", parameters)
        assert answer.status_code == 200, answer.content
        return (perf_counter() - began) * 1000

    asked: dict[str, Callable[[random.Random], dict[str, str]]] = {
        "no filter": lambda _rng: {},
        "actor": lambda rng: {"actor": _person(rng)},
    }
    figures = []
    for name, choose in asked.items():
        get({})
        times = [get(choose(random.Random(seed))) for seed in range(TIMES)]
        figures.append(
            Figure(f"HTTP, {name}: p95", percentile(times, 95), "ms", note=f"p50 {percentile(times, 50):.1f} ms")
        )
    return figures
