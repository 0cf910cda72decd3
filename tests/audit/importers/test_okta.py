"""Okta's System Log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from audit.events import Outcome, Party
from audit.importers import Unmappable
from audit.importers.okta import to_event

ANA = {"id": "00u1", "type": "User", "alternateId": "ana@acme.example", "displayName": "Ana"}
LINE: dict[str, Any] = {
    "version": "0",
    "uuid": "u-1",
    "eventType": "group.user_membership.add",
    "actor": ANA,
    "published": "2022-03-22 14:21:53.225",
    "outcome": {"result": "SUCCESS"},
    "client": {"ipAddress": "192.0.2.7", "zone": "null", "userAgent": {"rawUserAgent": "Mozilla/5.0"}},
    "debugContext": {"debugData": {"requestId": "r-1"}},
    "target": [
        {"id": "00u2", "type": "User", "alternateId": "unknown", "displayName": "Ben"},
        {"id": "00g1", "type": "UserGroup"},
    ],
}


def test_it_maps_an_event_and_keeps_the_rest() -> None:
    event = to_event(LINE)
    assert event.action == "group.user_membership.add"
    assert event.actor == Party("user", "00u1", "ana@acme.example")
    assert event.resource == Party("User", "00u2", "Ben")
    assert event.targets == (Party("UserGroup", "00g1", "00g1"),)
    assert event.occurred_at == datetime(2022, 3, 22, 14, 21, 53, 225000, tzinfo=UTC)
    assert (event.context.ip, event.context.user_agent, event.context.request_id) == ("192.0.2.7", "Mozilla/5.0", "r-1")
    assert event.metadata == {
        "okta": {
            "version": "0",
            "uuid": "u-1",
            "actor": {"type": "User", "displayName": "Ana"},
            "published": "2022-03-22 14:21:53.225",
            "outcome": {"result": "SUCCESS"},
            "client": {"zone": "null"},
            "target": [{"alternateId": "unknown"}, {}],
        }
    }


def test_keys_may_be_in_lower_case() -> None:
    line = {"version": "0", "eventtype": "user.session.start", "debugcontext": {"debugData": {"requestId": "r-1"}}}
    event = to_event(line)
    assert (event.action, event.context.request_id) == ("user.session.start", "r-1")
    assert event.metadata == {"okta": {"version": "0"}}


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        ("SUCCESS", Outcome.SUCCESS),
        ("ALLOW", Outcome.SUCCESS),
        ("FAILURE", Outcome.FAILURE),
        ("DENY", Outcome.DENIED),
        ("CHALLENGE", Outcome.UNKNOWN),
        (None, Outcome.UNKNOWN),
        (["SUCCESS"], Outcome.UNKNOWN),
    ],
)
def test_it_knows_how_an_event_ended(result: Any, outcome: Outcome) -> None:
    assert to_event({**LINE, "outcome": {"result": result}}).outcome is outcome


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("User", "user"),
        ("PublicClientApp", "api_key"),
        ("IP address", "anonymous"),
        ("SystemPrincipal", "system"),
        ("Agent", "system"),
    ],
)
def test_it_knows_the_kinds_of_actors(kind: str, expected: str) -> None:
    actor = to_event({**LINE, "actor": {**ANA, "type": kind}}).actor
    assert actor == Party(expected, "00u1", "ana@acme.example")


def test_an_unknown_id_gives_way_to_the_address() -> None:
    actor = to_event({**LINE, "actor": {**ANA, "id": "unknown"}}).actor
    assert actor == Party("user", "ana@acme.example", "ana@acme.example")


@pytest.mark.parametrize("target", [None, [], "text", ["text", None, {}]])
def test_a_sign_in_without_target_is_about_who_signs_in(target: Any) -> None:
    event = to_event({**LINE, "eventType": "user.session.start", "target": target})
    assert (event.resource, event.targets) == (Party("User", "00u1", "ana@acme.example"), ())
    assert event.metadata["okta"]["target"] == target


def test_anything_else_without_target_is_about_the_organisation() -> None:
    event = to_event({"version": "0", "eventType": "security.threat.detected"})
    assert (event.resource, event.actor) == (Party("okta_org", ""), Party("anonymous", "unknown"))


def test_an_address_that_is_none_stays_and_the_next_is_tried() -> None:
    line = {**LINE, "client": {"ipAddress": "redacted"}, "request": {"ipChain": [{"ip": "x"}, {"ip": "192.0.2.8"}]}}
    event = to_event(line)
    assert event.context.ip == "192.0.2.8"
    assert event.metadata["okta"]["client"] == {"ipAddress": "redacted"}
    assert event.metadata["okta"]["request"] == {"ipChain": [{"ip": "x"}, {}]}


def test_a_row_of_a_query_is_no_event() -> None:
    with pytest.raises(Unmappable, match="no `version`"):
        to_event({"eventType": "system.api_token.create", "anomaly_type": "new_ip"})
    with pytest.raises(Unmappable, match="no `eventType`"):
        to_event({"version": "0"})
