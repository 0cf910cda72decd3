"""django-pghistory's rows and contexts, as the package wrote them and as they might be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from dumped import dumped_lines, events_in, joined_in, refused_in

from audit.events import Operation, Party

VENDOR = "pghistory"
LINES = dumped_lines("pghistory")
EVENTS = events_in(VENDOR, LINES)
HOOKS = [event for event in EVENTS if event.resource.type == "webhook_provider"]
ORDERS = [event for event in EVENTS if event.resource.type == "order"]
ZONES = [event for event in EVENTS if event.resource.type == "tax_zone"]
NOBODY = Party("anonymous", "unknown")
ROW: dict[str, Any] = {
    "pgh_created_at": "2026-01-01T00:00:00Z",
    "pgh_label": "update",
    "pgh_obj": 1,
    "pgh_context": None,
    "id": 1,
    "total": "1.00",
}


def line(pk: Any = 1, model: str = "shop.orderevent", **fields: Any) -> dict[str, Any]:
    return {"model": model, "pk": pk, "fields": {**ROW, **fields}}


def context(pk: str = "c-1", **metadata: Any) -> dict[str, Any]:
    times = {"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}
    return {"model": "pghistory.context", "pk": pk, "fields": {**times, "metadata": metadata}}


def changes(*lines: dict[str, Any]) -> list[Any]:
    return [event.changes for event in events_in(VENDOR, lines)]


def test_it_maps_a_row_with_its_context_and_keeps_the_rest() -> None:
    event = HOOKS[1]
    assert (event.action, event.operation) == ("updated", Operation.UPDATE)
    assert event.actor == Party("user", "1", "1")
    assert event.resource == Party("webhook_provider", "1", "1")
    assert event.changes == {
        "retries": {"old": 3, "new": 5},
        "options": {"old": {}, "new": {"events": ["paid"], "strict": True}},
    }
    fields = LINES[1]["fields"]
    assert event.occurred_at == datetime.fromisoformat(fields["pgh_created_at"]).astimezone(UTC)
    said = next(line for line in LINES if line["pk"] == fields["pgh_context"])
    kept = ("pgh_created_at", "pgh_label", "pgh_obj", "pgh_context", "id", "name", "url", "owner")
    assert event.metadata[VENDOR] == {
        "model": "shop.webhookproviderevent",
        "pk": 2,
        "fields": {key: fields[key] for key in kept},
        "context": said,
    }
    assert said["fields"]["metadata"] == {"url": "/sell/", "user": 1}


def test_what_only_triggers_saw_has_no_context_and_so_nobody_did_it() -> None:
    assert [event.action for event in HOOKS] == ["created", "updated", "updated", "deleted"]
    assert (HOOKS[2].changes, HOOKS[2].actor) == ({"retries": {"old": 5, "new": 9}}, NOBODY)
    assert "context" not in HOOKS[2].metadata[VENDOR]


def test_a_first_row_is_all_new_and_a_deletion_all_old() -> None:
    assert ORDERS[0].changes == {"paid_at": {"new": None}, "provider": {"new": 1}, "total": {"new": "19.90"}}
    assert ORDERS[-1].changes == {
        "paid_at": {"old": "2026-02-01T12:30:00.123Z"},
        "provider": {"old": None},
        "total": {"old": "19.90"},
    }


def test_an_event_by_hand_has_a_name_of_its_own_and_what_its_context_says() -> None:
    event = ORDERS[2]
    assert (event.action, event.operation, event.changes) == ("order.paid", Operation.OTHER, None)
    assert event.context.ip == "203.0.113.7"
    assert event.metadata[VENDOR]["context"]["fields"]["metadata"] == {"url": "/pay/", "user": 1, "reason": "webhook"}


def test_a_context_may_stand_in_the_event_itself() -> None:
    assert [event.actor for event in ZONES[:3]] == [Party("user", "1", "1")] * 2 + [NOBODY]
    assert ZONES[1].changes == {"rate": {"old": 0.19, "new": 0.16}}
    assert ZONES[1].metadata[VENDOR]["fields"]["pgh_context"] == {"url": "/sell/", "user": 1}


def test_contexts_may_come_before_their_events_and_after_them() -> None:
    assert LINES[-1]["model"] == "pghistory.context"
    assert sorted(events_in(VENDOR, reversed(LINES)), key=str) == sorted(EVENTS, key=str)
    assert joined_in(VENDOR, LINES) == [15, 16]
    assert joined_in(VENDOR, reversed(LINES)) == [1, 2]


def test_a_context_that_no_event_refers_to_is_refused() -> None:
    reason = "no event in this file refers to it"
    assert refused_in(VENDOR, [line(pgh_context="c-1"), context(), context("c-2")]) == [(3, reason)]


def test_without_any_context_events_that_have_one_are_refused() -> None:
    lines = [line(pgh_context="c-1"), line(2)]
    assert refused_in(VENDOR, lines) == [(1, "its context is not in the file: dump `pghistory.Context` with it")]
    assert len(events_in(VENDOR, lines)) == 1


def test_where_other_contexts_are_there_one_that_is_gone_takes_no_event_with_it() -> None:
    first, second = events_in(VENDOR, [line(1, pgh_context="gone"), line(2, pgh_context="c-1"), context(user=7)])
    assert (first.actor, second.actor) == (NOBODY, Party("user", "7", "7"))
    assert first.metadata[VENDOR]["fields"]["pgh_context"] == "gone"


def test_a_context_says_from_where_it_came() -> None:
    said = {"user": "u-7", "ip": "192.0.2.7", "user_agent": "curl/8", "request_id": "r-1", "url": "/x"}
    (event,) = events_in(VENDOR, [line(pgh_context="c-1"), context(**said)])
    assert (event.context.ip, event.context.user_agent, event.context.request_id) == ("192.0.2.7", "curl/8", "r-1")
    assert event.actor == Party("user", "u-7", "u-7")
    assert event.metadata[VENDOR]["context"]["fields"]["metadata"] == {"url": "/x"}


@pytest.mark.parametrize("user", [None, "", {"id": 7}, [7], True])
def test_a_user_that_is_no_key_is_nobody_and_stays(user: Any) -> None:
    (event,) = events_in(VENDOR, [line(pgh_context="c-1"), context(user=user)])
    assert event.actor == NOBODY
    assert event.metadata[VENDOR]["context"]["fields"]["metadata"] == {"user": user}


@pytest.mark.parametrize("metadata", [None, [], "x", {}])
def test_a_context_may_say_nothing(metadata: Any) -> None:
    empty = context()
    empty["fields"]["metadata"] = metadata
    (event,) = events_in(VENDOR, [line(pgh_context="c-1"), empty])
    assert event.actor == NOBODY
    assert event.metadata[VENDOR]["context"]["fields"]["metadata"] == metadata


@pytest.mark.parametrize(
    ("label", "action", "operation"),
    [
        ("insert", "created", Operation.CREATE),
        ("after_insert", "created", Operation.CREATE),
        ("update", "updated", Operation.UPDATE),
        ("after_update", "updated", Operation.UPDATE),
        ("delete", "deleted", Operation.DELETE),
        ("before_delete", "deleted", Operation.DELETE),
        ("snapshot", "snapshot", Operation.OTHER),
        ("user.created", "user.created", Operation.CREATE),
        ("x" * 120, "x" * 100, Operation.OTHER),
    ],
)
def test_labels_are_actions(label: str, action: str, operation: Operation) -> None:
    (event,) = events_in(VENDOR, [line(pgh_label=label)])
    assert (event.action, event.operation) == (action, operation)
    assert event.changes is not None


def test_events_of_one_transaction_have_one_time_and_follow_their_keys() -> None:
    rows = [line(10, total="3"), line(2, total="2"), line(1, pgh_label="insert")]
    assert changes(*rows) == [
        {"id": {"new": 1}, "total": {"new": "1.00"}},
        {"total": {"old": "1.00", "new": "2"}},
        {"total": {"old": "2", "new": "3"}},
    ]


def test_rows_from_before_an_update_are_compared_with_nothing() -> None:
    rows = [line(1, pgh_label="insert"), line(2, pgh_label="before_update"), line(3, total="2")]
    assert changes(*rows)[1:] == [None, {"total": {"old": "1.00", "new": "2"}}]


def test_nothing_is_older_than_a_deletion() -> None:
    assert changes(line(1), line(2, pgh_label="delete"), line(3))[2] == {"id": {"new": 1}, "total": {"new": "1.00"}}


def test_the_project_tells_whose_history_it_is() -> None:
    assert [event.resource for event in ZONES[:1]] == [Party("tax_zone", "DE", "DE")]
    untold = {event.resource.type for event in events_in(VENDOR, LINES, {})}
    assert untold == {"webhookprovider", "order", "taxzonenamerate"}


def test_without_a_reference_the_object_is_known_by_its_key() -> None:
    row = line(id=8)
    del row["fields"]["pgh_obj"]
    assert [event.resource.id for event in events_in(VENDOR, [row])] == ["8"]
    assert [event.resource.id for event in events_in(VENDOR, [line(pgh_obj=0)])] == ["0"]
    assert refused_in(VENDOR, [line(pgh_obj=None, id=None)]) == [(1, "it does not say whose row it is")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (line(pgh_label=""), "no `fields.pgh_label`"),
        (line(pgh_label=None), "no `fields.pgh_label`"),
        (line(pgh_created_at=None), "`fields.pgh_created_at` is no time"),
        ({"model": "shop.order", "pk": 1, "fields": {}}, "no `fields.pgh_label`: neither an event of"),
        (line(total="x" * 70_000), "the entry would have"),
    ],
)
def test_a_row_that_is_no_event_is_refused(row: dict[str, Any], reason: str) -> None:
    ((number, said),) = refused_in(VENDOR, [row])
    assert number == 1
    assert said.startswith(reason)
