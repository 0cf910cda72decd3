"""OCSF, as `ocsf-json-schema` has it: each event valid, and the values those of the entry."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from entries import TENANT, corpus, made, party
from jsonschema_rs import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from audit.formats import render
from audit.formats.ocsf import VERSION
from audit.formats.times import millis

USER = party("user", "u-7", "ben@acme.example")
NOBODY = party("anonymous", "anonymous")
ROLE = party("role", "admin")


@cache
def schemas() -> OcsfJsonSchemaEmbedded:
    return OcsfJsonSchemaEmbedded(get_ocsf_schema(version=VERSION))


@cache
def validator(class_uid: int) -> Draft202012Validator:
    name = schemas().lookup_class_name_from_uid(class_uid)
    return Draft202012Validator(schemas().get_class_schema(name))


@cache
def activities(class_uid: int) -> dict[str, Any]:
    attributes = schemas().schema.schema["classes"][schemas().lookup_class_name_from_uid(class_uid)]["attributes"]
    found: dict[str, Any] = attributes["activity_id"]["enum"]
    return found


def check(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry's event after it was found to be valid, by the schema and in what the schema misses."""
    event = render("ocsf", entry)
    wrong = [f"{error.instance_path}: {error.message}" for error in validator(event["class_uid"]).iter_errors(event)]
    assert wrong == [], entry["action"]
    # What the schema says nothing of: numbers that must fit each other, and names that must be theirs.
    described = schemas().schema.schema["classes"][schemas().lookup_class_name_from_uid(event["class_uid"])]
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    assert event["category_uid"] == event["class_uid"] // 1000
    assert (event["class_name"], event["category_name"]) == (described["caption"], described["category_name"])
    known = activities(event["class_uid"])[str(event["activity_id"])]["caption"]
    assert event["activity_name"] == (entry["action"] if event["activity_id"] == 99 else known)
    check_values(entry, event)
    return event


def check_values(entry: dict[str, Any], event: dict[str, Any]) -> None:
    """Compare what the event says with what the entry says."""
    metadata, context = event["metadata"], entry["context"]
    assert (metadata["uid"], metadata["event_code"]) == (entry["id"], entry["action"])
    assert (metadata.get("sequence"), metadata["log_version"]) == (entry["position"], str(entry["version"]))
    assert (metadata["tenant_uid"], metadata["log_source"]) == (entry["tenant"]["id"], context["source"])
    assert metadata.get("correlation_uid") == context["request_id"]
    assert metadata["original_time"] == (entry["occurred_at"] or entry["created_at"])
    assert (event["time"], metadata["logged_time"]) == (
        millis(metadata["original_time"]),
        millis(entry["created_at"]),
    )
    assert event["status_code"] == entry["outcome"]
    assert event.get("src_endpoint", {}).get("ip") == context["ip"]
    assert event.get("http_request", {}).get("user_agent") == context["user_agent"]
    assert event.get("message", "") == entry["description"]
    actor = event["actor"]
    assert (actor["app_uid"] if "app_uid" in actor else actor["user"]["uid"]) == entry["actor"]["id"]
    assert (actor.get("app_name") or actor.get("user", {}).get("name", "")) == entry["actor"]["label"]
    for name in ("targets", "changes", "metadata", "impersonator"):
        assert event["unmapped"].get(name) == (entry[name] or None)


# Action, other fields, and the type that comes of it: the class's number and the activity's.
CASES: list[tuple[str, dict[str, Any], int]] = [
    ("updated", {}, 300403),
    ("created", {}, 300401),
    ("deleted", {}, 300404),
    ("document.viewed", {}, 300402),
    ("tenant.suspended", {}, 300412),
    ("tenant.resumed", {}, 300413),
    ("webhook.enabled", {}, 300408),
    ("webhook.waved", {}, 300499),
    ("user.created", {"resource": USER}, 300101),
    ("user.deleted", {"resource": USER}, 300106),
    ("user.password_changed", {"resource": USER}, 300103),
    ("user.mfa_enabled", {"resource": USER}, 300110),
    ("user.updated", {"resource": USER}, 300199),
    ("user.viewed", {"resource": USER}, 300402),
    ("user.signed_in", {"resource": USER}, 300201),
    ("user.signed_out", {"resource": USER}, 300202),
    ("user.sign_in_failed", {"resource": party("user", "unknown"), "actor": NOBODY, "outcome": "failure"}, 300201),
    ("login", {"resource": party("session", "s-1")}, 300201),
    ("login", {"resource": party("session", "s-1"), "actor": NOBODY}, 300499),
    ("member.role_granted", {"resource": USER, "targets": [ROLE]}, 300501),
    ("member.role_revoked", {"resource": USER, "metadata": {"role": "admin"}}, 300502),
    ("member.role_granted", {"resource": USER, "changes": {"role": {"old": "member", "new": "admin"}}}, 300501),
    ("member.role_granted", {"resource": USER, "metadata": {"role": 7}}, 300199),
    ("group.created", {"resource": party("group", "g-1", "Sales")}, 300606),
    ("group.member_added", {"resource": party("team", "g-1"), "targets": [USER]}, 300603),
    ("group.member_removed", {"resource": party("group", "g-1")}, 300604),
    ("group.renamed", {"resource": party("group", "g-1")}, 300699),
    ("trail.read", {"context": {**made()["context"], "source": "api"}}, 600302),
    ("trail.read", {"context": {**made()["context"], "source": "api", "ip": None}}, 300402),
]


@pytest.mark.parametrize(("action", "fields", "type_uid"), CASES)
def test_an_entry_is_of_the_class_that_fits_it(action: str, fields: dict[str, Any], type_uid: int) -> None:
    assert check(made(action, **fields))["type_uid"] == type_uid


def test_every_event_of_the_corpus_is_valid_and_says_what_its_entry_says() -> None:
    events = [check(entry) for entry in corpus()]
    assert len(events) > 500
    assert {3001, 3002, 3004} <= {event["class_uid"] for event in events}


@pytest.mark.parametrize("outcome", ["success", "failure", "denied", "unknown"])
@pytest.mark.parametrize("kind", ["user", "api_key", "staff", "system", "anonymous"])
def test_each_outcome_and_each_kind_of_actor_is_valid(outcome: str, kind: str) -> None:
    event = check(made(outcome=outcome, actor=party(kind, "x-1", "X")))
    assert event["status_id"] == {"success": 1, "failure": 2, "denied": 2, "unknown": 0}[outcome]
    assert ("user" in event["actor"]) == (kind in {"user", "staff", "anonymous"})


def test_an_entry_that_says_as_little_as_it_may_is_valid() -> None:
    context = {"ip": None, "user_agent": None, "request_id": None, "source": "database", "transaction_id": "1"}
    bare: dict[str, Any] = {
        "position": None, "occurred_at": None, "actor": party("system", ""), "resource": party("thing", ""),
        "changes": None, "description": "", "context": context, "metadata": {},
    }  # fmt: skip
    event = check(made("x", **bare))
    assert "sequence" not in event["metadata"]
    assert event["entity"] == {"uid": "", "type": "thing", "type_id": 99}


@pytest.mark.parametrize("text", ["\u202e=cmd", "ünï·😀", "a\nb@c.de\n", "@", "x" * 255, "\x1b[31m", "null"])
def test_any_text_is_valid_anywhere(text: str) -> None:
    odd = {"actor": party("user", text, text), "resource": party(text, text, text), "description": text}
    check(made(text, **odd, metadata={text: text}, targets=[party(text, text, text)]))


@pytest.mark.parametrize("ip", ["203.0.113.7", "2001:db8::1", "::ffff:203.0.113.7", "::", "::1"])
def test_any_address_is_valid(ip: str) -> None:
    assert check(made(context={**made()["context"], "ip": ip}))["src_endpoint"] == {"ip": ip}


def test_old_and_new_values_stand_on_both_sides_of_the_entity() -> None:
    changes = {"plan": {"old": "free", "new": None}, "seats": {"new": 5}}
    event = check(made(changes=changes))
    assert event["entity"]["data"] == {"plan": "free"}
    assert event["entity_result"]["data"] == {"plan": None, "seats": 5}


@pytest.mark.parametrize("changes", [None, {}, {"a": 1}, {"a": {"old": 1, "why": 2}}, {"a": []}])
def test_changes_of_another_form_are_kept_as_they_are(changes: Any) -> None:
    event = check(made(changes=changes))
    assert "entity_result" not in event
    assert event["unmapped"].get("changes") == (changes or None)


def test_an_impersonator_is_kept() -> None:
    by = party("staff", "s-1", "sam@daybook.example")
    assert check(made(impersonator=by))["unmapped"]["impersonator"] == by


def test_an_entry_of_the_platform_has_no_tenant_and_is_valid() -> None:
    for action in ("user.signed_in", "updated"):
        event = render("ocsf", made(action, tenant=None))
        assert not [*validator(event["class_uid"]).iter_errors(event)]
        assert "tenant_uid" not in event["metadata"]
    assert TENANT["id"] not in str(event)


def test_control_the_validator_finds_a_missing_field_and_one_that_is_unknown() -> None:
    event = render("ocsf", made())
    for wrong in ({**event, "unheard_of": 1}, {name: event[name] for name in event if name != "entity"}):
        assert [*validator(3004).iter_errors(wrong)]
