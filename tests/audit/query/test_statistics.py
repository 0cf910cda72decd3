"""Counts equal plain Python's; where they are estimates, they say so, and are near."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from trails import fill, generated, oracle
from world import World

from audit.models import AuditLog
from audit.query import Filter, statistics
from audit.query.statistics import Span, Statistics

WANTED = [
    Filter(),
    Filter(actor=("u-1",)),
    Filter(action=("invoice.*",), outcome=("success",)),
    Filter(resource_type=("invoice", "user"), actor=("-u-2",)),
    Filter(actor=("nobody",)),
]


def count(world: World, wanted: Filter, span: Span, top: int = 100) -> Statistics:
    with world.scope("acme"):
        return statistics.statistics(AuditLog.objects.all(), wanted, span, top)


def span(entries: list[dict[str, Any]], buckets: int = 7) -> Span:
    first, last = entries[-1]["created_at"], entries[0]["created_at"] + timedelta(microseconds=1)
    return Span.of(first, last, buckets)


@pytest.mark.parametrize("wanted", WANTED)
def test_counts_equal_plain_python(world: World, wanted: Filter) -> None:
    entries = fill(world, generated(300))
    found, met = count(world, wanted, span(entries)), [entry for entry in entries if oracle(entry, wanted)]
    assert (found.total, found.approximate, sum(found.buckets)) == (len(met), False, len(met))
    for name, column in (("action", "action"), ("resource_type", "resource_type"), ("outcome", "outcome")):
        assert {value[0]: number for value, number in found.facets[name]} == Counter(entry[column] for entry in met)
    assert {value[1]: number for value, number in found.facets["actor"]} == Counter(entry["actor_id"] for entry in met)


def test_each_entry_is_in_the_bucket_of_its_time(world: World) -> None:
    entries = fill(world, generated(120))
    whole = span(entries, 5)
    expected = Counter((entry["created_at"] - whole.since) // whole.width for entry in entries)
    assert count(world, Filter(), whole).buckets == [expected[number] for number in range(5)]


def test_the_most_frequent_come_first_and_no_more_than_asked(world: World) -> None:
    entries = fill(world, generated(200))
    rows = count(world, Filter(), span(entries), top=3).facets["action"]
    assert len(rows) == 3
    assert [number for _, number in rows] == sorted((number for _, number in rows), reverse=True)
    assert rows[0][1] == Counter(entry["action"] for entry in entries).most_common(1)[0][1]


@pytest.mark.parametrize("wanted", [Filter(), Filter(operation=("other",))])
def test_of_many_a_sample_is_counted_and_said_to_be_one(
    world: World, monkeypatch: pytest.MonkeyPatch, wanted: Filter
) -> None:
    entries = fill(world, generated(2000))
    monkeypatch.setattr(statistics, "EXACT", 640)
    found, met = count(world, wanted, span(entries)), [entry for entry in entries if oracle(entry, wanted)]
    assert found.approximate
    assert 0.7 < found.total / len(met) < 1.4
    assert 0.9 < sum(found.buckets) / found.total < 1.1


def test_words_are_counted_as_well(world: World) -> None:
    from audit import ledger
    from audit.events import Event, Party

    fill(world, generated(100))
    with world.scope("acme"):
        ledger.append(AuditLog, [Event(action="a", resource=Party("t", "1", "needle"))] * 3)
    world.sequence()
    now = timezone.now()
    assert count(world, Filter(q="needle"), Span(now - timedelta(days=1), now, timedelta(hours=1))).total == 3


# --- over HTTP

STATS = "/api/v1/audit-logs/stats"


def test_the_api_answers_counts_under_the_same_filters(world: World) -> None:
    entries = fill(world, generated(80))
    body = world.api(key="acme.read").get(STATS, filter="action:invoice.*", width="1h", top=2).json()
    met = [entry for entry in entries if oracle(entry, Filter(action=("invoice.*",)))]
    assert (body["total"], body["approximate"], body["width"]) == (len(met), False, 3600)
    assert len(body["actions"]) == 2
    assert sum(bucket["count"] for bucket in body["buckets"]) == len(met)
    starts = [datetime.fromisoformat(bucket["start"]) for bucket in body["buckets"]]
    assert starts[0] == datetime.fromisoformat(body["since"])
    assert {later - sooner for sooner, later in itertools.pairwise(starts)} == {timedelta(hours=1)}


def test_a_member_counts_his_own_actions_alone(world: World) -> None:
    from browser import Browser

    fill(world, generated(50))
    mia = Browser(world, "acme", "mia")
    body = mia.get(STATS).json()
    assert {actor["id"] for actor in body["actors"]} <= {str(world.person("mia").pk)}


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"width": "1h", "buckets": "5"}, "width"),
        ({"width": "0h"}, "width"),
        ({"width": "1s"}, "width"),
        ({"width": "1w"}, "width"),
        ({"width": ["1h", "2h"]}, "width"),
        ({"buckets": "0"}, "buckets"),
        ({"buckets": "1001"}, "buckets"),
        ({"buckets": "9" * 5000}, "buckets"),
        ({"buckets": "٣"}, "buckets"),
        ({"top": "101"}, "top"),
        ({"top": ["1", "2"]}, "top"),
        ({"limit": "3"}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "since"),
    ],
)
def test_bad_parameters_are_refused_by_name(world: World, parameters: dict[str, Any], name: str) -> None:
    answer = world.api(key="acme.read").get(STATS, **parameters)
    assert (answer.status_code, [fault["parameter"] for fault in answer.json()["errors"]]) == (400, [name])


def test_a_poller_that_has_seen_it_gets_nothing_again(world: World) -> None:
    fill(world, generated(5))
    api = world.api(key="acme.read")
    first = api.get("/api/v1/audit-logs")
    again = api.client.get("/api/v1/audit-logs", headers={**api.headers, "if-none-match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    fill(world, generated(1))
    other = api.client.get("/api/v1/audit-logs", headers={**api.headers, "if-none-match": first["ETag"]})
    assert (other.status_code, other["ETag"] != first["ETag"]) == (200, True)
