"""Whatever is written, in whatever order and by whatever way: entries replayed from the first on give the live rows."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from itertools import groupby
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest
from django.db import transaction
from django.db.models import F
from django.utils.duration import duration_iso_string
from hostapp.models import Counter, Sample, Seat
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as some
from seen import Told, Trail, session
from world import World

Rows = dict[str, dict[str, Any]]
Step = tuple[str, int, Any]
# To shrink what fails would take minutes of database work.
PLAY = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
SAFE = 2**53
# What identifies a row is told as its id, and as a change only where it changes.
KEYS = {"id", "row", "number"}

# In no time zone before the year 1 or after 9999.
NEARLY_ALL = (datetime(1, 1, 2), datetime(9999, 12, 30))  # noqa: DTZ001 - hypothesis adds the zone
TEXT = some.text(some.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
ZONES = some.sampled_from([UTC, timezone(timedelta(hours=9)), timezone(-timedelta(hours=3, minutes=30))])
FIELDS: dict[str, some.SearchStrategy[Any]] = {
    "flag": some.booleans(),
    "small": some.integers(-(2**15), 2**15 - 1),
    "big": some.integers(-(2**63), 2**63 - 1),
    "real": some.floats(-SAFE, SAFE),
    "price": some.decimals(-(10**13), 10**13, places=6),
    "text": TEXT,
    "day": some.dates(),
    "moment": some.datetimes(*NEARLY_ALL, timezones=ZONES),
    "clock": some.times(),
    "span": some.timedeltas(),
    "bytes": some.binary(max_size=80),
    "key": some.uuids(),
    "data": some.recursive(
        some.booleans() | some.integers(-SAFE, SAFE) | TEXT,
        lambda inner: some.lists(inner | some.none(), max_size=3) | some.dictionaries(TEXT, inner, max_size=3),
    ),
    "words": some.lists(some.none() | TEXT, max_size=3),
    "amounts": some.lists(some.decimals(-1000, 1000, places=2), max_size=2),
}
VALUES = some.dictionaries(some.sampled_from([*FIELDS]), some.integers(), max_size=6).flatmap(
    lambda chosen: some.fixed_dictionaries({name: some.none() | FIELDS[name] for name in chosen})
)


def told(value: Any) -> Any:
    """Return what an entry must say of a value, by Python's own means."""
    if isinstance(value, bool | str | None | dict):
        return value
    if isinstance(value, int | float):
        return value if abs(value) <= SAFE else str(value)
    if isinstance(value, list | tuple):
        return [told(each) for each in value]
    spoken: dict[type, Callable[[Any], str]] = {
        Decimal: lambda it: format(it, "f"),
        datetime: lambda it: it.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0"),
        date: date.isoformat,
        time: lambda it: re.sub(r"(\.\d*[1-9])0+$", r"\1", it.isoformat()),
        timedelta: duration_iso_string,
        memoryview: lambda it: b64encode(it).decode(),
        bytes: lambda it: b64encode(it).decode(),
        UUID: str,
    }
    return spoken[type(value)](value)


def replay(entries: list[Told], kind: str) -> Rows:
    """Return the rows that the entries of a kind of resource tell, each step checked against what was told before."""
    rows: Rows = {}
    for statement in statements(entries):
        # Keys may go round in one statement: all leave their places before any takes a new one.
        places = [rows.pop(entry.targets[0]["id"] if entry.targets else entry.id, None) for entry in statement]
        for entry, row in zip(statement, places, strict=True):
            assert entry.type == kind
            assert (row is None) == (entry.operation == "create"), entry
            changes = {field: change for field, change in entry.changes.items() if field not in KEYS}
            for field, change in changes.items():
                before = (row or {}).get(field)
                assert change.get("old") == before, (entry, before)
            if entry.operation == "delete":
                assert changes.keys() == (row or {}).keys()
            else:
                new = {**(row or {}), **{field: change["new"] for field, change in changes.items()}}
                rows[entry.id] = {field: value for field, value in new.items() if value is not None}
    return rows


def statements(entries: list[Told]) -> Iterator[list[Told]]:
    """Yield the entries one by one; those of a transaction that moved keys, which is one statement here, together."""
    for _, group in groupby(entries, key=lambda entry: entry.transaction):
        together = list(group)
        if any(entry.targets for entry in together):
            yield together
        else:
            yield from ([entry] for entry in together)


def live(rows: Any, key: str, fields: list[str]) -> Rows:
    """Return the rows that stand, as entries would tell them."""
    found = {}
    for row in rows:
        values = {field: told(row[field]) for field in fields if row[field] is not None}
        found[str(row[key])] = values
    return found


def create(values: dict[str, Any], number: int) -> None:
    Sample.objects.create(**values)


def save(values: dict[str, Any], number: int) -> None:
    for row in Sample.objects.order_by("id")[number : number + 1]:
        for name, value in values.items():
            setattr(row, name, value)
        row.save()


def save_some(values: dict[str, Any], number: int) -> None:
    for row in Sample.objects.order_by("id")[number : number + 1]:
        for name, value in values.items():
            setattr(row, name, value)
        row.save(update_fields=sorted(values)[:2])


def update(values: dict[str, Any], number: int) -> None:
    if values:
        Sample.objects.update(**values)


def bulk(values: dict[str, Any], number: int) -> None:
    made = Sample.objects.bulk_create([Sample(**values) for _ in range(number)])
    if made and values:
        for row, name in zip(made, values, strict=False):
            setattr(row, name, None)
        Sample.objects.bulk_update(made, list(values))


def delete(values: dict[str, Any], number: int) -> None:
    Sample.objects.filter(id__in=Sample.objects.order_by("id").values("id")[number : number + 2]).delete()


def add(values: dict[str, Any], number: int) -> None:
    Sample.objects.filter(small__lt=100).update(small=F("small") + number, text=F("size"))


def upsert(values: dict[str, Any], number: int) -> None:
    names = sorted(values) or ["text"]
    rows = [Sample(**values, id=key) for key in range(10**6 - number, 10**6 + number)]
    Sample.objects.bulk_create(rows, update_conflicts=True, unique_fields=["id"], update_fields=names)


def take_back(values: dict[str, Any], number: int) -> None:
    with transaction.atomic():
        bulk(values, number)
        update(values, number)
        Sample.objects.all().delete()
        transaction.set_rollback(True)


WAYS: list[Callable[[dict[str, Any], int], None]] = [
    create, create, save, save, save_some, update, bulk, delete, add, upsert, take_back
]  # fmt: skip


@PLAY
@given(some.lists(some.tuples(some.sampled_from(WAYS), VALUES, some.integers(0, 3), some.booleans()), max_size=12))
def test_what_is_told_of_values_is_what_is_there(world: World, steps: list[Any]) -> None:
    fields = [field.name for field in Sample._meta.concrete_fields if field.name != "id"]
    with world.scope("acme"):
        Sample.objects.all().delete()
    trail = Trail(world)
    for way, values, number, together in steps:
        with world.scope("acme"):
            way(values, number)
            if together:
                update(values, number)
    with world.scope("acme"):
        rows = live(Sample.objects.values(), "id", fields)
    assert replay(trail.told(), "sample") == rows


NUMBERS = some.integers(0, 6)
MOVES = [
    "INSERT INTO hostapp_counter VALUES (%(a)s, %(b)s)",
    "INSERT INTO hostapp_counter SELECT %(b)s + n, n FROM generate_series(20, 20 + %(a)s) AS n",
    "UPDATE hostapp_counter SET value = value + %(b)s WHERE id <> %(a)s",
    "UPDATE hostapp_counter SET id = id + 10 * %(a)s, value = value + 1",
    "UPDATE hostapp_counter SET id = -id",
    "UPDATE hostapp_counter SET id = CASE id WHEN %(a)s THEN %(b)s WHEN %(b)s THEN %(a)s ELSE id END",
    "UPDATE hostapp_counter SET id = (SELECT max(id) + min(id) FROM hostapp_counter) - id, value = -value",
    "DELETE FROM hostapp_counter WHERE id %% 3 = %(a)s %% 3",
    "TRUNCATE hostapp_counter",
    """MERGE INTO hostapp_counter AS c USING (VALUES (%(a)s::int), (%(b)s), (%(a)s - 3)) AS v (id) ON c.id = v.id
       WHEN MATCHED AND v.id > 3 THEN DELETE WHEN MATCHED THEN UPDATE SET value = value - 1
       WHEN NOT MATCHED THEN INSERT VALUES (v.id, 0)""",
]


@PLAY
@given(some.lists(some.tuples(some.sampled_from(MOVES), NUMBERS, NUMBERS), max_size=15))
def test_what_is_told_of_keys_is_what_is_there(world: World, steps: list[tuple[str, int, int]]) -> None:
    schema = world.acme.schema_name
    world.sql(f"TRUNCATE {schema}.hostapp_counter")
    world.sql(
        f"ALTER TABLE {schema}.hostapp_counter DROP CONSTRAINT hostapp_counter_pkey,"
        " ADD CONSTRAINT hostapp_counter_pkey PRIMARY KEY (id) DEFERRABLE"
    )
    trail = Trail(world)
    with session(world, "superuser") as psql:
        for query, a, b in steps:
            try:
                psql.execute(cast("Any", query), {"a": a, "b": b})
            except (psycopg.errors.UniqueViolation, psycopg.errors.CardinalityViolation):
                continue
        rows = psql.execute("SELECT id, value FROM hostapp_counter").fetchall()
    expected = {str(key): {"value": value} for key, value in rows}
    found = replay(trail.told(), "counter")
    assert {key: {"value": row["value"]} for key, row in found.items()} == expected


@PLAY
@given(some.lists(some.tuples(some.sampled_from("AB"), NUMBERS, some.booleans()), max_size=12))
def test_what_is_told_of_keys_of_two_parts_is_what_is_there(world: World, steps: list[tuple[str, int, bool]]) -> None:
    with world.scope("acme"):
        Seat.objects.all().delete()
    trail = Trail(world)
    for turn, (row, number, taken) in enumerate(steps):
        with world.scope("acme"):
            seat, made = Seat.objects.update_or_create(row=row, number=number, defaults={"taken": taken})
            if not made and taken:
                seat.delete()
        with world.scope("acme"):
            Seat.objects.filter(number__lt=5, taken=True).update(number=F("number") + 10 * (turn + 1))
    with world.scope("acme"):
        expected = {json.dumps([seat.row, seat.number]): {"taken": seat.taken} for seat in Seat.objects.all()}
    found = replay(trail.told(), "seat")
    assert {key: {"taken": row["taken"]} for key, row in found.items()} == expected


def test_a_replay_notices_an_entry_that_is_missing(world: World) -> None:
    """The control: without one of the entries the rows differ, or the values before do."""
    trail = Trail(world)
    with world.scope("acme"):
        Counter.objects.create(id=1, value=1)
        Counter.objects.update(value=2)
        Counter.objects.update(value=3)
    entries = trail.told()
    assert replay(entries, "counter") == {"1": {"value": 3}}
    for number in range(3):
        kept = [*entries[:number], *entries[number + 1 :]]
        try:
            differs = replay(kept, "counter") != {"1": {"value": 3}}
        except AssertionError:
            differs = True
        assert differs
    with pytest.raises(AssertionError):
        replay(entries[1:], "counter")
