"""Events that come in are checked by what the tenant's catalogue says of their types."""

from __future__ import annotations

import json

import pytest
from declared import PAID, TYPE, Catalogue, faults
from world import World

from audit import catalogue
from audit.events import Event, Party


@pytest.fixture
def acme(world: World) -> Catalogue:
    return Catalogue(world)


def test_metadata_is_checked_by_the_schema_and_each_fault_has_its_place(acme: Catalogue) -> None:
    acme.put("invoice.paid", TYPE)
    before = acme.state()
    bad = {"amount": -1, "currency": "USD", "a/b": 1}
    answer = acme.post({**PAID, "metadata": bad})
    assert answer.status_code == 422
    assert faults(answer) == {
        "/metadata/amount": "schema", "/metadata/currency": "schema", "/metadata/a~1b": "unknown_field",
    }  # fmt: skip
    assert "USD" not in answer.content.decode()
    assert faults(acme.post({**PAID, "metadata": {}})) == {"/metadata/amount": "required"}
    assert acme.state() == before


def test_a_batch_is_checked_event_by_event(acme: Catalogue) -> None:
    acme.put("invoice.paid", TYPE)
    results = acme.post(PAID, {**PAID, "metadata": {"amount": "5"}}, {**PAID, "action": "other"}).json()["results"]
    assert [one["status"] for one in results] == ["created", "rejected", "created"]
    assert [fault["pointer"] for fault in results[1]["errors"]] == ["/events/1/metadata/amount"]


def test_a_batch_of_which_no_event_is_good_is_refused_whole(acme: Catalogue) -> None:
    acme.put("invoice.paid", TYPE)
    before = acme.state()
    answer = acme.post({**PAID, "metadata": {}}, {**PAID, "metadata": {"amount": None}}, {"resource": {"type": "x"}})
    assert answer.status_code == 422
    assert set(faults(answer)) == {"/events/0/metadata/amount", "/events/1/metadata/amount", "/events/2/action"}
    assert acme.state() == before


def test_the_version_that_an_event_says_is_what_it_is_checked_by(acme: Catalogue) -> None:
    acme.put("invoice.paid", TYPE)
    acme.put("invoice.paid", {**TYPE, "metadata_schema": {"required": ["total"]}})
    old, new = {**PAID, "version": 1}, {**PAID, "metadata": {"total": 1}}
    assert acme.post(old).json()["version"] == 1
    assert acme.post(new).json()["version"] == 2
    assert acme.post({**new, "version": 2}).json()["version"] == 2
    assert faults(acme.post({**new, "version": 1})) == {
        "/metadata/amount": "required",
        "/metadata/total": "unknown_field",
    }
    assert faults(acme.post(PAID)) == {"/metadata/total": "required"}
    assert faults(acme.post({**PAID, "version": 3})) == {"/version": "unknown_version"}
    results = acme.post(old, new, {**new, "version": 9}).json()["results"]
    assert [one["status"] for one in results] == ["created", "created", "rejected"]


def test_an_undeclared_type_keeps_the_version_that_was_said(acme: Catalogue) -> None:
    assert acme.post({**PAID, "version": 9}).json()["version"] == 9
    assert acme.post(PAID).json()["version"] == 1


def test_a_personal_field_stands_where_it_can_be_erased(acme: Catalogue, world: World) -> None:
    acme.put("invoice.paid", TYPE)
    changes = {"card_holder": {"new": "Una"}, "state": {"new": "paid"}}
    entry = acme.post({**PAID, "changes": changes}).json()
    assert entry["changes"] == changes
    schema = world.acme.schema_name
    row = world.sql(f"SELECT changes, personal FROM {schema}.audit_log WHERE id = %s", entry["id"])[0]
    assert row == ({"state": {"new": "paid"}}, {"card_holder": {"new": "Una"}})


def test_strict_mode_refuses_undeclared_types_item_by_item(acme: Catalogue) -> None:
    acme.put("invoice.paid", TYPE)
    assert acme.put("", {"strict": True}).json() == {"strict": True}
    assert acme.get().json()["strict"] is True
    before = acme.state()
    refused = acme.post({**PAID, "action": "invoice.payed"})
    assert (refused.status_code, faults(refused)) == (422, {"/action": "undeclared_type"})
    assert acme.state() == before
    batch = acme.post({**PAID, "action": "x.y"}, PAID, {**PAID, "action": "user.signed_in"}).json()["results"]
    assert [one["status"] for one in batch] == ["rejected", "created", "created"]
    assert batch[0]["errors"][0]["pointer"] == "/events/0/action"
    acme.put("", {"strict": False})
    assert acme.post({**PAID, "action": "invoice.payed"}).status_code == 201


def test_one_tenants_catalogue_is_none_of_anothers(world: World, acme: Catalogue) -> None:
    globex = Catalogue(world, "globex")
    acme.put("invoice.paid", TYPE)
    acme.put("", {"strict": True})
    assert globex.get("invoice.paid").status_code == 404
    assert globex.get().json()["strict"] is False
    assert globex.post({**PAID, "metadata": {"anything": 1}}).status_code == 201
    # The same name, and another schema under the same version.
    globex.put("invoice.paid", {"metadata_schema": {"required": ["other"]}})
    assert globex.post({**PAID, "metadata": {"other": 1}}).status_code == 201
    assert acme.post({**PAID, "metadata": {"other": 1}}).status_code == 422


def test_a_batch_costs_one_query_once_its_schemas_are_known(acme: Catalogue, world: World) -> None:
    from django.db import connections
    from django.test.utils import CaptureQueriesContext

    for number in range(3):
        acme.put(f"t.{number}", {"metadata_schema": {"required": [f"f{number}"]}})
    events = [
        (f"/events/{number}", Event(action=f"t.{number % 3}", resource=Party("x", "1"), metadata={f"f{number % 3}": 1}))
        for number in range(30)
    ]
    for queries in (4, 1):
        with world.scope("acme") as scope, CaptureQueriesContext(connections[scope.alias]) as sent:
            checked = catalogue.check(events)
        assert [isinstance(one, Event) for one in checked] == [True] * 30
        assert len([query for query in sent.captured_queries if "audit_event" in query["sql"]]) == queries


def test_the_lines_of_a_stream_are_checked_one_by_one(acme: Catalogue) -> None:
    acme.put("invoice.paid", TYPE)
    lines = [PAID, {**PAID, "metadata": {}}, {"bad": 1}, {**PAID, "action": "other"}]
    body = "\n".join(json.dumps(line) for line in lines).encode()
    sent = {**acme.write.headers}
    answer = acme.write.client.post("/api/v1/audit-logs", body, content_type="application/x-ndjson", headers=sent)
    report = answer.json()
    assert (report["lines"], report["created"]) == (4, 2), report
    assert [(one["line"], one["errors"][0]["pointer"]) for one in report["rejected"]] == [
        (2, "/metadata/amount"),
        (3, "/action"),
    ]
