"""Filters mean what a few lines of Python say they mean, and cursors hold for their own list alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.db.models.expressions import RawSQL
from leaves import corpus_lines
from trails import fill, generated, oracle
from world import World

from audit import query
from audit.events import Event, Outcome
from audit.importers import FORMATS, Unmappable
from audit.models import AuditLog
from audit.query import Filter, Order, Place, literally, walk


def corpus() -> Iterator[Event]:
    for name, vendor in (("github", "github"), ("okta", "okta"), ("aws_cloudtrail", "cloudtrail")):
        for line in corpus_lines(f"{name}.jsonl"):
            with suppress(Unmappable):
                yield FORMATS[vendor](line)


def single_filters(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each filter with several values: those that occur, and one that does not."""
    pick = random.Random(2)
    actions = pick.sample(sorted({entry["action"] for entry in entries}), 5)
    prefixes = [f"{action.partition('.')[0]}.*" for action in actions] + ["invoice.*", "none.*"]
    times = [entry["created_at"] for entry in pick.sample(entries, 4)]
    times += [times[0] + timedelta(microseconds=1), times[0] - timedelta(microseconds=1)]

    def some(name: str) -> list[Any]:
        return [*pick.sample(sorted({entry[name] for entry in entries}), 3), "no such"]

    return [
        *({"action": (action,)} for action in [*actions, "no such", *prefixes]),
        *({"action": (f"-{action}",)} for action in [actions[0], prefixes[0]]),
        {"action": (actions[0], actions[1])},
        {"action": (actions[0], prefixes[1], f"-{actions[2]}", f"-{prefixes[2]}")},
        *({"actor": (literally(actor),)} for actor in some("actor_id")),
        {"actor": tuple(map(literally, some("actor_id")))},
        {"actor": (f"-{literally(some('actor_id')[0])}",)},
        *({"resource_type": (kind,)} for kind in some("resource_type")),
        *({"resource_id": (literally(key),)} for key in some("resource_id")),
        {"resource_id": tuple(map(literally, some("resource_id")))},
        {"resource_type": tuple(some("resource_type"))},
        *({"outcome": (outcome,)} for outcome in Outcome),
        {"outcome": ("failure", "denied")},
        {"outcome": ("-success",)},
        {"operation": ("create", "delete")},
        {"source": ("-api",)},
        *({"since": moment} for moment in times),
        *({"until": moment} for moment in times),
    ]


def pairs(entries: list[dict[str, Any]], number: int) -> list[Filter]:
    """Return random pairs of filters, half of them met by at least one entry."""
    pick, singles, found = random.Random(3), single_filters(entries), list[Filter]()
    while len(found) < number:
        one, other = pick.sample(singles, 2)
        wanted = Filter(**{**one, **other})
        if one.keys() != other.keys() and (len(found) % 2 or any(oracle(entry, wanted) for entry in entries)):
            found.append(wanted)
    return found


def answer(world: World, wanted: Filter) -> list[UUID]:
    with world.scope("acme"):
        return [entry.id for entry in query.page(AuditLog.objects.all(), wanted, Order.DESC, None, 1_000_000).entries]


def check_against_oracle(world: World, entries: list[dict[str, Any]]) -> None:
    singles = [Filter(**one) for one in single_filters(entries)]
    hits = 0
    for wanted in [Filter(), *singles, *pairs(entries, 50)]:
        expected = [entry["id"] for entry in entries if oracle(entry, wanted)]
        assert answer(world, wanted) == expected, wanted
        hits += bool(expected)
    assert hits > 50


def test_each_filter_and_fifty_pairs_equal_the_oracle_over_generated_events(world: World) -> None:
    check_against_oracle(world, fill(world, generated(400)))


def test_they_equal_it_also_where_the_database_finds_nothing_soon(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "_in_time", lambda _nearest: None)
    check_against_oracle(world, fill(world, generated(200)))


def test_a_walk_that_takes_long_is_given_up_and_leaves_its_unit_as_it_was(world: World) -> None:
    with world.scope("acme"):
        slow = AuditLog.objects.annotate(slept=RawSQL("SELECT pg_sleep(1)::text", [])).order_by("-id")[:1]
        assert walk._in_time(slow) is None
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            assert cursor.fetchone() == ("15s",)
        assert walk._in_time(AuditLog.objects.order_by("-id")[:1])
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            assert cursor.fetchone() == ("15s",)


def test_each_filter_and_fifty_pairs_equal_the_oracle_over_the_corpus(world: World) -> None:
    check_against_oracle(world, fill(world, list(corpus())))


def test_a_uuid_is_found_in_any_spelling(world: World) -> None:
    entries = fill(world, generated(60))
    plain = "4f7f1e0a-7e65-4d58-9d0b-1b1b5d9d3c11"
    expected = [entry["id"] for entry in entries if entry["resource_id"] == plain]
    assert expected
    for spelling in (plain, plain.upper(), plain.replace("-", "")):
        assert answer(world, Filter(resource_id=(spelling,))) == expected


def test_a_resource_is_its_type_and_its_id_and_not_their_text_in_a_row(world: World) -> None:
    with world.scope("acme"):
        AuditLog.log_action(None, "created", "a:b", "c")
        other = AuditLog.log_action(None, "created", "a", "b:c")
    assert answer(world, Filter(resource_type=("a",), resource_id=("b:c",))) == [other.id]


def test_time_bounds_come_with_bounds_on_the_id(world: World) -> None:
    now = datetime.fromisoformat("2026-11-22T10:00:00Z")
    with world.scope("acme"):
        sql = str(query.matching(AuditLog.objects.all(), Filter(since=now, until=now)).query)
    assert '"audit_log"."id" >=' in sql
    assert '"audit_log"."id" <' in sql


# --- cursors

PLACES = [
    Place("<", uuid4()),
    Place(">=", UUID(int=0)),
    Place("<=", UUID(int=2**128 - 1)),
    Place(">", position=0),
    Place("<", position=2**40),
]


@pytest.mark.parametrize("place", PLACES)
def test_a_cursor_reads_back_as_its_place(place: Place) -> None:
    text = query.write_cursor(place, "tenant", Filter(actor=("a",)), Order.ASC)
    assert query.read_cursor(text, "tenant", Filter(actor=("a",)), Order.ASC) == place
    assert text == text.strip()
    assert not set(text) & set("&=+?#/% <>\"'")


@pytest.mark.parametrize(
    "binding",
    [
        ("other", Filter(actor=("a",)), Order.ASC),
        ("tenant", Filter(actor=("b",)), Order.ASC),
        ("tenant", Filter(resource_id=("a",)), Order.ASC),
        ("tenant", Filter(), Order.ASC),
        ("tenant", Filter(actor=("a",)), Order.DESC),
        ("tenant", Filter(actor=("a",)), Order.ASC, "own"),
    ],
)
def test_a_cursor_of_another_tenant_filter_or_order_is_refused(binding: tuple[object, ...]) -> None:
    text = query.write_cursor(PLACES[0], "tenant", Filter(actor=("a",)), Order.ASC)
    with pytest.raises(query.BadCursor):
        query.read_cursor(text, *binding)


def test_a_cursor_with_any_character_altered_is_refused() -> None:
    text = query.write_cursor(PLACES[2], "tenant")
    for number, char in enumerate(text):
        altered = text[:number] + ("0" if char != "0" else "1") + text[number + 1 :]
        with pytest.raises(query.BadCursor):
            query.read_cursor(altered, "tenant")


@pytest.mark.parametrize("text", ["", "~", ".~", "end", "x.0.~", "\x00", "é" * 20, "a" * 10_000])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(query.BadCursor):
        query.read_cursor(text, "tenant")


def test_a_cursor_outlives_a_rotation_of_the_key() -> None:
    from django.test import override_settings

    text = query.write_cursor(PLACES[0], "tenant")
    with override_settings(SECRET_KEY="another key", SECRET_KEY_FALLBACKS=[]), pytest.raises(query.BadCursor):
        query.read_cursor(text, "tenant")
    from django.conf import settings

    with override_settings(SECRET_KEY="another key", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        assert query.read_cursor(text, "tenant") == PLACES[0]
