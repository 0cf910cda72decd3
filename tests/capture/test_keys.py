"""Rows by keys of every type: cases 21 and 22. The history of each is found by its key, also where the key changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import models
from hostapp.models import Counter, Diner, Member, Opening, Organization, Passport, Place, Restaurant, Sample, Seat
from rest_framework.authtoken.models import Token
from seen import Trail, done, install, session
from world import World

from audit.capture.registry import is_captured, resource_type_of
from audit.models import AuditLog
from audit.past import state_of

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def make(world: World, model: Any, **values: Any) -> Any:
    """Make a row, change it and return it; the scope is closed by then."""
    with world.scope("acme", "alice"):
        return model.objects.create(**values)


def history(world: World, kind: str, key: Any) -> list[str]:
    with world.scope("acme"):
        return [entry.action for entry in AuditLog.get_resource_history(kind, key)]


def test_the_history_of_a_row_is_found_by_a_key_of_each_type(world: World, subtests: pytest.Subtests) -> None:
    north = make(world, Organization, name="North", slug="north")
    rows: list[tuple[Any, dict[str, Any], dict[str, Any], str]] = [
        (Counter, {"id": 7}, {"value": 1}, "7"),
        (Counter, {"id": -7}, {"value": 1}, "-7"),
        (Place, {"id": 2**53 + 1}, {"name": "x"}, "9007199254740993"),
        (Organization, {"id": UUID(int=7)}, {"name": "x"}, str(UUID(int=7))),
        (Member, {"code": "a_b%c\\d 'e\" f/é"}, {"name": "x"}, "a_b%c\\d 'e\" f/é"),
        (Member, {"code": ""}, {"name": "x"}, ""),
        (Passport, {"organization": north}, {"number": "x"}, str(north.pk)),
        (Seat, {"row": 'A"', "number": 3}, {"taken": True}, '["A\\"", 3]'),
        (Opening, {"moment": NOON}, {"note": "x"}, "2026-01-02T12:00:00.000000Z"),
    ]
    for model, key, change, told in rows:
        with subtests.test(f"{model.__name__} {told}"):
            made = make(world, model, **key)
            entries = done(world, partial(model.objects.filter(pk=made.pk).update, **change))
            assert [(entry.action, entry.id) for entry in entries] == [("updated", told)]
            kind = resource_type_of(model)
            assert history(world, kind, made.pk)[0] == "updated"
            assert history(world, kind, told)[0] == "updated"
            assert len(history(world, kind, made.pk)) == 2
            with world.scope("acme"):
                state = state_of(kind, made.pk)
            assert state
            assert state.items() >= change.items()


def test_a_text_that_spells_a_uuid_is_found_in_each_spelling(world: World) -> None:
    key = uuid4()
    make(world, Member, code=key.hex.upper(), name="x")
    for spelling in (key, key.hex, str(key).upper()):
        assert history(world, "member", spelling) == ["member.hired"]


def test_a_moment_as_a_key_is_found_from_each_time_zone(world: World) -> None:
    make(world, Opening, moment=NOON)
    trail = Trail(world)
    with session(world, "tenant") as psql:
        psql.execute("SET timezone = 'Asia/Tokyo'; SET datestyle = 'SQL, DMY'; UPDATE hostapp_opening SET note = 'x'")
    assert [entry.id for entry in trail.told()] == ["2026-01-02T12:00:00.000000Z"]
    assert history(world, "opening", NOON.astimezone(timezone(timedelta(hours=9)))) == ["updated", "created"]


def test_keys_of_other_types_are_told_as_their_values_are(world: World, subtests: pytest.Subtests) -> None:
    keys = {
        "date": ("'2026-01-02'", "2026-01-02"),
        "time": ("'01:02:03'", "01:02:03"),
        "numeric": ("1.50", "1.50"),
        "boolean": ("true", "true"),
        "inet": ("'203.0.113.7'", "203.0.113.7"),
        "bytea": ("'\\x00ff'", "AP8="),
        "interval": ("'26 hours'", "P1DT02H00M00S"),
        "smallint": ("7", "7"),
        "double precision": ("0.5", "0.5"),
    }
    for number, (kind, (value, told)) in enumerate(keys.items()):
        with subtests.test(kind), session(world, "tenant") as psql:
            install(world, f"t{number}", {"id": kind}, {"note": "text"})
            trail = Trail(world)
            psql.execute("SET datestyle = 'SQL, DMY'; SET intervalstyle = sql_standard; SET bytea_output = escape")
            psql.execute(f"INSERT INTO t{number} VALUES ({value}, 'a'); UPDATE t{number} SET note = 'b'".encode())
            assert [entry.id for entry in trail.told()] == [told, told]


def test_a_key_of_parts_tells_each_part_by_its_type(world: World) -> None:
    parts = {"a": "uuid", "b": "date", "c": "numeric", "d": "boolean", "e": "bigint", "f": "timestamp with time zone"}
    install(world, "parts", parts, {"note": "text"})
    trail = Trail(world)
    key = UUID(int=7)
    with session(world, "tenant") as psql:
        psql.execute("SET timezone = 'Asia/Tokyo'")
        row = [key, "2026-01-02", "1.50", True, 2**53 + 1, "2026-01-02 12:00:00Z"]
        psql.execute("INSERT INTO parts VALUES (%s, %s, %s, %s, %s, %s, 'x')", row)
    (entry,) = trail.told()
    assert entry.id == f'["{key}", "2026-01-02", "1.50", true, "9007199254740993", "2026-01-02T12:00:00.000000Z"]'
    assert entry.changes == {"note": {"new": "x"}}
    assert history(world, "thing", (key, "2026-01-02", "1.50", True, 2**53 + 1, NOON)) == ["created"]


def test_a_changed_key_is_told_and_names_the_former_one(world: World) -> None:
    make(world, Member, code="m-1", name="Mia")
    trail = Trail(world)
    with session(world, "tenant") as psql:
        psql.execute("UPDATE hostapp_member SET code = 'm-2'")
    (entry,) = trail.told()
    assert (entry.id, entry.changes) == ("m-2", {"code": {"old": "m-1", "new": "m-2"}})
    assert entry.targets == [{"type": "member", "id": "m-1", "label": ""}]


def test_a_changed_uuid_is_told_and_names_the_former_one(world: World) -> None:
    made = make(world, Organization, name="North", slug="north")
    new = uuid4()
    (entry,) = done(world, lambda: Organization.objects.update(id=new))
    assert (entry.id, entry.changes) == (str(new), {"id": {"old": str(made.pk), "new": str(new)}})
    assert entry.targets == [{"type": "organization", "id": str(made.pk), "label": ""}]


def test_a_row_that_keeps_its_key_names_no_target(world: World) -> None:
    made = make(world, Member, code="m-1", name="Mia")
    made.name = "Max"
    (entry,) = done(world, made.save)
    assert entry.targets is None


def test_a_key_that_is_not_told_otherwise_is_told_where_it_changes(world: World) -> None:
    install(world, "hidden", {"id": "bigint"}, {"note": "text"}, columns=[["note", "note", "text"]])
    trail = Trail(world)
    with session(world, "tenant") as psql:
        psql.execute("INSERT INTO hidden VALUES (1, 'x'); UPDATE hidden SET id = 2; DELETE FROM hidden")
    made, moved, gone = trail.told()
    assert (made.changes, gone.changes) == ({"note": {"new": "x"}}, {"note": {"old": "x"}})
    assert (moved.id, moved.changes) == ("2", {"id": {"old": 1, "new": 2}})
    assert moved.targets == [{"type": "thing", "id": "1", "label": ""}]


def test_a_row_of_a_third_party_is_found_by_the_field_that_the_declaration_names(world: World) -> None:
    alice = world.person("alice")
    (made,) = done(world, lambda: Token.objects.create(user_id=alice.pk, key="k" * 40))
    assert made.says[:2] == ("created", "token")
    assert made.id == str(alice.pk)
    assert made.changes["key"] == {"new": "[masked]"}
    assert history(world, "token", alice.pk) == ["created"]


def test_a_parent_and_its_child_tell_each_of_its_own_table(world: World) -> None:
    def work() -> None:
        inn = Restaurant.objects.create(name="Inn", stars=1)
        inn.stars = 2
        inn.save()
        inn.name = "Pub"
        inn.save()
        inn.name, inn.stars = "Bar", 3
        inn.save()

    entries = done(world, work)
    key = entries[0].id
    assert {entry.id for entry in entries} == {key}
    assert [entry.says for entry in entries] == [
        ("created", "place", {"name": {"new": "Inn"}}),
        ("created", "restaurant", {"stars": {"new": 1}}),
        ("updated", "restaurant", {"stars": {"old": 1, "new": 2}}),
        ("updated", "place", {"name": {"old": "Inn", "new": "Pub"}}),
        ("updated", "place", {"name": {"old": "Pub", "new": "Bar"}}),
        ("updated", "restaurant", {"stars": {"old": 2, "new": 3}}),
    ]
    assert history(world, "restaurant", key) == ["updated", "updated", "created"]


def test_an_update_of_a_childs_queryset_tells_both_tables(world: World) -> None:
    made = make(world, Restaurant, name="Inn", stars=1)
    entries = done(world, lambda: Restaurant.objects.update(name="Pub", stars=2))
    assert sorted(entry.says for entry in entries) == [
        ("updated", "place", {"name": {"old": "Inn", "new": "Pub"}}),
        ("updated", "restaurant", {"stars": {"old": 1, "new": 2}}),
    ]
    assert {entry.id for entry in entries} == {str(made.pk)}


def test_a_child_that_is_left_to_its_parent_is_told_as_gone_alone(world: World) -> None:
    made = make(world, Restaurant, name="Inn", stars=1)
    told = [entry.says[:2] for entry in done(world, lambda: made.delete(keep_parents=True))]
    assert told == [("deleted", "restaurant")]


def test_a_proxy_is_told_as_the_model_that_it_stands_for(world: World) -> None:
    def work() -> None:
        diner = Diner.objects.create(name="Inn", stars=1)
        diner.stars = 2
        diner.save()

    entries = done(world, work)
    assert [entry.says[:2] for entry in entries] == [
        ("created", "place"),
        ("created", "restaurant"),
        ("updated", "restaurant"),
    ]
    assert {resource_type_of(model) for model in (Diner, Restaurant)} == {"restaurant"}
    assert is_captured(Diner)
    for model in (Diner, Restaurant):
        with world.scope("acme"):
            key = model.objects.get().pk
        assert history(world, resource_type_of(model), key) == ["updated", "created"]


@pytest.mark.parametrize("model", [Sample, Place])
def test_keys_that_the_database_counts_are_told_by_their_numbers(world: World, model: type[models.Model]) -> None:
    manager: Any = model._default_manager
    made: list[Any] = []
    entries = done(world, lambda: made.extend(manager.create() for _ in range(3)))
    assert [entry.id for entry in entries] == [str(row.pk) for row in made]
