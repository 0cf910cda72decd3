"""django-auditlog's entries, as the package wrote them and as they might be."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from dumped import dumped_lines, events_in, joined_in, refused_in

from audit.events import Operation, Party, Source

VENDOR = "django-auditlog"
LINES = dumped_lines("auditlog")
TYPES = [line for line in LINES if line["model"] == "contenttypes.contenttype"]
ENTRIES = [line for line in LINES if line["model"] == "auditlog.logentry"]
EVENTS = events_in(VENDOR, LINES)
UPDATE = ENTRIES[3]
ALICE = Party("user", "1", "alice@acme.example")
NOBODY = Party("anonymous", "unknown")


def with_fields(line: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**line, "fields": {**line["fields"], **fields}}


def event(**fields: Any) -> Any:
    (found,) = events_in(VENDOR, [*TYPES, with_fields(UPDATE, **fields)])
    return found


def test_it_maps_an_update_and_keeps_the_rest() -> None:
    found = EVENTS[3]
    assert (found.action, found.operation, found.outcome) == ("updated", Operation.UPDATE, "success")
    assert found.actor == ALICE
    assert found.resource == Party("webhook_provider", "1", "Stripe")
    assert found.changes == {
        "secret": {"old": "********23456789", "new": "********76543210"},
        "retries": {"old": "3", "new": "5"},
        "options": {"old": "{}", "new": '{"events": ["paid"], "strict": true}'},
    }
    assert found.occurred_at == datetime.fromisoformat(UPDATE["fields"]["timestamp"]).astimezone(UTC)
    context = found.context
    assert (context.ip, context.request_id, context.source) == ("203.0.113.7", "c-0001", Source.IMPORT)
    names = {"app_label": "shop", "model": "webhookprovider"}
    number = UPDATE["fields"]["content_type"]
    assert found.metadata == {
        "django-auditlog": {
            "model": "auditlog.logentry",
            "pk": 4,
            "fields": {
                "content_type": number,
                "object_id": 1,
                "serialized_data": None,
                "action": 1,
                "changes_text": "",
                "actor": 1,
                "remote_port": 8443,
                "timestamp": UPDATE["fields"]["timestamp"],
                "additional_data": None,
            },
            "content_type": {"model": "contenttypes.contenttype", "pk": number, "fields": names},
        }
    }


def test_it_knows_all_actions() -> None:
    told = {(found.action, found.operation) for found in EVENTS}
    assert told == {
        ("created", Operation.CREATE),
        ("updated", Operation.UPDATE),
        ("deleted", Operation.DELETE),
        ("accessed", Operation.READ),
    }


def test_events_are_in_order_of_time_whatever_the_order_of_the_lines() -> None:
    assert events_in(VENDOR, reversed(LINES)) == EVENTS
    times = [found.occurred_at for found in EVENTS]
    assert times == sorted(times, key=str)


def test_a_creation_has_the_new_alone_and_what_stood_for_nothing_is_kept() -> None:
    found = EVENTS[0]
    assert found.changes is not None
    assert (found.action, found.changes["name"]) == ("created", {"new": "Stripe"})
    assert found.changes["secret"] == {"new": "********23456789"}
    kept = found.metadata[VENDOR]["fields"]["changes"]
    assert (kept["name"], kept["secret"]) == (["None", None], ["**ne", None])


def test_a_deletion_has_the_old_alone() -> None:
    found = EVENTS[9]
    assert found.changes is not None
    assert (found.action, found.changes["retries"]) == ("deleted", {"old": "9"})
    assert found.metadata[VENDOR]["fields"]["changes"]["retries"] == [None, "None"]
    assert found.actor == NOBODY


def test_changes_of_a_many_to_many_field_are_taken_as_they_are() -> None:
    assert EVENTS[1].changes == {"tags": {"type": "m2m", "operation": "add", "objects": ["north", "south"]}}
    assert EVENTS[2].changes == {"tags": {"type": "m2m", "operation": "delete", "objects": ["north"]}}


def test_a_project_that_keeps_json_has_json_in_its_changes() -> None:
    assert EVENTS[12].changes is not None
    assert EVENTS[12].changes["rate"] == {"new": 0.2}
    assert EVENTS[13].changes is not None
    assert EVENTS[13].changes["rate"] == {"old": 0.055}


def test_reading_changes_nothing_and_keeps_what_the_project_adds() -> None:
    found = EVENTS[8]
    assert (found.action, found.changes, found.context.ip) == ("accessed", None, "2001:db8::7")
    kept = found.metadata[VENDOR]["fields"]
    assert (kept["changes"], kept["additional_data"]) == (None, {"shop": "north"})
    assert kept["serialized_data"]["fields"]["total"] == "19.90"


def test_a_key_that_is_a_uuid_or_a_text_is_the_resources_id() -> None:
    assert EVENTS[4].resource == Party("order", ENTRIES[4]["fields"]["object_pk"], "order of 19.90")
    assert EVENTS[6].resource == Party("tax_zone", "DE", "Germany")


def test_content_types_belong_to_the_entries_and_none_is_refused() -> None:
    assert joined_in(VENDOR, LINES) == [number for number, line in enumerate(LINES, 1) if line in TYPES]
    assert refused_in(VENDOR, LINES) == []


def test_an_untold_model_is_called_as_the_dump_calls_it() -> None:
    assert events_in(VENDOR, LINES, {})[0].resource.type == "webhookprovider"


def test_without_content_types_it_says_which_to_dump() -> None:
    refused = dict(refused_in(VENDOR, ENTRIES))
    number = UPDATE["fields"]["content_type"]
    assert refused[4] == (
        f"the file does not say which model the content type {number} is: dump `contenttypes.ContentType` with it"
    )
    assert [found.resource.type for found in events_in(VENDOR, ENTRIES)] == ["order"] * 4  # `serialized_data` says it


def test_natural_keys_name_the_model_and_the_person() -> None:
    natural = events_in(VENDOR, dumped_lines("auditlog_natural"))
    assert [found.resource for found in natural] == [found.resource for found in EVENTS]
    assert [found.changes for found in natural] == [found.changes for found in EVENTS]
    assert natural[0].actor == Party("user", "alice", "alice@acme.example")


@pytest.mark.parametrize(
    ("actor", "email", "expected"),
    [
        (7, None, Party("user", "7", "7")),
        ("0f8fad5b-d9cb-469f-a165-70867728950e", "", Party("user", *("0f8fad5b-d9cb-469f-a165-70867728950e",) * 2)),
        (None, "gone@acme.example", Party("user", "gone@acme.example", "gone@acme.example")),
        ([], None, NOBODY),
        (None, None, NOBODY),
    ],
)
def test_who_acted_is_the_actor_or_the_address_that_is_left_of_him(actor: Any, email: Any, expected: Party) -> None:
    assert event(actor=actor, actor_email=email).actor == expected


def test_a_model_of_the_projects_own_for_the_log_is_read_as_well() -> None:
    (found,) = events_in(VENDOR, [*TYPES, {**UPDATE, "model": "audit.customlogentry"}])
    assert found.resource == EVENTS[3].resource


@pytest.mark.parametrize("field", ["changes", "changes_text"])
def test_changes_that_older_versions_wrote_as_text_are_read_and_the_text_is_kept(field: str) -> None:
    text = json.dumps({"name": ["a", "b"], "tags": {"type": "m2m"}})
    found = event(**{"changes": None, field: text})
    assert found.changes == {"name": {"old": "a", "new": "b"}, "tags": {"type": "m2m"}}
    assert found.metadata[VENDOR]["fields"][field] == text
    assert event(**{"changes": None, field: text, "action": 0}).changes["name"] == {"new": "b"}
    assert event(**{"changes": None, field: text, "action": 2}).changes["name"] == {"old": "a"}


@pytest.mark.parametrize("changes", ["name changed", "[1]", '{"a": [NaN, 1]}', "[" * 50_000, '"x"', [], 7, True])
def test_changes_that_are_none_stay_where_they_are(changes: Any) -> None:
    found = event(changes=changes)
    assert found.changes is None
    assert found.metadata[VENDOR]["fields"]["changes"] == changes


def test_a_change_of_an_unknown_form_stays_where_it_is() -> None:
    found = event(changes={"a": ["1", "2"], "b": "x", "c": [1], "d": [1, 2, 3]})
    assert found.changes == {"a": {"old": "1", "new": "2"}}
    assert found.metadata[VENDOR]["fields"]["changes"] == {"b": "x", "c": [1], "d": [1, 2, 3]}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"action": 4}, "`fields.action` is 4, none of 0 to 3"),
        ({"action": -1}, "`fields.action` is -1, none of 0 to 3"),
        ({"action": True}, "`fields.action` is True, none of 0 to 3"),
        ({"action": "update"}, "`fields.action` is update, none of 0 to 3"),
        ({"timestamp": None}, "`fields.timestamp` is no time"),
        ({"object_pk": None}, "it does not say whose row it is"),
        (
            {"content_type": 999, "serialized_data": {"model": 1}},
            "the file does not say which model the content type 999 is: dump `contenttypes.ContentType` with it",
        ),
        ({"object_repr": "a\0b"}, "`fields.object_repr` contains U+0000, which cannot be stored"),
        ({"object_repr": "x" * 70_000}, "the entry would have 71"),
    ],
)
def test_an_entry_that_cannot_be_one_of_a_trail_is_refused(fields: dict[str, Any], reason: str) -> None:
    ((number, said),) = refused_in(VENDOR, [*TYPES, with_fields(UPDATE, **fields)])
    assert number == len(TYPES) + 1
    assert said.startswith(reason)


def test_rows_of_other_tables_are_refused() -> None:
    row = {"model": "shop.order", "pk": 1, "fields": {"content_type": 1}}
    assert refused_in(VENDOR, [row, {"action": "updated"}]) == [
        (1, "no `fields.object_pk`: neither an entry of django-auditlog nor a content type"),
        (2, "not a line of `dumpdata --format jsonl`: an object of `model`, `pk` and `fields`"),
    ]
