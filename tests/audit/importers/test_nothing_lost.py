"""No leaf is lost, whatever a line looks like."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from leaves import corpus_lines, leaves, lost

from audit.events import Event
from audit.importers import FORMATS, Unmappable

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
TRICKY = st.sampled_from(
    [
        "",
        " ",
        " padded ",
        "null",
        "unknown",
        "x" * 300,
        "192.0.2.7",
        "06.237.252.245",
        "2001:DB8::1",
        "2001:db8::1",
        "::ffff:192.0.2.1",
        "fe80::1%eth0",
        "0F8FAD5B-D9CB-469F-A165-70867728950E",
        "0f8fad5b-d9cb-469f-a165-70867728950e",
        "{0f8fad5bd9cb469fa16570867728950e}",
        "2022-03-22 14:21:53.225",
        "2024-12-17 00:00:00000000",
        "2026-11-22T10:00:00.123456Z",
        "arn:aws:s3:::bucket",
        "Success",
        "User",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | TRICKY
)
KEYS = TEXTS | st.sampled_from(["id", "type", "ARN", "name", "login", "ip", "userName", "a.b", "@timestamp"])
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
PARTY = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("id", "type", "alternateId", "displayName", "arn", "ARN", "login", "userName", "accountId", "extra"), SCALARS
    ),
)
KNOWN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "github": (
        {"action": st.sampled_from(["org.add_member", "repo.create", "x." + "y" * 120, "opened", ""])},
        {
            **dict.fromkeys(("actor", "user", "repo", "name", "org", "created_at", "actor_ip", "user_agent"), SCALARS),
            "repository": st.fixed_dictionaries({}, optional={"full_name": SCALARS, "id": SCALARS}),
            **dict.fromkeys(("sender", "organization", "pusher"), PARTY),
            "data": st.fixed_dictionaries({}, optional={"team": SCALARS, "more": JSON}),
            "commits": st.lists(st.dictionaries(KEYS | st.just("timestamp"), SCALARS, max_size=2), max_size=2),
        },
    ),
    "okta": (
        {"version": st.just("0"), "eventType": st.sampled_from(["user.session.start", "group.create"])},
        {
            "actor": PARTY,
            "target": st.lists(PARTY | SCALARS, max_size=3) | JSON,
            "published": SCALARS,
            "client": st.fixed_dictionaries({}, optional={"ipAddress": SCALARS, "userAgent": JSON}),
            "request": st.fixed_dictionaries({"ipChain": st.lists(st.fixed_dictionaries({"ip": TRICKY}), max_size=2)}),
            "debugcontext": st.fixed_dictionaries({"debugData": st.dictionaries(st.just("requestId"), SCALARS)}),
            "outcome": st.fixed_dictionaries({"result": SCALARS}),
        },
    ),
    "cloudtrail": (
        {"eventName": st.sampled_from(["AttachRolePolicy", "ConsoleLogin", "RunInstances", "x" * 120])},
        {
            "eventSource": SCALARS,
            "eventTime": SCALARS,
            "sourceIPAddress": SCALARS,
            "userAgent": SCALARS,
            "requestID": SCALARS,
            "errorCode": SCALARS,
            "userIdentity": PARTY | JSON,
            "resources": st.lists(PARTY | SCALARS, max_size=3) | JSON,
            "requestParameters": st.dictionaries(st.sampled_from(["roleName", "policyArn", "name"]), JSON) | JSON,
            "responseElements": st.dictionaries(st.sampled_from(["instanceId", "ConsoleLogin"]), JSON) | JSON,
        },
    ),
}
DAYBOOK_PARTY = st.fixed_dictionaries(
    {"type": st.sampled_from(["user", "system"])}, optional={"id": TEXTS | TRICKY, "label": TEXTS | TRICKY}
)
OBJECTS = st.none() | st.dictionaries(KEYS, JSON, max_size=4)
DAYBOOK = st.fixed_dictionaries(
    {"action": st.just("updated"), "resource": DAYBOOK_PARTY},
    optional={
        **dict.fromkeys(("id", "position", "tenant", "idempotency_key"), JSON),
        **{key: DAYBOOK_PARTY | st.none() for key in ("actor", "impersonator")},
        **{
            key: st.sampled_from([None, "2026-11-22T10:00:00.123456Z", "2022-03-22 14:21:53.123456789"])
            for key in ("occurred_at", "created_at")
        },
        "targets": st.none() | st.lists(DAYBOOK_PARTY, max_size=2),
        "changes": OBJECTS,
        "metadata": OBJECTS | st.fixed_dictionaries({"daybook": JSON}),
        "description": st.none() | TEXTS | TRICKY,
        "context": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "ip": st.sampled_from([None, "", "192.0.2.7", "2001:DB8::1", "::ffff:192.0.2.1"]),
                "source": JSON,
                "transaction_id": JSON,
                "user_agent": st.none() | TEXTS,
            },
        ),
    },
)


def read(vendor: str, line: dict[str, Any]) -> Event | str:
    """Return the event of a line, or the reason why there is none."""
    try:
        return FORMATS[vendor](line)
    except Unmappable as refused:
        return str(refused)


def check(vendor: str, line: dict[str, Any]) -> None:
    event = read(vendor, line)
    assert event != ""
    assume(not isinstance(event, str))
    assert isinstance(event, Event)
    assert lost(line, event, vendor) == []
    assert len(event.metadata) <= 50


@pytest.mark.parametrize("vendor", KNOWN)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_leaf_of_a_generated_line_is_lost(vendor: str, data: st.DataObject) -> None:
    required, optional = KNOWN[vendor]
    extra = data.draw(st.dictionaries(KEYS, JSON, max_size=4))
    known = data.draw(st.fixed_dictionaries(required, optional=optional))
    check(vendor, {**extra, **known})


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(line=DAYBOOK)
def test_no_leaf_of_a_generated_entry_is_lost(line: dict[str, Any]) -> None:
    check("daybook", line)


def test_the_oracle_notices_what_is_lost() -> None:
    line = {"action": "repo.create", "repo": "acme/shop", "n": 1, "deep": [{"a": None}]}
    event = FORMATS["github"](line)
    assert lost({**line, "n": 1.0}, event, "github") == [(("n",), 1.0)]
    assert lost({**line, "other": "gone"}, event, "github") == [(("other",), "gone")]
    assert lost({**line, "deep": [{"a": "null"}]}, event, "github") == [(("deep", 0, "a"), "null")]


def test_the_oracle_counts_a_text_of_the_entry_once() -> None:
    line = {"action": "repo.create", "repo": "acme/shop", "actor": "dana", "n": 1}
    event = FORMATS["github"](line)
    times = [value for _path, value in leaves(asdict(replace(event, metadata={})))].count("dana")
    more = {f"more{number}": "dana" for number in range(times)}
    assert lost({**line, **more}, event, "github") == [((f"more{times - 1}",), "dana")]
    assert lost({**line, "also": "repo.create"}, event, "github") == [(("also",), "repo.create")]
    assert lost({"also": "repo.create", **line}, event, "github") == [(("also",), "repo.create")]


@pytest.mark.parametrize(
    ("vendor", "name", "accepted", "reasons"),
    [
        ("github", "github.jsonl", 131, {}),
        ("okta", "okta.jsonl", 46, {"no `version`: not an event of Okta's System Log (rows of queries have none)": 24}),
        ("cloudtrail", "aws_cloudtrail.jsonl", 345, {}),
    ],
)
def test_every_line_of_the_corpus_is_kept_whole_or_refused_with_a_reason(
    vendor: str, name: str, accepted: int, reasons: dict[str, int]
) -> None:
    lines = corpus_lines(name)
    read_lines = [(line, read(vendor, line)) for line in lines]
    events = [(line, event) for line, event in read_lines if isinstance(event, Event)]
    assert len(events) == accepted
    assert Counter(reason for _, reason in read_lines if isinstance(reason, str)) == reasons
    assert [leaf for line, event in events for leaf in lost(line, event, vendor)] == []
