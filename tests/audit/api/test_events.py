"""Writing events over HTTP: one or a batch, what is answered, and what is refused with nothing written."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from world import World

EVENT = {"action": "invoice.paid", "resource": {"type": "invoice", "id": "7", "label": "No 7"}}
FULL = {
    "action": "user.renamed",
    "operation": "update",
    "outcome": "failure",
    "actor": {"type": "user", "id": "u-1", "label": "una@acme.example"},
    "impersonator": {"type": "staff", "id": "s-1", "label": "sam"},
    "resource": {"type": "user", "id": "4F7F1E0A-7E65-4D58-9D0B-1B1B5D9D3C11", "label": "Una"},
    "targets": [{"type": "team", "id": "t/1", "label": ""}],
    "changes": {"name": {"old": "Una", "new": "Ünal 𝄞"}, "empty": {}, "n": 0.1, "big": 9007199254740992},
    "description": "renamed",
    "occurred_at": "2026-11-22T12:00:00.1234567+02:00",
    "context": {"ip": "2001:DB8::1", "user_agent": "curl/8", "request_id": "r-1"},
    "metadata": {"nested": [1, {"a": None}]},
    "version": 3,
}


def written(world: World, slug: str = "acme") -> int:
    """Count the entries of events written here: none of them is the service's own."""
    schema = world.tenant(slug).schema_name
    rows = world.sql(f"SELECT count(*) FROM {schema}.audit_log WHERE source = 'api' AND action <> 'access.denied'")
    return int(rows[0][0])


def faults(answer: Any) -> dict[str, str]:
    assert answer["Content-Type"] == "application/problem+json", answer.content
    return {fault.get("pointer", fault.get("parameter")): fault["code"] for fault in answer.json().get("errors", [])}


def test_one_event_answers_the_entry_as_it_is_read_afterwards(world: World) -> None:
    answer = world.api(key="acme.admin").post("/api/v1/audit-logs", FULL)
    assert answer.status_code == 201, answer.content
    entry = answer.json()
    read = world.api(key="acme.read").get(f"/api/v1/audit-logs/{entry['id']}")
    assert read.json() == entry
    assert entry == {
        "id": entry["id"],
        "position": None,
        "tenant": {"id": str(world.acme.id), "slug": "acme"},
        "created_at": entry["created_at"],
        "occurred_at": "2026-11-22T10:00:00.123456Z",
        "action": "user.renamed",
        "operation": "update",
        "outcome": "failure",
        "actor": FULL["actor"],
        "impersonator": FULL["impersonator"],
        "resource": {"type": "user", "id": "4f7f1e0a-7e65-4d58-9d0b-1b1b5d9d3c11", "label": "Una"},
        "targets": FULL["targets"],
        "changes": FULL["changes"],
        "description": "renamed",
        "context": {
            "ip": "2001:db8::1",
            "user_agent": "curl/8",
            "request_id": "r-1",
            "source": "api",
            "transaction_id": entry["context"]["transaction_id"],
        },
        "metadata": FULL["metadata"],
        "version": 3,
        "captured": False,
    }
    assert UUID(entry["id"]).version == 7
    assert entry["context"]["transaction_id"].isdecimal()


def test_an_event_without_an_actor_is_the_callers_own(world: World) -> None:
    sent = world.api(key="acme.write")
    entry = sent.post("/api/v1/audit-logs", EVENT, **{"user-agent": "probe/1", "x-request-id": "r-9"}).json()
    key = world.sql("SELECT id FROM shared.tenants_apikey WHERE name = 'acme write'")[0][0]
    assert entry["actor"] == {"type": "api_key", "id": str(key), "label": "acme write"}
    assert {**entry["context"], "transaction_id": ""} == {
        "ip": "127.0.0.1", "user_agent": "probe/1", "request_id": "r-9", "source": "api", "transaction_id": "",
    }  # fmt: skip
    assert (entry["operation"], entry["outcome"], entry["changes"], entry["metadata"]) == ("other", "success", None, {})


def test_an_event_about_another_actor_does_not_get_the_callers_address(world: World) -> None:
    event = {**EVENT, "actor": {"type": "user", "id": "u-1"}}
    context = world.api(key="acme.write").post("/api/v1/audit-logs", event).json()["context"]
    assert (context["ip"], context["user_agent"]) == (None, None)


@pytest.mark.parametrize("path", ["/api/v1/audit-logs", "/api/v1/audit-logs/"])
def test_a_post_is_answered_with_and_without_a_slash(world: World, path: str) -> None:
    assert world.api(key="acme.write").post(path, EVENT).status_code == 201


def test_a_key_of_a_tenant_writes_on_the_platform_host_too(world: World) -> None:
    entry = world.api("platform", "acme.write").post("/api/v1/audit-logs", EVENT).json()
    assert entry["tenant"]["slug"] == "acme"
    assert (written(world), written(world, "globex")) == (1, 0)


def test_a_batch_answers_what_became_of_each_event_in_order(world: World) -> None:
    bad = {"action": "", "resource": {"type": "x"}}
    batch = [{**EVENT, "idempotency_key": "a"}, bad, {**EVENT, "idempotency_key": "a"}, EVENT]
    answer = world.api(key="acme.write").post("/api/v1/audit-logs", {"events": batch})
    assert answer.status_code == 201
    results = answer.json()["results"]
    assert [one["status"] for one in results] == ["created", "rejected", "duplicate", "created"]
    assert results[2]["id"] == results[0]["id"] != results[3]["id"]
    assert results[1]["id"] is None
    assert [fault["pointer"] for fault in results[1]["errors"]] == ["/events/1/action"]
    assert [one["errors"] for one in results if one["status"] != "rejected"] == [[], [], []]
    assert written(world) == 2


def test_a_batch_of_a_thousand_is_written(world: World) -> None:
    batch = [{**EVENT, "resource": {"type": "invoice", "id": str(number)}} for number in range(1000)]
    answer = world.api(key="acme.write").post("/api/v1/audit-logs", {"events": batch})
    assert answer.status_code == 201
    assert {one["status"] for one in answer.json()["results"]} == {"created"}
    assert written(world) == 1000


def test_a_repeated_key_answers_the_id_of_its_entry_and_no_more(world: World) -> None:
    api = world.api(key="acme.write")
    first = api.post("/api/v1/audit-logs", {**EVENT, "idempotency_key": "k"})
    again = api.post("/api/v1/audit-logs", {**EVENT, "idempotency_key": "k"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == {"status": "duplicate", "id": first.json()["id"], "errors": []}
    assert written(world) == 1


def test_a_batch_of_bad_events_alone_is_422_and_names_each(world: World) -> None:
    batch = [{**EVENT, "actor": {"type": "user", "id": 5}}, {"action": "a"}]
    answer = world.api(key="acme.write").post("/api/v1/audit-logs", {"events": batch})
    assert answer.status_code == 422
    assert faults(answer) == {"/events/0/actor/id": "not_a_text", "/events/1/resource": "required"}
    assert written(world) == 0


def with_(**fields: Any) -> dict[str, Any]:
    return {**EVENT, **fields}


def nested(levels: int) -> Any:
    value: Any = "leaf"
    for _ in range(levels):
        value = {"a": value}
    return value


BAD_EVENTS: list[tuple[Any, str]] = [
    ({}, "/action"),
    ([], ""),
    ("event", ""),
    (None, ""),
    (7, ""),
    ({"action": "a"}, "/resource"),
    ({"action": "a", "resource": {}}, "/resource/type"),
    (with_(action=""), "/action"),
    (with_(action="a" * 101), "/action"),
    (with_(action=5), "/action"),
    (with_(resource="invoice"), "/resource"),
    (with_(resource={"type": "", "id": "1"}), "/resource/type"),
    (with_(resource={"type": "t", "id": 1}), "/resource/id"),
    (with_(resource={"type": "t", "id": "1" * 256}), "/resource/id"),
    (with_(resource={"type": "t" * 101}), "/resource/type"),
    (with_(resource={"type": "t", "label": "l" * 256}), "/resource/label"),
    (with_(resource={"type": "t", "name": "n"}), "/resource/name"),
    (with_(actor={"type": "robot", "id": "1"}), "/actor/type"),
    (with_(actor={"type": "user"}), "/actor/id"),
    (with_(actor={"type": "user", "id": ""}), "/actor/id"),
    (with_(impersonator={"id": "1"}), "/impersonator/type"),
    (with_(operation="erase"), "/operation"),
    (with_(outcome="fine"), "/outcome"),
    (with_(outcome=None), "/outcome"),
    (with_(targets={}), "/targets"),
    (with_(targets=[{"type": "a"}, {"id": "b"}]), "/targets/1/type"),
    (with_(targets=[{"type": "a"}] * 101), "/targets"),
    (with_(changes=[]), "/changes"),
    (with_(changes="x"), "/changes"),
    (with_(description=5), "/description"),
    (with_(occurred_at="yesterday"), "/occurred_at"),
    (with_(occurred_at="2026-11-22T10:00:00"), "/occurred_at"),
    (with_(occurred_at="2026-02-30T10:00:00Z"), "/occurred_at"),
    (with_(occurred_at="0001-01-01T00:00:00+14:00"), "/occurred_at"),
    (with_(occurred_at=1764000000), "/occurred_at"),
    (with_(context={"ip": "300.1.1.1"}), "/context/ip"),
    (with_(context={"ip": "10.0.0.0/8"}), "/context/ip"),
    (with_(context={"ip": "fe80::1%eth0"}), "/context/ip"),
    (with_(context={"ip": 16909060}), "/context/ip"),
    (with_(context={"source": "database"}), "/context/source"),
    (with_(context={"transaction_id": "5"}), "/context/transaction_id"),
    (with_(context={"user_agent": "u" * 2049}), "/context/user_agent"),
    (with_(context={"request_id": 5}), "/context/request_id"),
    (with_(metadata={str(number): 1 for number in range(51)}), "/metadata"),
    (with_(metadata=[]), "/metadata"),
    (with_(version=0), "/version"),
    (with_(version=True), "/version"),
    (with_(version="1"), "/version"),
    (with_(version=32768), "/version"),
    (with_(idempotency_key=""), "/idempotency_key"),
    (with_(idempotency_key="k" * 256), "/idempotency_key"),
    (with_(id=str(uuid4())), "/id"),
    (with_(position=1), "/position"),
    (with_(tenant="globex"), "/tenant"),
    (with_(created_at="2026-11-22T10:00:00Z"), "/created_at"),
    (with_(**{"a/b~c": 1}), "/a~1b~0c"),
]


def test_every_bad_event_is_refused_by_the_name_of_its_field_and_nothing_is_written(world: World) -> None:
    api = world.api(key="acme.write")
    for event, pointer in BAD_EVENTS:
        single = api.post("/api/v1/audit-logs", event)
        assert (single.status_code, pointer in faults(single)) == (422, True), (event, single.content)
        batch = api.post("/api/v1/audit-logs", {"events": [event]})
        assert (batch.status_code, f"/events/0{pointer}" in faults(batch)) == (422, True), (event, batch.content)
    assert written(world) == 0


def test_server_fields_are_called_so(world: World) -> None:
    answer = world.api(key="acme.write").post("/api/v1/audit-logs", with_(id="1", position=1, tenant=1, created_at=1))
    assert set(faults(answer).values()) == {"server_field"}


BAD_BODIES: list[tuple[bytes, int, str]] = [
    (b"", 422, "/action"),
    (b" ", 400, ""),
    (b"{", 400, ""),
    (b"{'action': 'a'}", 400, ""),
    (b'{"action": "a"} x', 400, ""),
    (b'{"action": "\xff"}', 400, ""),
    (b'\xef\xbb\xbf{"action": "a"}', 400, ""),
    ('{"action": "a"}'.encode("utf-16"), 400, ""),
    (b'{"action": "a", "action": "b", "resource": {"type": "t"}}', 400, "/action"),
    (b'{"action": "a", "resource": {"type": "t", "type": "t"}}', 400, "/resource/type"),
    (b'{"action": "a", "resource": {"type": "t"}, "metadata": {"x": NaN}}', 400, "/metadata/x"),
    (b'{"action": "a", "resource": {"type": "t"}, "metadata": {"x": [0, -Infinity]}}', 400, "/metadata/x/1"),
    (b'{"action": "a", "resource": {"type": "t"}, "metadata": {"x": 1e400}}', 400, "/metadata/x"),
    (b'{"action": "a", "resource": {"type": "t"}, "metadata": {"x": 1e-99999999999999999999}}', 400, "/metadata/x"),
    (b'{"action": "a", "resource": {"type": "t"}, "metadata": {"x": 9007199254740993}}', 400, "/metadata/x"),
    (b'{"action": "a", "resource": {"type": "t"}, "metadata": {"x": -9007199254740993}}', 400, "/metadata/x"),
    (b'{"action": "a", "resource": {"type": "t"}, "metadata": {"x": ' + b"9" * 10000 + b"}}", 400, "/metadata/x"),
    (b'{"action": "a", "resource": {"type": "t"}, "metadata": {"x": 0.30000000000000000001}}', 400, "/metadata/x"),
    (b'{"action": "a\\u0000b", "resource": {"type": "t"}}', 400, "/action"),
    (b'{"action": "a", "resource": {"type": "t", "label": "\\ud800"}}', 400, "/resource/label"),
    (b'{"action": "a", "resource": {"type": "t"}, "metadata": {"\\udfff": 1}}', 400, "/metadata"),
    (b'{"action": "a", "resource": {"type": "t"}, "metadata": {"\\udfff": NaN}}', 400, "/metadata/?"),
    (b'{"action": "a", "resource": {"type": "t"}, "metadata": {"a\\u0000": 1}}', 400, "/metadata"),
    (b"[" * 100_000, 400, ""),
    (b'{"a":' * 100_000, 400, ""),
    (json.dumps(with_(changes=nested(32))).encode(), 400, "/changes" + "/a" * 31),
    (b'{"events": {}}', 400, "/events"),
    (b'{"events": []}', 400, "/events"),
    (b'{"events": null}', 400, "/events"),
    (b'{"events": [], "dry_run": true}', 400, "/dry_run"),
    (b'{"events": [{"action": "a", "action": "b"}]}', 400, "/events/0/action"),
]


def test_every_malformed_body_is_refused_by_the_place_and_nothing_is_written(world: World) -> None:
    api = world.api(key="acme.write")
    for body, status, pointer in BAD_BODIES:
        answer = api.post("/api/v1/audit-logs", body)
        assert (answer.status_code, pointer in faults(answer)) == (status, True), (body[:100], answer.content[:500])
    assert written(world) == 0


def test_one_malformed_event_refuses_the_whole_batch(world: World) -> None:
    body = b'{"events": [%s, {"action": "a", "action": "b"}]}' % json.dumps(EVENT).encode()
    assert world.api(key="acme.write").post("/api/v1/audit-logs", body).status_code == 400
    assert written(world) == 0


def test_an_event_may_be_as_deep_as_the_limit_alone_and_in_a_batch(world: World) -> None:
    api, event = world.api(key="acme.write"), with_(changes=nested(31))
    assert api.post("/api/v1/audit-logs", event).json()["changes"] == nested(31)
    assert api.post("/api/v1/audit-logs", {"events": [event]}).status_code == 201
    deeper = api.post("/api/v1/audit-logs", {"events": [with_(changes=nested(32))]})
    assert faults(deeper) == {"/events/0/changes" + "/a" * 31: "too_deep"}
    assert written(world) == 2


def test_an_event_over_64_kib_is_too_large_and_does_not_stop_the_others(world: World) -> None:
    api, big = world.api(key="acme.write"), with_(description="x" * 65536)
    alone = api.post("/api/v1/audit-logs", big)
    assert (alone.status_code, faults(alone)) == (413, {"": "too_large"})
    assert written(world) == 0
    results = api.post("/api/v1/audit-logs", {"events": [EVENT, big]}).json()["results"]
    assert [one["status"] for one in results] == ["created", "rejected"]
    assert results[1]["errors"][0]["code"] == "too_large"
    assert api.post("/api/v1/audit-logs", with_(description="x" * 60000)).status_code == 201
    assert written(world) == 2


def test_a_body_over_5_mb_is_413(world: World) -> None:
    batch = {"events": [with_(description="x" * 60000)] * 90}
    answer = world.api(key="acme.write").post("/api/v1/audit-logs", batch)
    assert (answer.status_code, faults(answer)) == (413, {"": "too_large"})
    assert written(world) == 0


def test_a_batch_over_a_thousand_events_is_413(world: World) -> None:
    answer = world.api(key="acme.write").post("/api/v1/audit-logs", {"events": [EVENT] * 1001})
    assert (answer.status_code, faults(answer)) == (413, {"/events": "too_many"})
    assert written(world) == 0


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml",
     "application/json; charset=latin-1"],
)  # fmt: skip
def test_what_is_sent_as_something_else_is_415(world: World, media_type: str) -> None:
    api = world.api(key="acme.write")
    answer = api.client.post("/api/v1/audit-logs", b'{"action": "a"}', content_type=media_type, headers=api.headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert answer["Content-Type"] == "application/problem+json"
    assert written(world) == 0


@pytest.mark.parametrize("method", ["put", "patch", "delete", "options", "trace"])
def test_a_method_that_nobody_may_use_is_405(world: World, method: str) -> None:
    api = world.api(key="acme.admin")
    answer = getattr(api.client, method)("/api/v1/audit-logs", headers=api.headers)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert "POST" in answer["Allow"]
    assert answer["Content-Type"] == "application/problem+json"


def test_an_answer_in_another_format_is_406(world: World) -> None:
    api = world.api(key="acme.read")
    answer = api.client.get("/api/v1/audit-logs", headers={**api.headers, "accept": "text/html"})
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")


@pytest.mark.parametrize("key", ["acme.read", None])
def test_who_may_not_write_writes_nothing(world: World, key: str | None) -> None:
    answer = world.api(key=key).post("/api/v1/audit-logs", EVENT)
    assert answer.status_code == (403 if key else 401)
    assert answer["Content-Type"] == "application/problem+json"
    assert written(world) == 0


@pytest.mark.parametrize(("name", "status"), [("olga", 201), ("alice", 201), ("bob", 403), ("mia", 403)])
def test_people_write_by_their_role(world: World, name: str, status: int) -> None:
    api = world.api()
    api.sign_in(name)
    answer = api.post("/api/v1/audit-logs", EVENT)
    assert answer.status_code == status
    assert written(world) == (1 if status == 201 else 0)
    if status == 201:
        assert answer.json()["actor"]["label"] == f"{name}@acme.example"


def test_a_head_request_is_answered_like_a_get_without_its_body(world: World) -> None:
    api = world.api(key="acme.read")
    answer = api.client.head("/api/v1/audit-logs", headers=api.headers)
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_path_that_does_not_exist_is_a_problem_document(world: World) -> None:
    answer = world.api(key="acme.read").get("/api/v1/nothing-here")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert "/api/docs" in answer.json()["detail"]
