"""Daybook's own lines."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from audit.events import Operation, Outcome, Party, Source
from audit.importers import Unmappable
from audit.importers.daybook import to_event

ENTRY: dict[str, Any] = {
    "id": "019a0000-0000-7000-8000-000000000001",
    "position": 1841,
    "tenant": {"id": "019a0000-0000-7000-8000-000000000002", "slug": "acme"},
    "created_at": "2026-11-22T10:00:00.123456Z",
    "occurred_at": "2026-11-22T09:00:00.000000Z",
    "action": "updated",
    "operation": "update",
    "outcome": "denied",
    "actor": {"type": "staff", "id": "7", "label": "ana@acme.example"},
    "impersonator": None,
    "resource": {"type": "organization", "id": "8", "label": "Acme"},
    "targets": [{"type": "user", "id": "9", "label": ""}],
    "changes": {"plan": {"old": "free", "new": "premium"}},
    "description": "moved",
    "context": {"ip": "192.0.2.7", "user_agent": "curl/8", "request_id": "r-1", "source": "api", "transaction_id": "5"},
    "metadata": {"ticket": "T-1"},
    "version": 2,
}
WRITTEN: dict[str, Any] = {"action": "user.signed_in", "resource": {"type": "user"}}


def test_an_exported_entry_comes_back_and_keeps_what_was_the_servers() -> None:
    event = to_event(ENTRY)
    assert (event.action, event.operation, event.outcome) == ("updated", Operation.UPDATE, Outcome.DENIED)
    assert event.actor == Party("staff", "7", "ana@acme.example")
    assert event.resource == Party("organization", "8", "Acme")
    assert event.targets == (Party("user", "9"),)
    assert (event.changes, event.description, event.version) == (ENTRY["changes"], "moved", 2)
    assert event.occurred_at == datetime(2026, 11, 22, 9, tzinfo=UTC)
    assert (event.context.ip, event.context.source) == ("192.0.2.7", Source.IMPORT)
    server = {key: ENTRY[key] for key in ("id", "position", "tenant", "created_at")}
    context = {"source": "api", "transaction_id": "5"}
    assert event.metadata == {"ticket": "T-1", "daybook": {**server, "context": context}}


def test_an_event_as_written_needs_an_action_and_a_type_of_resource() -> None:
    event = to_event(WRITTEN)
    assert (event.actor, event.operation, event.occurred_at, event.metadata) == (None, None, None, {})


def test_an_entry_without_a_time_of_its_own_happened_when_it_was_created() -> None:
    event = to_event({**ENTRY, "occurred_at": None})
    assert event.occurred_at == datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)
    assert event.metadata["daybook"]["occurred_at"] is None


def test_what_is_already_kept_moves_inside_when_a_trail_is_imported_again() -> None:
    event = to_event({**WRITTEN, "id": "2", "metadata": {"daybook": {"id": "1"}, "x": 1}})
    assert event.metadata == {"x": 1, "daybook": {"id": "2", "metadata": {"daybook": {"id": "1"}}}}


def test_full_metadata_moves_inside_too() -> None:
    full = {str(number): number for number in range(50)}
    assert to_event({**WRITTEN, "metadata": full}).metadata == full
    assert to_event({**WRITTEN, "id": "1", "metadata": full}).metadata == {"daybook": {"id": "1", "metadata": full}}


@pytest.mark.parametrize("identity", ["0F8FAD5B-D9CB-469F-A165-70867728950E", " 7 "])
def test_an_id_that_could_be_stored_in_another_form_is_kept(identity: str) -> None:
    event = to_event({**WRITTEN, "resource": {"type": "user", "id": identity}})
    assert event.metadata == {"daybook": {"resource": {"id": identity}}}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"colour": 1}, "`colour` is no field"),
        ({"context": {"host": "a"}}, r"`context\.host` is no field"),
        ({"actor": {"type": "user", "name": "a"}}, r"`actor\.name` is no field"),
        ({"actor": {"type": "robot"}}, r"`actor\.type` is none of user"),
        ({"actor": "ana"}, "`actor` is not an object"),
        ({"resource": None}, "no `resource`"),
        ({"resource": {"id": "1"}}, r"no `resource\.type`"),
        ({"resource": {"type": ""}}, r"`resource\.type` has 0 characters"),
        ({"resource": {"type": "user", "id": 7}}, r"`resource\.id` is not a text"),
        ({"resource": {"type": "user", "label": "x" * 256}}, r"`resource\.label` has 256 characters, not 0 to 255"),
        ({"targets": [{"type": "user", "id": "x" * 256}]}, r"`targets\.0\.id` has 256"),
        ({"targets": {}}, "`targets` is not an array"),
        ({"action": None}, "no `action`"),
        ({"action": "x" * 101}, "`action` has 101"),
        ({"outcome": "maybe"}, "`outcome` is none of success"),
        ({"operation": ["update"]}, "`operation` is none of create"),
        ({"changes": []}, "`changes` is not an object"),
        ({"metadata": []}, "`metadata` is not an object"),
        ({"metadata": {str(number): 1 for number in range(51)}}, "`metadata` has 51 keys"),
        ({"context": {"ip": "AWS Internal"}}, r"`context\.ip` is no address"),
        ({"occurred_at": "yesterday"}, "`occurred_at` is no time"),
        ({"occurred_at": 1700000000000}, "`occurred_at` is no time"),
        ({"version": 0}, "`version` is no number"),
        ({"version": True}, "`version` is no number"),
    ],
)
def test_what_the_api_would_refuse_is_refused_by_name(more: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unmappable, match=reason):
        to_event({**WRITTEN, **more})
