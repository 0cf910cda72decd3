"""Events of the largest size: what the caller's name and program add to an entry refuses that event and no other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from declared import Catalogue
from world import World

from audit import catalogue, ledger
from audit.events import MAX_ENTRY_BYTES

LOGS = "/api/v1/audit-logs"
EVENT: dict[str, Any] = {"action": "invoice.paid", "resource": {"type": "invoice", "id": "7"}}


def filled(size: int, letter: str = "x") -> dict[str, Any]:
    """Return an event that has as many bytes as compact JSON."""
    room = size - len(json.dumps({**EVENT, "description": ""}, separators=(",", ":")))
    return {**EVENT, "description": letter * (room // len(letter.encode()))}


LARGEST = filled(MAX_ENTRY_BYTES)


def written(world: World) -> int:
    found = world.sql(f"SELECT count(*) FROM {world.acme.schema_name}.audit_log WHERE action = 'invoice.paid'")
    return int(found[0][0])


def agent(world: World, letters: int = 900) -> Any:
    """Return a writing caller whose program has a long name, which the entry has to hold besides the event."""
    api = world.api(key="acme.write")
    api.headers["User-Agent"] = "a" * letters
    return api


def test_one_alone_is_413_at_its_place(world: World) -> None:
    answer = agent(world).post(LOGS, LARGEST)
    assert answer.status_code == 413, answer.content
    assert [(it["pointer"], it["code"]) for it in answer.json()["errors"]] == [("", "too_large")]
    assert written(world) == 0


@pytest.mark.parametrize("others", [1, 20])
def test_one_in_a_batch_is_rejected_at_its_place_and_the_others_are_written(world: World, others: int) -> None:
    answer = agent(world).post(LOGS, {"events": [EVENT, LARGEST, *[EVENT] * (others - 1)]})
    assert answer.status_code == 201, answer.content
    results = answer.json()["results"]
    assert [one["status"] for one in results] == ["created", "rejected", *["created"] * (others - 1)]
    assert [(it["pointer"], it["code"]) for it in results[1]["errors"]] == [("/events/1", "too_large")]
    assert written(world) == others


def test_a_batch_of_such_alone_is_refused_and_names_each(world: World) -> None:
    answer = agent(world).post(LOGS, {"events": [LARGEST, LARGEST]})
    assert (answer.status_code, len(answer.json()["errors"])) == (422, 2)
    assert written(world) == 0


def test_one_in_a_stream_is_rejected_and_does_not_stop_it(world: World) -> None:
    api = agent(world)
    body = b"\n".join(json.dumps(one).encode() for one in [EVENT, LARGEST, EVENT])
    answer = api.client.post(LOGS, body, content_type="application/x-ndjson", headers=api.headers)
    said = answer.json()
    assert (answer.status_code, said["lines"], said["created"]) == (201, 3, 2)
    assert [(one["line"], one["errors"][0]["code"]) for one in said["rejected"]] == [(2, "too_large")]
    assert written(world) == 2


def test_a_key_of_one_that_was_rejected_is_free(world: World) -> None:
    keyed = {**filled(MAX_ENTRY_BYTES - 30), "idempotency_key": "k"}
    first = agent(world).post(LOGS, {"events": [EVENT, keyed]}).json()["results"]
    assert [one["status"] for one in first] == ["created", "rejected"]
    again = agent(world, 1).post(LOGS, {"events": [{**EVENT, "idempotency_key": "k"}]}).json()["results"]
    assert [one["status"] for one in again] == ["created"]


@pytest.mark.parametrize("letter", ["x", "é", "𝄞"])
def test_no_event_that_is_not_measured_is_too_large_whatever_is_added(world: World, letter: str) -> None:
    """The worst that can be added: the longest of names, a hundred targets, and each field for people alone."""
    fields = {f"{number:04}": "" for number in range(catalogue.MAX_PERSONAL)}
    event = {
        "action": "invoice.paid", "resource": EVENT["resource"], "targets": [{"type": "t"}] * 100, "changes": fields,
    }  # fmt: skip
    room = ledger._SMALL - len(json.dumps({**event, "description": ""}, separators=(",", ":")))
    acme = Catalogue(world)
    assert acme.put("invoice.paid", {"personal": [*fields]}).status_code == 201
    answer = agent(world, 1000).post(LOGS, {"events": [{**event, "description": letter * room}]})
    assert answer.status_code == 201, answer.content
    assert written(world) == 1


def test_an_event_that_fits_with_all_that_is_added_is_written(world: World) -> None:
    results = agent(world).post(LOGS, {"events": [filled(MAX_ENTRY_BYTES - 2000, "𝄞")] * 2}).json()["results"]
    assert [one["status"] for one in results] == ["created", "created"]
