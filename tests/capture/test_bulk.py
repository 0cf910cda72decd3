"""Many rows by one statement: case 8, ON CONFLICT, and the deletes and updates of querysets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.models import Case, F, Value, When
from django.test.utils import CaptureQueriesContext
from hostapp.models import Counter, Organization, Place, Tag, Untold
from seen import Told, Trail, done
from world import World

MANY = 1000


def places(number: int = MANY) -> list[Place]:
    return Place.objects.bulk_create([Place(name=f"Inn {each}") for each in range(number)])


def told_once(entries: list[Told], keys: list[Any], action: str) -> None:
    assert {entry.action for entry in entries} == {action}
    assert sorted(entry.id for entry in entries) == sorted(map(str, keys))


def test_a_thousand_rows_created_together_are_a_thousand_entries(world: World) -> None:
    made: list[Place] = []
    entries = done(world, lambda: made.extend(places()))
    told_once(entries, [place.pk for place in made], "created")
    assert {entry.id: entry.changes for entry in entries} == {
        str(place.pk): {"name": {"new": place.name}} for place in made
    }
    assert len({entry.transaction for entry in entries}) == 1


def test_a_thousand_rows_updated_together_are_a_thousand_entries(world: World) -> None:
    with world.scope("acme"):
        made = places()
    for place in made:
        place.name += "!"
    entries = done(world, lambda: Place.objects.bulk_update(made, ["name"]))
    told_once(entries, [place.pk for place in made], "updated")
    assert all(entry.changes["name"]["new"] == entry.changes["name"]["old"] + "!" for entry in entries)
    assert {entry.id: entry.changes["name"]["new"] for entry in entries} == {
        str(place.pk): place.name for place in made
    }


def test_an_update_of_a_thousand_rows_is_a_thousand_entries(world: World) -> None:
    with world.scope("acme"):
        made = places()
    entries = done(world, lambda: Place.objects.update(name="Inn"))
    told_once(entries, [place.pk for place in made], "updated")
    old = {entry.id: entry.changes["name"] for entry in entries}
    assert old == {str(place.pk): {"old": place.name, "new": "Inn"} for place in made}


def test_a_delete_of_a_thousand_rows_is_a_thousand_entries(world: World) -> None:
    with world.scope("acme"):
        keys = [counter.pk for counter in Counter.objects.bulk_create(Counter(id=each) for each in range(MANY))]
    entries = done(world, lambda: Counter.objects.all().delete())
    told_once(entries, keys, "deleted")


def test_rows_of_an_update_that_do_not_change_are_not_told(world: World) -> None:
    with world.scope("acme"):
        Counter.objects.bulk_create(Counter(id=each, value=each % 2) for each in range(10))
    told_once(done(world, lambda: Counter.objects.update(value=1)), [0, 2, 4, 6, 8], "updated")


def work(model: type[Counter | Untold]) -> list[Callable[[], object]]:
    manager: Any = model._default_manager
    return [
        lambda: manager.create(value=1, **({"id": 0} if model is Counter else {})),
        lambda: manager.bulk_create([model(value=1, **({"id": n + 1} if model is Counter else {})) for n in range(9)]),
        lambda: manager.bulk_update(list(manager.all()), ["value"]),
        lambda: manager.update(value=F("value") + 1),
        lambda: manager.all().delete(),
    ]


@pytest.mark.parametrize("step", range(5))
def test_capture_sends_no_statement_of_its_own(world: World, step: int) -> None:
    """The control is the same work on a model that is not captured."""
    counts = []
    for model in (Counter, Untold):
        with world.scope("acme"):
            for before in work(model)[:step]:
                before()
            with CaptureQueriesContext(connection) as sent:
                work(model)[step]()
        counts.append(len(sent))
    # Rows that nothing hangs on are deleted by one statement, and those of Counter are asked for by none before.
    assert counts[0] == counts[1]


def test_rows_that_are_there_already_are_updated_and_told_as_that(world: World) -> None:
    with world.scope("acme"):
        old = Tag.objects.create(name="red")
        Counter.objects.create(id=1, value=1)
        Counter.objects.create(id=2, value=2)
    rows = [Counter(id=1, value=10), Counter(id=2, value=2), Counter(id=3, value=30)]
    entries = done(
        world,
        lambda: Counter.objects.bulk_create(rows, update_conflicts=True, unique_fields=["id"], update_fields=["value"]),
    )
    assert sorted((entry.action, entry.id, entry.changes["value"]) for entry in entries) == [
        ("created", "3", {"new": 30}),
        ("updated", "1", {"old": 1, "new": 10}),
    ]
    tags = done(
        world,
        lambda: Tag.objects.bulk_create([Tag(name="red"), Tag(name="blue")], ignore_conflicts=True),
    )
    assert [(entry.action, entry.changes) for entry in tags] == [("created", {"name": {"new": "blue"}})]
    assert old.pk is not None


def test_get_or_create_and_update_or_create_tell_what_they_did(world: World) -> None:
    def both() -> None:
        Counter.objects.get_or_create(id=1, defaults={"value": 1})
        Counter.objects.get_or_create(id=1, defaults={"value": 9})
        Counter.objects.update_or_create(id=1, defaults={"value": 2})
        Counter.objects.update_or_create(id=2, defaults={"value": 2})

    assert [(entry.action, entry.id, entry.changes) for entry in done(world, both)] == [
        ("created", "1", {"value": {"new": 1}}),
        ("updated", "1", {"value": {"old": 1, "new": 2}}),
        ("created", "2", {"value": {"new": 2}}),
    ]


def test_each_row_of_one_update_is_told_with_its_own_values(world: World) -> None:
    with world.scope("acme"):
        Counter.objects.bulk_create(Counter(id=each, value=each) for each in range(100))
    backwards = Case(*(When(id=each, then=Value(200 - each)) for each in range(100)))
    entries = done(world, lambda: Counter.objects.update(value=backwards))
    assert {entry.id: entry.changes["value"] for entry in entries} == {
        str(each): {"old": each, "new": 200 - each} for each in range(100)
    }


def test_an_empty_update_and_an_empty_delete_leave_nothing(world: World) -> None:
    def nothing() -> None:
        Counter.objects.filter(id=1).update(value=2)
        Counter.objects.filter(id=1).delete()
        Counter.objects.bulk_create([])

    assert done(world, nothing) == []


def test_many_rows_of_many_tables_stand_under_one_transaction(world: World) -> None:
    def several() -> None:
        places(3)
        Tag.objects.bulk_create(Tag(name=name) for name in "abc")
        Organization.objects.create(name="North", slug="north").tags.add(*Tag.objects.all())

    first, second = done(world, several), done(world, lambda: places(1))
    assert len(first) == 3 + 3 + 1 + 3
    assert len({entry.transaction for entry in first}) == 1
    assert {entry.transaction for entry in second}.isdisjoint(entry.transaction for entry in first)


def test_the_same_statement_twice_is_told_twice_if_it_changes_something_twice(world: World) -> None:
    with world.scope("acme"):
        Counter.objects.create(id=1, value=0)
    trail = Trail(world)
    with world.scope("acme"):
        for _ in range(3):
            Counter.objects.update(value=F("value") + 1)
    assert [entry.changes["value"] for entry in trail.told()] == [
        {"old": 0, "new": 1},
        {"old": 1, "new": 2},
        {"old": 2, "new": 3},
    ]
