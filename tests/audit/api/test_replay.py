"""A request with an Idempotency-Key is done once in 24 hours, and answered the same whenever it is repeated."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from world import World

LOGS = "/api/v1/audit-logs"
EVENT = {"action": "invoice.paid", "resource": {"type": "invoice", "id": "7"}, "changes": {"ü": {"new": 0.1}}}


def written(world: World, slug: str = "acme") -> int:
    schema = world.tenant(slug).schema_name
    return int(world.sql(f"SELECT count(*) FROM {schema}.audit_log WHERE action = 'invoice.paid'")[0][0])


def send(world: World, body: Any = EVENT, key: str = "k", caller: str = "acme.write") -> Any:
    slug = caller.partition(".")[0]
    return world.api(slug, caller).post(LOGS, body, **{"idempotency-key": key})


@pytest.mark.parametrize("body", [EVENT, {"events": [EVENT, {"action": "bad"}, {**EVENT, "idempotency_key": "e"}]}])
def test_a_repeated_request_gets_the_first_answer_byte_for_byte(world: World, body: Any) -> None:
    first, again = send(world, body), send(world, body)
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert "Idempotency-Replayed" not in first
    assert again["Idempotency-Replayed"] == "true"
    assert written(world) == (2 if "events" in body else 1)


def test_the_same_document_spelled_otherwise_is_the_same_request(world: World) -> None:
    first = send(world, b'{"action": "invoice.paid", "resource": {"type": "t"}}')
    again = send(world, b'{ "resource":{"type":"t"},"action":"invoice\\u002epaid" }')
    assert again.content == first.content
    assert written(world) == 1


def test_the_same_key_with_another_request_is_422_and_writes_nothing(world: World) -> None:
    send(world)
    answer = send(world, {**EVENT, "description": "other"})
    assert (answer.status_code, answer.json()["code"]) == (422, "key_reused")
    assert answer.json()["errors"][0]["parameter"] == "Idempotency-Key"
    assert written(world) == 1


def test_other_keys_callers_and_tenants_are_apart(world: World) -> None:
    for arguments in ({}, {"key": "l"}, {"caller": "acme.admin"}, {"caller": "globex.write"}):
        assert "Idempotency-Replayed" not in send(world, **arguments)
    assert (written(world), written(world, "globex")) == (3, 1)


def test_a_refused_request_leaves_its_key_free(world: World) -> None:
    assert send(world, {"action": "invoice.paid"}).status_code == 422
    assert send(world).status_code == 201
    assert written(world) == 1


def test_a_key_is_free_again_after_its_day_and_what_it_answered_is_forgotten(world: World) -> None:
    schema = world.acme.schema_name
    send(world, key="old")
    send(world)
    world.sql(f"UPDATE {schema}.audit_answer SET created_at = now() - interval '23 hours 59 minutes'")
    assert send(world)["Idempotency-Replayed"] == "true"
    world.sql(f"UPDATE {schema}.audit_answer SET created_at = now() - interval '24 hours 1 minute'")
    assert "Idempotency-Replayed" not in send(world)
    assert world.sql(f"SELECT count(*) FROM {schema}.audit_answer") == [(1,)]
    assert written(world) == 3


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "ключ"])
def test_a_bad_key_is_refused_by_its_name(world: World, key: str) -> None:
    answer = send(world, key=key)
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, "Idempotency-Key")
    assert written(world) == 0


def test_concurrent_requests_with_one_key_are_done_once_and_answered_alike(world: World) -> None:
    start = threading.Barrier(4)

    def worker(_number: int) -> Any:
        start.wait()
        try:
            return send(world)
        finally:
            connections["default"].close()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(worker, range(4)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotency-Replayed" in answer for answer in answers) == 3
    assert written(world) == 1


def test_a_post_takes_no_parameters(world: World) -> None:
    answer = world.api(key="acme.write").post(f"{LOGS}?dry_run=1", EVENT)
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, "dry_run")
    assert written(world) == 0
