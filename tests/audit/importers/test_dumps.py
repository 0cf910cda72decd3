"""Rows of dumps: what is one, where it stands, what it changed."""

from __future__ import annotations

from typing import Any

import pytest

from audit.events import Party
from audit.importers.dumps import Row, dated, key_of, resource, row_changes, row_of
from audit.importers.leaves import Reading, Unmappable
from audit.importers.naming import Model

LINE: dict[str, Any] = {"model": "shop.historicalorder", "pk": 7, "fields": {"at": "2026-02-01T12:30:00.5Z"}}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({}, "not a line of `dumpdata --format jsonl`"),
        ({"model": "a.b", "fields": {}}, "not a line of"),
        ({**LINE, "more": 1}, "not a line of"),
        ({**LINE, "model": 1}, "not a line of"),
        ({**LINE, "fields": []}, "not a line of"),
        ({**LINE, "pk": None}, "`pk` is neither"),
        ({**LINE, "pk": True}, "`pk` is neither"),
        ({**LINE, "pk": ""}, "`pk` is neither"),
        ({**LINE, "pk": [1, 2]}, "`pk` is neither"),
    ],
)
def test_what_dumpdata_does_not_print_is_refused(line: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unmappable, match=reason):
        row_of(1, line)


def test_a_row_has_a_model_a_key_and_columns() -> None:
    row = row_of(3, LINE)
    assert (row.number, row.model, row.pk, row.fields) == (3, "shop.historicalorder", "7", LINE["fields"])


@pytest.mark.parametrize(
    ("value", "key"),
    [(7, "7"), (0, "0"), ("DE", "DE"), (" ", " "), ("", None), (None, None), (False, None), (1.5, None), ([1], None)],
)
def test_a_key_is_a_number_or_a_text(value: Any, key: str | None) -> None:
    assert key_of(value) == key


def stand(pk: Any, kind: str = "updated", identity: Any = 1) -> Any:
    return dated(Row(1, {**LINE, "pk": pk}), "at", kind, identity)


def test_rows_of_one_time_follow_their_keys_where_these_count() -> None:
    assert stand(2) < stand(10)
    assert stand(2, "deleted") < stand(10, "created")


def test_otherwise_creation_comes_first_and_deletion_last() -> None:
    assert stand("f", "created") < stand("e", "updated") < stand("d", "deleted")
    assert (stand(2**63, "deleted").rank, stand(2**63 - 1, "deleted").rank) == (2, 0)


def test_rows_stand_with_those_of_the_same_object_of_the_same_model() -> None:
    assert stand(1, identity=1).object == stand(2, identity="1").object
    assert stand(1, identity=1).object != stand(1, identity=2).object
    assert stand(1).object != dated(Row(1, {**LINE, "model": "shop.other"}), "at", "updated", 1).object


def test_a_time_is_told_in_utc_so_that_its_text_is_in_order() -> None:
    row = Row(1, {**LINE, "fields": {"at": "2026-02-01T13:30:00+01:00"}})
    assert dated(row, "at", "updated", 1).time == "2026-02-01T12:30:00.000000Z"


@pytest.mark.parametrize("time", [None, "", "soon", True, [], "2026-02-31T00:00:00Z"])
def test_a_row_without_a_time_is_refused(time: Any) -> None:
    with pytest.raises(Unmappable, match=r"`fields\.at` is no time"):
        dated(Row(1, {**LINE, "fields": {"at": time}}), "at", "updated", 1)


@pytest.mark.parametrize("identity", [None, "", 1.5, {"id": 1}])
def test_a_row_of_nothing_is_refused(identity: Any) -> None:
    with pytest.raises(Unmappable, match="it does not say whose row it is"):
        stand(1, identity=identity)


def test_an_object_is_labelled_by_its_key_and_a_long_key_is_cut() -> None:
    model = Model("shop.Order", "id")
    assert resource(model, 7) == Party("order", "7", "7")
    assert resource(model, "x" * 300) == Party("order", "x" * 255, "x" * 255)


ROW: dict[str, Any] = {"name": "b", "price": 1, "note": None}


def changed(kind: str, before: dict[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a row changed, and what is left over of its columns."""
    reading = Reading({"fields": {**ROW, "own": 1}})
    return row_changes(reading, kind, list(ROW), before), reading.rest()["fields"]


def test_all_of_a_first_row_is_new_and_all_of_a_deleted_one_is_old() -> None:
    new = ({key: {"new": value} for key, value in ROW.items()}, {"own": 1})
    assert changed("created", None) == new
    assert changed("updated", None) == new
    assert changed("created", ROW) == new
    assert changed("deleted", ROW) == ({key: {"old": value} for key, value in ROW.items()}, {"own": 1})


def test_a_change_is_what_differs_and_the_rest_is_left_over() -> None:
    assert changed("updated", {**ROW, "name": "a"}) == (
        {"name": {"old": "a", "new": "b"}},
        {"price": 1, "note": None, "own": 1},
    )
    assert changed("updated", ROW) == ({}, {**ROW, "own": 1})


@pytest.mark.parametrize("other", [True, 1.0, "1", None, [1]])
def test_values_that_python_takes_for_equal_differ_as_json(other: Any) -> None:
    changes, _ = changed("updated", {**ROW, "price": other})
    assert changes == {"price": {"old": other, "new": 1}}


def test_a_column_that_was_not_there_before_has_no_old_value_and_one_that_went_is_no_change() -> None:
    before = {"name": "b", "note": None, "dropped": 1}
    assert changed("updated", before)[0] == {"price": {"new": 1}}


def test_what_is_taken_is_no_longer_left_over_and_leaves_its_place_in_an_array() -> None:
    reading = Reading({"a": {"b": [1, {"c": 2}], "d": 3}, "e": 2**60})
    assert (reading.take("a", "b", 1), reading.take("a", "d"), reading.take("e")) == ({"c": 2}, 3, str(2**60))
    assert reading.rest() == {"a": {"b": [1, None]}}
