"""Reads over HTTP: pages by each filter, deep pages, counts, words, and how long a poller waits.

`--events N` says how many entries the trail has, over 90 days. Each kind is asked with many values, frequent and rare.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any
from urllib.parse import urlencode

from bench import fill
from bench.api.ingest import _key
from bench.api.served import Client, served
from bench.base import Bench, Figure, percentile
from bench.page import _id, _moment, _person, _resource

TIMES, WRITERS, SECONDS = 60, 8, 10
LOGS, OK = "/api/v1/audit-logs", 200
Choose = Callable[[random.Random], dict[str, Any]]


def _about(rng: random.Random) -> dict[str, Any]:
    kind, key = _resource(rng)
    return {"resource_type": kind, "resource_id": key}


def _day(rng: random.Random) -> dict[str, Any]:
    moment = _moment(rng)
    return {"since": moment.isoformat(), "until": (moment + timedelta(hours=12)).isoformat()}


INDEXED: dict[str, Choose] = {
    "no filter": lambda _rng: {},
    "actor": lambda rng: {"actor": _person(rng)},
    "resource": _about,
    "action": lambda rng: {"action": rng.choice(fill.ACTIONS)},
    "request_id": lambda rng: {"request_id": _request(rng)},
    "actor + action": lambda rng: {"actor": _person(rng), "action": rng.choice(fill.ACTIONS)},
    "actor + resource": lambda rng: {"actor": _person(rng), **_about(rng)},
    "resource + action": lambda rng: {**_about(rng), "action": rng.choice(fill.ACTIONS)},
    "actor + request_id": lambda rng: {"actor": _person(rng), "request_id": _request(rng)},
    "time": _day,
    "actor + time": lambda rng: {"actor": _person(rng), **_day(rng)},
    "action + time": lambda rng: {"action": rng.choice(fill.ACTIONS), **_day(rng)},
    "resource + time": lambda rng: {**_about(rng), **_day(rng)},
}
OTHERS: dict[str, Choose] = {
    "two actions": lambda rng: {"action": rng.sample(fill.ACTIONS, 2)},
    "action prefix": lambda _rng: {"action": "invoice.*"},
    "action prefix, 1 of 10,000": lambda _rng: {"action": "tenant.*"},
    "action excluded": lambda rng: {"action": "-" + rng.choice(fill.ACTIONS)},
    "two actors": lambda rng: {"actor": [_person(rng), _person(rng)]},
    "address": lambda rng: {"ip": f"203.0.{rng.randrange(250)}.{rng.randrange(200)}"},
    "network of nobody": lambda _rng: {"ip": "10.0.0.0/8"},
    "source of nothing": lambda _rng: {"source": "webhook"},
    "actor + address": lambda rng: {"actor": _person(rng), "ip": f"203.0.{rng.randrange(250)}.0/24"},
    "operation of nothing": lambda _rng: {"operation": "delete"},
}
WORDS: dict[str, Choose] = {
    "a word of all": lambda _rng: {"q": "acme"},
    "a word of one person": lambda rng: {"q": f"person{int(rng.random() ** 3 * fill.PEOPLE)}"},
    "two words": lambda rng: {"q": f"premium person{rng.randrange(fill.PEOPLE)}"},
    "a word of nobody": lambda _rng: {"q": "nowhere"},
}


def _request(rng: random.Random) -> str:
    return _id("request", rng.randrange(1000)).replace("-", "")


def run(bench: Bench) -> list[Figure]:
    """Fill the trail unless it is, and read it in each way."""
    figures = _fill(bench)
    with served() as port:
        reader = Client(port, bench.key)
        reader.connect()
        figures += [_pages(reader, name, choose, 25) for name, choose in INDEXED.items()]
        figures += [_pages(reader, name, choose, 250) for name, choose in OTHERS.items()]
        figures += [_pages(reader, f"q: {name}", choose, 1000) for name, choose in WORDS.items()]
        figures += [_deep(reader, order) for order in ("desc", "asc")]
        figures += [_stats(bench, reader, name, choose) for name, choose in COUNTED.items()]
        figures.append(_lag(bench, port))
    return figures


COUNTED: dict[str, Choose] = {
    "no filter": lambda _rng: {},
    "actor": lambda rng: {"actor": _person(rng)},
    "source": lambda _rng: {"source": "api"},
    "a word": lambda rng: {"q": f"person{rng.randrange(fill.PEOPLE)}"},
}


def _fill(bench: Bench) -> list[Figure]:
    place = f"{bench.acme.schema_name}.audit_log"
    with bench.admin() as admin:
        held = int((admin.execute(f"SELECT count(*) FROM {place}".encode()).fetchone() or (0,))[0])
    if held >= bench.events:
        return []
    print(f"  writing {bench.events:,} entries", flush=True)
    fill.fill(bench, bench.events)
    print("  sequencing, and indexing words", flush=True)
    positions, words = fill.sequence(bench)
    with bench.admin() as admin:
        sizes = [
            (admin.execute(f"SELECT pg_total_relation_size('{place}_{table}')".encode()).fetchone() or (0,))[0]
            for table in ("position", "words")
        ]
    return [
        Figure("positions given", bench.events / positions, "entries/s"),
        Figure("words indexed", bench.events / words, "entries/s"),
        Figure("positions", sizes[0] / bench.events, "B/entry", 24),
        Figure("words", sizes[1] / bench.events, "B/entry"),
    ]


def _ask(client: Client, path: str, parameters: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Return the milliseconds of an answer, and its body."""
    began = perf_counter()
    status, body = client.send("GET", f"{path}?{urlencode(parameters, doseq=True)}")
    took = (perf_counter() - began) * 1000
    assert status == OK, body
    return took, json.loads(body)


def _pages(client: Client, name: str, choose: Choose, aim: float) -> Figure:
    took, short, found = [], 0, 0
    for seed in range(TIMES):
        one, page = _ask(client, LOGS, {**choose(random.Random(seed)), "limit": 100})
        took.append(one)
        found += len(page["results"])
        short += len(page["results"]) < 100 and page["next"] is not None
    note = f"p50 {percentile(took, 50):.1f} ms; {found / TIMES:.0f} entries; {short} of {TIMES} cut short"
    return Figure(f"{name}: p95", percentile(took, 95), "ms", aim, note)


def _deep(client: Client, order: str) -> Figure:
    """Measure page 10,000 beside page 1, in turns; the way there is made of pages of 1,000."""
    cursor = None
    for _ in range(1000):
        parameters = {"order": order, "limit": 1000, "fields": "id", **({"cursor": cursor} if cursor else {})}
        page = _ask(client, LOGS, parameters)[1]
        cursor = page["next_cursor"]
        if page["next"] is None:
            break
    near, far = [], []
    for _ in range(TIMES):
        near.append(_ask(client, LOGS, {"order": order, "limit": 100})[0])
        far.append(_ask(client, LOGS, {"order": order, "limit": 100, "cursor": cursor})[0])
    note = f"{percentile(far, 50):.1f} / {percentile(near, 50):.1f} ms"
    return Figure(f"page 10,000 / page 1, {order}", percentile(far, 50) / percentile(near, 50), "times", 1.3, note)


def _stats(bench: Bench, client: Client, name: str, choose: Choose) -> Figure:
    """Measure counts over 30 days; of 1,000,000 entries in 90 days as many as are asked of three times as many."""
    since = (datetime.now(UTC) - timedelta(days=30)).isoformat()
    answers = [
        _ask(client, f"{LOGS}/stats", {**choose(random.Random(seed)), "since": since}) for seed in range(TIMES // 2)
    ]
    took = [one for one, _ in answers]
    note = f"p50 {percentile(took, 50):.0f} ms; {answers[0][1]['total']:,} of {bench.events:,}"
    return Figure(f"stats, {name}: p95", percentile(took, 95), "ms", 300, note)


def _lag(bench: Bench, port: int) -> Figure:
    """Measure from the answer of a write to the page of a poller that shows it, with writers of one event each."""
    key = _key(bench)
    over, written, lags = threading.Event(), dict[str, float](), list[float]()
    body = json.dumps({"action": "a", "resource": {"type": "t"}}).encode()

    def write() -> None:
        client = Client(port, key)
        client.connect()
        while not over.is_set():
            _status, answer = client.send("POST", LOGS, body)
            written[json.loads(answer)["id"]] = perf_counter()
            time.sleep(0.05)

    poller = Client(port, bench.key)
    poller.connect()
    cursor = _ask(poller, LOGS, {"order": "asc", "cursor": "end"})[1]["next_cursor"]
    threads = [threading.Thread(target=write) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    began = perf_counter()
    while perf_counter() - began < SECONDS:
        page = _ask(poller, LOGS, {"order": "asc", "cursor": cursor, "limit": 1000, "fields": "id"})[1]
        now, cursor = perf_counter(), page["next_cursor"]
        lags += [max(0.0, now - written[entry["id"]]) for entry in page["results"] if entry["id"] in written]
        time.sleep(0.02)
    over.set()
    for thread in threads:
        thread.join()
    note = f"p50 {percentile(lags, 50) * 1000:.0f} ms; {len(lags)} entries of {WRITERS} writers"
    return Figure("a poller waits: p99", percentile(lags, 99) * 1000, "ms", 1000, note)
