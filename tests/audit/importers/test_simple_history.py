"""django-simple-history's rows, as the package wrote them and as they might be."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from dumped import dumped_lines, events_in, joined_in, refused_in

from audit.events import Operation, Party
from audit.importers.naming import Model

VENDOR = "simple-history"
LINES = dumped_lines("simple_history")
EVENTS = events_in(VENDOR, LINES)
HOOKS = [event for event in EVENTS if event.resource.type == "webhook_provider"]
ORDERS = [event for event in EVENTS if event.resource.type == "order"]
ROW: dict[str, Any] = {
    "id": 1,
    "total": "1.00",
    "history_date": "2026-01-01T00:00:00Z",
    "history_change_reason": None,
    "history_type": "~",
    "history_user": 7,
}


def line(pk: Any = 1, model: str = "shop.historicalorder", **fields: Any) -> dict[str, Any]:
    return {"model": model, "pk": pk, "fields": {**ROW, **fields}}


def tag(pk: int, history: Any, tag: int) -> dict[str, Any]:
    """Return a row of a many-to-many field."""
    fields = {"id": pk, "order": 1, "tag": tag, "history": history}
    return {"model": "shop.historicalorder_tags", "pk": pk, "fields": fields}


def changes(*lines: dict[str, Any]) -> list[Any]:
    return [event.changes for event in events_in(VENDOR, lines)]


def test_it_maps_a_row_and_keeps_the_rest() -> None:
    event = HOOKS[3]
    assert (event.action, event.operation, event.description) == (
        "updated",
        Operation.UPDATE,
        "rotated after the incident",
    )
    assert event.actor == Party("user", "1", "1")
    assert event.resource == Party("webhook_provider", "1", "1")
    assert event.changes == {
        "secret": {"old": "whsec_0123456789", "new": "whsec_9876543210"},
        "retries": {"old": 3, "new": 5},
        "options": {"old": {}, "new": {"events": ["paid"], "strict": True}},
    }
    said = LINES[3]["fields"]["history_date"]
    assert event.occurred_at == datetime.fromisoformat(said).astimezone(UTC)
    kept = dict(event.metadata[VENDOR])
    assert [row["fields"] for row in kept.pop("m2m")] == [{"id": 2, "webhookprovider": 1, "tag": 2, "history": 4}]
    assert kept == {
        "model": "shop.historicalwebhookprovider",
        "pk": 4,
        "fields": {
            "id": 1,
            "name": "Stripe",
            "url": "https://hooks.example/stripe",
            "owner": 1,
            "history_date": said,
            "history_type": "~",
            "history_user": 1,
        },
    }


def test_a_first_row_is_all_new_and_a_deletion_all_old() -> None:
    assert [event.action for event in HOOKS] == ["created", "updated", "updated", "updated", "deleted"]
    first, last = HOOKS[0].changes, HOOKS[-1].changes
    assert first is not None
    assert last is not None
    assert first["name"] == {"new": "Stripe"}
    assert last["retries"] == {"old": 9}
    assert {side for change in first.values() for side in change} == {"new"}
    assert {side for change in last.values() for side in change} == {"old"}


def test_a_many_to_many_field_changes_with_the_rows_that_belong_to_it() -> None:
    assert HOOKS[1].changes == {"tags": {"old": [], "new": [1, 2]}}
    assert HOOKS[2].changes == {"tags": {"old": [1, 2], "new": [2]}}
    assert joined_in(VENDOR, LINES) == [6, 7, 8, 9]


def test_keys_of_the_history_that_are_uuids_tell_no_order_but_times_do() -> None:
    shuffled = random.Random(3).sample(LINES, len(LINES))
    assert events_in(VENDOR, shuffled) == EVENTS
    assert [event.action for event in ORDERS] == ["created", "updated", "deleted"]
    assert ORDERS[1].changes == {"paid_at": {"old": None, "new": "2026-02-01T12:30:00.123Z"}}


def test_of_rows_of_one_time_with_uuids_creation_is_first_and_deletion_last() -> None:
    rows = [line("a", history_type="-"), line("b", total="2"), line("c", history_type="+", total="1")]
    assert [event.action for event in events_in(VENDOR, rows)] == ["created", "updated", "deleted"]


def test_the_project_tells_the_class_and_the_key() -> None:
    zones = [event.resource for event in EVENTS if event.resource.type == "tax_zone"]
    assert zones == [Party("tax_zone", code, code) for code in ("DE", "DE", "DE", "FR", "FR")]


def test_untold_the_class_is_what_the_dump_calls_it_and_the_key_is_id() -> None:
    untold = events_in(VENDOR, LINES, {})
    assert {event.resource.type for event in untold} == {"webhookprovider", "order"}
    reasons = {reason for _, reason in refused_in(VENDOR, LINES, {})}
    assert reasons == {
        "no `fields.id`: let the project tell the key of `shop.pasttaxzone` (--models, see docs/moving-in.md)"
    }
    assert [event.resource.type for event in events_in(VENDOR, [line(model="shop.historical")], {})] == ["historical"]


def test_a_history_of_another_name_is_told() -> None:
    names = {"shop.orderpast": Model("shop.PurchaseOrder", "number")}
    (event,) = events_in(VENDOR, [line(model="shop.orderpast", number="A-1")], names)
    assert event.resource == Party("purchase_order", "A-1", "A-1")


def test_history_that_began_late_begins_with_all_that_is_known() -> None:
    assert changes(line()) == [{"id": {"new": 1}, "total": {"new": "1.00"}}]


def test_nothing_is_older_than_a_deletion() -> None:
    rows = [line(1, history_type="-"), line(2, total="2"), line(3, history_type="+"), line(4, total="3")]
    assert changes(*rows)[1:] == [
        {"id": {"new": 1}, "total": {"new": "2"}},
        {"id": {"new": 1}, "total": {"new": "1.00"}},
        {"total": {"old": "1.00", "new": "3"}},
    ]


def test_objects_of_one_key_in_two_models_are_two() -> None:
    other = line(2, "shop.historicalinvoice", total="9")
    assert changes(line(1), other, line(3, total="2")) == [
        {"id": {"new": 1}, "total": {"new": "1.00"}},
        {"id": {"new": 1}, "total": {"new": "9"}},
        {"total": {"old": "1.00", "new": "2"}},
    ]


def test_a_row_that_is_too_large_for_an_entry_is_refused_and_takes_no_other_with_it() -> None:
    rows = [line(1), line(2, total="x" * 70_000, note="a"), line(3, note="b")]
    ((number, reason),) = refused_in(VENDOR, rows)
    assert number == 2
    assert reason.startswith("the entry would have 70")
    assert changes(*rows)[1] == {"total": {"new": "1.00"}, "note": {"new": "b"}}


def test_old_values_give_way_where_there_is_no_room_for_both() -> None:
    rows = [line(1, note="x" * 40_000), line(2, note="y" * 40_000), line(3, note="z")]
    assert refused_in(VENDOR, rows) == []
    assert changes(*rows)[1:] == [
        {"note": {"new": "y" * 40_000}},
        {"note": {"old": "y" * 40_000, "new": "z"}},
    ]


def test_a_row_that_changed_nothing_has_no_changes() -> None:
    assert changes(line(1), line(2)) == [{"id": {"new": 1}, "total": {"new": "1.00"}}, None]


def test_integers_that_floats_would_round_are_text_on_both_sides() -> None:
    assert changes(line(1, n=2**60), line(2, n=2**60 + 1))[1] == {"n": {"old": str(2**60), "new": str(2**60 + 1)}}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"history_user": 7}, Party("user", "7", "7")),
        ({"history_user": ["ana@acme.example"]}, Party("user", "ana@acme.example", "ana@acme.example")),
        ({"history_user": None}, Party("anonymous", "unknown")),
        ({"history_user": None, "history_user_id": "u-7"}, Party("user", "u-7", "u-7")),
    ],
)
def test_who_acted_is_the_user_of_the_history(fields: dict[str, Any], expected: Party) -> None:
    (event,) = events_in(VENDOR, [line(**fields)])
    assert event.actor == expected
    assert event.changes == {"id": {"new": 1}, "total": {"new": "1.00"}}


@pytest.mark.parametrize(("tags", "expected"), [([], None), ([3, 1], [1, 3])])
def test_tags_of_a_first_and_of_a_deleted_row_are_all_new_and_all_old(tags: list[int], expected: Any) -> None:
    for kind, side in (("+", "new"), ("~", "new"), ("-", "old")):
        rows = [tag(number, 1, key) for number, key in enumerate(tags)]
        (event,) = events_in(VENDOR, [line(1, history_type=kind), *rows])
        assert event.changes is not None
        assert event.changes.get("tags") == (expected and {side: expected})


def test_tags_in_another_order_are_no_change() -> None:
    rows = [line(1), line(2, total="2"), tag(1, 1, 5), tag(2, 1, 6), tag(3, 2, 6), tag(4, 2, 5)]
    assert changes(*rows)[1] == {"total": {"old": "1.00", "new": "2"}}


def test_tags_that_were_dumped_twice_are_there_once() -> None:
    assert changes(line(1), tag(1, 1, 5), tag(1, 1, 5))[0]["tags"] == {"new": [5]}


def test_a_relation_that_says_more_is_shown_in_full() -> None:
    more = tag(1, 1, 5)
    more["fields"]["since"] = "2026"
    assert changes(line(1), more)[0]["tags"] == {"new": [{"tag": 5, "since": "2026"}]}


def test_tags_of_no_row_are_refused() -> None:
    reason = "it belongs to no row in this file: dump the model whose history it is part of, too"
    assert refused_in(VENDOR, [line(1), tag(1, 2, 5), tag(2, 1, 5)]) == [(2, reason)]
    custom = {**tag(3, 1, 5), "model": "shop.historicalmembership"}
    assert refused_in(VENDOR, [line(1), custom]) == [(2, reason)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (line(history_type="*"), "`fields.history_type` is *, none of +, ~ and -"),
        (line(history_type=None), "`fields.history_type` is None, none of +, ~ and -"),
        (line(history_date="now"), "`fields.history_date` is no time"),
        (line(id=None), "it does not say whose row it is"),
        ({"model": "shop.order", "pk": 1, "fields": {"id": 1}}, "no `fields.history_type`: not a row of"),
        ({"model": "shop.order", "pk": 1, "fields": {"history": None}}, "no `fields.history_type`: not a row of"),
        (line(total="\ud800"), "`fields.total` contains a lone surrogate"),
    ],
)
def test_a_row_that_is_none_of_a_history_is_refused(row: dict[str, Any], reason: str) -> None:
    ((number, said),) = refused_in(VENDOR, [row])
    assert number == 1
    assert said.startswith(reason)
