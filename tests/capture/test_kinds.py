"""Values of every type, as entries tell them: cases 13, 15 and 16. Typed in, typed out; equal values are no change."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.contrib.postgres.fields import ArrayField
from django.db.models import F
from hostapp.models import Letter, Sample, Series
from seen import Told, Trail, done, install, session
from world import World

KEY = UUID("1b1b5d9d-3c11-4d58-9d0b-4f7f1e0a7e65")
TOKYO = timezone(timedelta(hours=9))
NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)

# field: what Python puts in, what the entry says
VALUES: list[tuple[str, Any, Any]] = [
    ("flag", True, True),
    ("flag", False, False),
    ("small", -(2**15), -(2**15)),
    ("big", 2**53, 2**53),
    ("big", 2**53 + 1, "9007199254740993"),
    ("big", -(2**63), "-9223372036854775808"),
    ("real", 0.1, 0.1),
    ("real", 2.0**53, 2**53),
    ("real", -1e300, "-1e+300"),
    ("real", 5e-324, 5e-324),
    ("price", Decimal("0.17"), "0.170000"),
    ("price", Decimal("12345678901234.567890"), "12345678901234.567890"),
    ("price", Decimal("-0.000001"), "-0.000001"),
    ("text", "", ""),
    ("text", "None", "None"),
    ("text", 'it\'s "quoted" \\ {} % \n\r\t\x01\x7f \u2028\u2029 \U0001f600 é', None),
    ("size", Sample.Size.LARGE, "l"),
    ("day", date(2026, 2, 28), "2026-02-28"),
    ("day", date(1, 1, 1), "0001-01-01"),
    ("day", date(9999, 12, 31), "9999-12-31"),
    ("moment", NOON, "2026-01-02T12:00:00.000000Z"),
    ("moment", datetime(2026, 1, 2, 23, 59, 59, 999999, tzinfo=TOKYO), "2026-01-02T14:59:59.999999Z"),
    ("moment", datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000000Z"),
    ("moment", datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), "9999-12-31T23:59:59.999999Z"),
    ("clock", time(1, 2, 3, 4), "01:02:03.000004"),
    ("clock", time(23, 0), "23:00:00"),
    ("span", timedelta(hours=25, minutes=2, seconds=3, microseconds=4), "P1DT01H02M03.000004S"),
    ("span", -timedelta(days=2, microseconds=1), "-P2DT00H00M00.000001S"),
    ("span", timedelta(0), "P0DT00H00M00S"),
    ("span", timedelta.max, "P999999999DT23H59M59.999999S"),
    ("span", timedelta.min, "-P999999999DT00H00M00S"),
    ("bytes", b"", ""),
    ("bytes", bytes(range(256)), None),
    ("file", "a/b c.txt", "a/b c.txt"),
    ("key", KEY, str(KEY)),
    ("data", {"b": [1, None, True, "x"], "a": {"c": 0.5}}, {"b": [1, None, True, "x"], "a": {"c": 0.5}}),
    ("data", [], []),
    ("data", "text", "text"),
    ("data", 7, 7),
    ("ip", "203.0.113.7", "203.0.113.7"),
    ("ip", "2001:db8::7", "2001:db8::7"),
    ("words", [], []),
    ("words", ["a,b", 'c"d', "{}", "", "NULL"], ["a,b", 'c"d', "{}", "", "NULL"]),
    ("amounts", [Decimal("1.10"), Decimal(2)], ["1.10", "2.00"]),
]


def spoken(value: Any, told: Any) -> Any:
    """Return what the entry must say of a value for which the list says nothing: the text itself, or base64."""
    if told is not None:
        return told
    return value if isinstance(value, str) else b64encode(value).decode()


def read_back(name: str, told: Any) -> Any:
    """Return the value that the model's field reads from what an entry says."""
    field: Any = Sample._meta.get_field(name)
    if name == "data":
        return told
    return field.to_python(json.dumps(told) if isinstance(field, ArrayField) else told)


def test_values_are_told_by_their_types_and_read_back_as_they_were(world: World, subtests: pytest.Subtests) -> None:
    for name, value, told in VALUES:
        with subtests.test(f"{name} {value!r:.40}"):
            (made,) = done(world, partial(Sample.objects.create, **{name: value}))
            said = made.changes[name]["new"]
            assert said == spoken(value, told)
            assert isinstance(said, bool) == isinstance(told, bool)
            assert read_back(name, said) == value
            (changed,) = done(world, partial(Sample.objects.update, **{name: None}))
            assert changed.changes[name] == {"old": said, "new": None}
            (again,) = done(world, partial(Sample.objects.update, **{name: value}))
            assert again.changes[name] == {"old": None, "new": said}
            (gone,) = done(world, lambda: Sample.objects.all().delete())
            assert gone.changes[name] == {"old": said}


def test_values_that_are_written_again_are_no_change(world: World, subtests: pytest.Subtests) -> None:
    def again(made: Sample, name: str, value: Any) -> None:
        made.save()
        Sample.objects.get(pk=made.pk).save()
        Sample.objects.update(**{name: value})
        Sample.objects.update(**{name: F(name)})
        Sample.objects.bulk_update([made], [name])

    for name, value, _told in VALUES:
        with subtests.test(f"{name} {value!r:.40}"):
            with world.scope("acme"):
                Sample.objects.all().delete()
                made = Sample.objects.create(**{name: value})
            assert done(world, partial(again, made, name, value)) == []


EQUAL = [
    ("moment", NOON, NOON.astimezone(TOKYO)),
    ("price", Decimal("0.17"), Decimal("0.170")),
    ("price", Decimal(1), Decimal("1.000000")),
    ("data", {"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}),
    ("span", timedelta(days=1), timedelta(hours=24)),
    ("key", KEY, str(KEY).upper()),
    ("ip", "2001:db8::7", "2001:0DB8:0:0:0:0:0:7"),
    ("real", 1.0, 1),
    ("amounts", [Decimal("1.1")], [Decimal("1.10")]),
]


def test_equal_values_are_no_change(world: World, subtests: pytest.Subtests) -> None:
    for name, one, other in EQUAL:
        with subtests.test(f"{name} {one!r} {other!r}"):
            change(world, name, one)
            assert done(world, partial(Sample.objects.update, **{name: other})) == []


def change(world: World, name: str, value: Any) -> None:
    """Leave one sample that has a value, and nothing else."""
    with world.scope("acme"):
        Sample.objects.all().delete()
        Sample.objects.create(**{name: value})


SPELT = [
    ("span", "interval '1 day'", "interval '24 hours'"),
    ("span", "interval '1 month'", "interval '30 days'"),
    ("data", """'{"a": 1.0}'""", """'{"a": 1.00}'"""),
    ("real", "0.0", "'-0'"),
]


def test_equal_values_that_the_database_writes_in_another_way_are_no_change(
    world: World, subtests: pytest.Subtests
) -> None:
    for name, one, other in SPELT:
        with subtests.test(f"{name} {one} {other}"), session(world, "tenant") as psql:
            psql.execute(f"INSERT INTO hostapp_sample ({name}) VALUES ({one})".encode())
            trail = Trail(world)
            psql.execute(f"UPDATE hostapp_sample SET {name} = {other}".encode())
            assert trail.rows() == []
            psql.execute("DELETE FROM hostapp_sample")


DIFFERENT = [
    ("moment", NOON, NOON.replace(tzinfo=TOKYO)),
    ("text", "a", "A"),
    ("text", "a", "a "),
    ("text", "e\u0301", "\u00e9"),
    ("text", None, ""),
    ("data", None, {}),
    ("data", {"a": [1, 2]}, {"a": [2, 1]}),
    ("data", {"a": None}, {}),
    ("words", [], None),
    ("words", ["a", "b"], ["b", "a"]),
    ("bytes", b"", b"\x00"),
    ("flag", None, False),
    ("small", 0, None),
    ("real", 0.1, 0.1 + 2**-56),
]


def test_different_values_are_a_change(world: World, subtests: pytest.Subtests) -> None:
    for name, one, other in DIFFERENT:
        with subtests.test(f"{name} {one!r} {other!r}"):
            change(world, name, one)
            (entry,) = done(world, partial(Sample.objects.update, **{name: other}))
            assert name in entry.changes
            assert entry.changes[name]["old"] != entry.changes[name]["new"]


def test_a_naive_moment_is_told_as_the_instant_that_django_makes_of_it(world: World) -> None:
    naive = datetime(2026, 1, 2, 12, 0)  # noqa: DTZ001 - on purpose
    with pytest.warns(RuntimeWarning, match="naive"):
        (entry,) = done(world, lambda: Sample.objects.create(moment=naive))
    assert entry.changes["moment"] == {"new": "2026-01-02T12:00:00.000000Z"}
    assert done(world, lambda: Sample.objects.update(moment=NOON)) == []


def test_a_generated_column_is_told_by_what_the_database_made_of_it(world: World) -> None:
    (made,) = done(world, lambda: Sample.objects.create(text="abc"))
    assert made.changes["shout"] == {"new": "ABC"}
    (changed,) = done(world, lambda: Sample.objects.update(text="abd"))
    assert changed.changes == {"text": {"old": "abc", "new": "abd"}, "shout": {"old": "ABC", "new": "ABD"}}
    # It follows from another field, and may stay as it was.
    (upper,) = done(world, lambda: Sample.objects.update(text="ABD"))
    assert upper.changes == {"text": {"old": "abd", "new": "ABD"}}


def series(world: World, **values: Any) -> Told:
    (entry,) = done(world, lambda: Series.objects.create(**values))
    return entry


LISTS: list[tuple[str, Any, Any]] = [
    ("numbers", [1, None, -(2**53)], [1, None, -(2**53)]),
    ("numbers", [1, 2**53 + 1, None], ["1", "9007199254740993", None]),
    ("numbers", [], []),
    ("moments", [NOON.astimezone(TOKYO)], ["2026-01-02T12:00:00+00:00"]),
    ("grid", [[1, 2], [3, 4]], [[1, 2], [3, 4]]),
    ("days", (date(2026, 1, 1), None), "[2026-01-01,)"),
    ("period", (NOON.astimezone(TOKYO), None), '["2026-01-02 12:00:00+00",)'),
]


def test_lists_and_spans_are_told_by_the_types_of_their_parts(world: World, subtests: pytest.Subtests) -> None:
    for name, value, told in LISTS:
        with subtests.test(f"{name} {value!r}"):
            assert series(world, **{name: value}).changes == {name: {"new": told}}
            assert done(world, partial(Series.objects.update, **{name: value})) == []
            (changed,) = done(world, partial(Series.objects.update, **{name: None}))
            assert changed.changes == {name: {"old": told, "new": None}}
            with world.scope("acme"):
                Series.objects.all().delete()


def test_equal_instants_in_lists_and_spans_are_no_change(world: World) -> None:
    series(world, moments=[NOON], period=(NOON, None))
    assert done(world, lambda: Series.objects.update(moments=[NOON.astimezone(TOKYO)])) == []
    assert done(world, lambda: Series.objects.update(period=(NOON.astimezone(TOKYO), None))) == []


FAR: list[tuple[str, str, Any]] = [
    ("moment", "'0044-03-15 12:00:00Z BC'", "0044-03-15 12:00:00+00 BC"),
    ("moment", "'10000-01-01 00:00:00Z'", "10000-01-01 00:00:00+00"),
    ("moment", "'infinity'", "infinity"),
    ("moment", "'-infinity'", "-infinity"),
    ("day", "'infinity'", "infinity"),
    ("day", "'0044-03-15 BC'", "0044-03-15 BC"),
    ("span", "'infinity'::interval", "infinity"),
    ("span", "'178000000 years'", "P65014500000DT00H00M00S"),
    ("real", "'NaN'", "NaN"),
    ("real", "'-Infinity'", "-Infinity"),
    ("price", "'NaN'", "NaN"),
]


def test_what_only_the_database_can_hold_is_told_as_text(world: World, subtests: pytest.Subtests) -> None:
    for name, value, told in FAR:
        with subtests.test(f"{name} {value}"), session(world, "tenant") as psql:
            trail = Trail(world)
            psql.execute(f"INSERT INTO hostapp_sample ({name}) VALUES ({value})".encode())
            psql.execute(f"UPDATE hostapp_sample SET {name} = {value}".encode())
            (entry,) = trail.told()
            assert entry.changes == {name: {"new": told}}
            psql.execute("DELETE FROM hostapp_sample")


def test_a_change_of_case_is_told_where_the_collation_takes_both_for_equal(world: World) -> None:
    schema = world.acme.schema_name
    try:
        world.sql("CREATE COLLATION public.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this PostgreSQL has no ICU, and so no such collation; test_body looks at the text")
    world.sql(f"ALTER TABLE {schema}.hostapp_letter ALTER title TYPE text COLLATE public.nocase")
    with world.scope("acme"):
        Letter.objects.create(title="red")
        assert Letter.objects.filter(title="RED").exists()
    (entry,) = done(world, lambda: Letter.objects.update(title="Red"))
    assert entry.changes["title"] == {"old": "red", "new": "Red"}


def test_a_type_without_an_equality_of_its_own_is_compared_as_text(world: World) -> None:
    columns = {"note": "json", "spot": "point", "bits": "bit varying", "word": "text[]"}
    install(world, "plain", {"id": "bigint"}, columns)
    trail = Trail(world)
    with session(world, "superuser") as psql:
        row = "1, '{\"b\": 1, \"a\": 2}', '(1,2)', B'101', '{a}'"
        psql.execute(f"INSERT INTO plain VALUES ({row})".encode())
        psql.execute("UPDATE plain SET note = note, spot = '(1,2)', bits = B'101'")
        psql.execute("UPDATE plain SET note = '{\"a\":2}', spot = '(1,3)', bits = B'1010', word = '{A}'")
    made, changed = trail.told()
    assert made.changes["note"] == {"new": {"b": 1, "a": 2}}
    assert changed.changes == {
        "note": {"old": {"a": 2, "b": 1}, "new": {"a": 2}},
        "spot": {"old": "(1,2)", "new": "(1,3)"},
        "bits": {"old": "101", "new": "1010"},
        "word": {"old": ["a"], "new": ["A"]},
    }
