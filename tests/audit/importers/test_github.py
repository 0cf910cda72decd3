"""GitHub's audit log and webhooks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from audit.events import Operation, Outcome, Party, Source
from audit.importers import Unmappable
from audit.importers.github import to_event

AUDIT: dict[str, Any] = {
    "action": "org.add_member",
    "actor": "ana",
    "user": "ben",
    "org": "acme",
    "created_at": 1700000000123,
    "actor_ip": "192.0.2.7",
    "user_agent": "curl/8",
    "_document_id": "abc",
}


def test_it_maps_an_audit_event_and_keeps_what_has_no_field() -> None:
    event = to_event(AUDIT)
    assert (event.action, event.operation, event.outcome) == ("org.add_member", Operation.CREATE, Outcome.SUCCESS)
    assert event.actor == Party("user", "ana", "ana")
    assert event.resource == Party("organization", "acme", "acme")
    assert event.targets == (Party("user", "ben", "ben"),)
    assert event.occurred_at == datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=UTC)
    assert (event.context.ip, event.context.user_agent, event.context.source) == ("192.0.2.7", "curl/8", Source.IMPORT)
    assert event.metadata == {"github": {"created_at": 1700000000123, "_document_id": "abc"}}


def test_a_user_who_is_the_actor_is_no_target() -> None:
    event = to_event({**AUDIT, "user": "ana"})
    assert event.targets == ()
    assert event.metadata["github"]["user"] == "ana"


def test_it_keeps_a_time_that_is_no_time() -> None:
    event = to_event({"action": "repo.create", "created_at": "2024-12-17 00:00:00000000"})
    assert event.occurred_at is None
    assert event.metadata["github"]["created_at"] == "2024-12-17 00:00:00000000"


def test_it_takes_the_next_time_when_one_is_unreadable() -> None:
    event = to_event({"action": "repo.create", "created_at": "...", "@timestamp": 1700000000000})
    assert event.occurred_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize("actor", [{}, {"actor": ""}, {"actor": " "}, {"actor": None}])
def test_an_event_without_actor_is_an_anonymous_unknowns(actor: dict[str, Any]) -> None:
    event = to_event({"action": "git.push", **actor})
    assert event.actor == Party("anonymous", "unknown")
    assert event.resource == Party("git", "")


@pytest.mark.parametrize("line", [{"actor": "ci[bot]"}, {"actor": "ci", "actor_is_bot": True}])
def test_a_bot_is_the_system(line: dict[str, Any]) -> None:
    actor = to_event({"action": "git.push", **line}).actor
    assert actor is not None
    assert actor.type == "system"


@pytest.mark.parametrize(
    ("payload", "action"),
    [
        ({}, "push"),
        ({"action": "push", "ref": "refs/heads/main"}, "push"),
        ({"pages": []}, "gollum"),
        ({"action": "opened", "issue": {}}, "issues.opened"),
        ({"action": "created", "issue": {}, "comment": {}}, "issue_comment.created"),
        ({"action": "created", "comment": {}}, "commit_comment.created"),
        ({"action": "submitted", "pull_request": {}, "review": {}}, "pull_request_review.submitted"),
        ({"action": "completed", "workflow_job": {}}, "workflow_job.completed"),
        ({"action": "published", "release": {}}, "release.published"),
        ({"action": "created"}, "repository.created"),
    ],
)
def test_a_webhook_is_named_after_what_its_payload_is_about(payload: dict[str, Any], action: str) -> None:
    event = to_event({**payload, "repository": {"full_name": "acme/shop", "id": 5}})
    assert event.action == action
    assert event.resource == Party("repository", "acme/shop", "acme/shop")
    assert event.metadata["github"].get("action") == (None if action == "push" else payload.get("action"))
    assert event.metadata["github"]["repository"] == {"id": 5}


def test_a_webhook_of_an_organisation_is_about_it() -> None:
    event = to_event({"action": "member_added", "organization": {"login": "acme"}, "sender": {"login": "ana"}})
    assert event.action == "organization.member_added"
    assert event.resource == Party("organization", "acme", "acme")
    assert event.metadata == {"github": {"action": "member_added"}}


def test_a_number_as_id_stays_a_number_in_the_metadata() -> None:
    event = to_event({"repository": {"id": 5}})
    assert event.resource.id == "5"
    assert event.metadata["github"]["repository"] == {"id": 5}


def test_the_author_acted_only_when_something_is_opened() -> None:
    line = {"issue": {"user": {"login": "ana"}}, "repository": {"id": 1}}
    assert to_event({"action": "opened", **line}).actor == Party("user", "ana", "ana")
    assert to_event({"action": "closed", **line}).actor == Party("anonymous", "unknown")


def test_the_time_of_a_push_is_that_of_its_commit() -> None:
    line = {"repository": {"id": 1}, "commits": [{"id": "a"}, {"timestamp": "2024-05-01T10:00:00+02:00"}]}
    assert to_event(line).occurred_at == datetime(2024, 5, 1, 8, tzinfo=UTC)


def test_a_long_label_and_action_are_cut_and_kept_whole() -> None:
    event = to_event({"action": "repo." + "x" * 200, "actor": "y" * 300})
    assert event.actor is not None
    assert (len(event.action), len(event.actor.id), len(event.actor.label)) == (100, 255, 255)
    assert event.metadata["github"] == {"action": "repo." + "x" * 200, "actor": "y" * 300}


def test_a_uuid_in_another_form_is_kept_as_it_was() -> None:
    loud = "0F8FAD5B-D9CB-469F-A165-70867728950E"
    assert to_event({"action": "a.b", "actor": loud}).metadata == {"github": {"actor": loud}}
    assert to_event({"action": "a.b", "actor": loud.lower()}).metadata == {"github": {}}


def test_numbers_that_others_would_round_become_text() -> None:
    kept = to_event({"action": "a.b", "big": 2**53 + 1, "edge": 2**53, "float": 1e300, "zero": -0.0}).metadata["github"]
    assert kept == {"big": "9007199254740993", "edge": 2**53, "float": "1e+300", "zero": "-0.0"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({}, "neither an audit-log event"),
        ({"action": "opened"}, "no object `repository` or `organization`"),
        ({"action": "a.b", "data": {"x": ["a\0b"]}}, r"`data\.x\.0` contains U\+0000"),
        ({"action": "a.b", "x\0": 1}, r"`x\\u0000` contains U\+0000"),
        ({"action": "a.b", "x": "\ud800"}, "`x` contains a lone surrogate"),
        ({"action": "a.b", "x": float("nan")}, "`x` is nan"),
        ({"action": "a.b", "x": [float("inf")]}, r"`x\.0` is inf"),
        ({"action": "a.b", "x": "é" * 33000}, "the entry would have 66"),
    ],
)
def test_it_refuses_with_a_reason_that_names_the_place(line: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unmappable, match=reason):
        to_event(line)


@pytest.mark.parametrize(("depth", "fits"), [(29, True), (30, False), (40, False)])
def test_an_entry_has_at_most_32_levels(depth: int, fits: bool) -> None:
    value: Any = 1
    for _ in range(depth):
        value = {"x": value}
    if fits:
        assert to_event({"action": "a.b", "x": value}).metadata["github"]["x"] == value
    else:
        with pytest.raises(Unmappable, match="nested"):
            to_event({"action": "a.b", "x": value})
