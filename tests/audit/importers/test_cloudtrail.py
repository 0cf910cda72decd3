"""AWS CloudTrail."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from audit.events import Operation, Outcome, Party
from audit.importers import Unmappable
from audit.importers.cloudtrail import to_event

ROLE = "arn:aws:sts::111122223333:assumed-role/Admin/ana"
LINE: dict[str, Any] = {
    "eventName": "AttachRolePolicy",
    "eventSource": "iam.amazonaws.com",
    "eventTime": "2024-02-29T23:59:59Z",
    "eventID": "1",
    "sourceIPAddress": "192.0.2.7",
    "userAgent": "aws-cli/2",
    "requestID": "r-1",
    "readOnly": False,
    "recipientAccountId": "011122223333",
    "userIdentity": {
        "type": "AssumedRole",
        "arn": ROLE,
        "sessionContext": {"sessionIssuer": {"userName": "Admin"}, "webIdFederationData": {}},
    },
    "requestParameters": {"policyArn": "arn:aws:iam::aws:policy/ReadOnly", "roleName": "deploy"},
    "responseElements": None,
}


def test_it_maps_a_record_and_keeps_the_rest() -> None:
    event = to_event(LINE)
    assert (event.action, event.operation, event.outcome) == (
        "iam.AttachRolePolicy",
        Operation.UPDATE,
        Outcome.SUCCESS,
    )
    assert event.actor == Party("user", ROLE, "Admin")
    assert event.resource == Party("iam.role", "deploy", "deploy")
    assert event.occurred_at == datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)
    assert (event.context.ip, event.context.user_agent, event.context.request_id) == ("192.0.2.7", "aws-cli/2", "r-1")
    assert event.metadata == {
        "cloudtrail": {
            "eventName": "AttachRolePolicy",
            "eventSource": "iam.amazonaws.com",
            "eventTime": "2024-02-29T23:59:59Z",
            "eventID": "1",
            "readOnly": False,
            "recipientAccountId": "011122223333",
            "userIdentity": {"type": "AssumedRole", "sessionContext": {"webIdFederationData": {}}},
            "requestParameters": {"policyArn": "arn:aws:iam::aws:policy/ReadOnly"},
            "responseElements": None,
        }
    }


def test_keys_may_be_in_lower_case() -> None:
    line = {"eventname": "GetRecords", "eventsource": "dynamodb.amazonaws.com", "useridentity": {"arn": "arn:x"}}
    event = to_event(line)
    assert (event.action, event.operation) == ("dynamodb.GetRecords", Operation.READ)
    assert event.actor == Party("user", "arn:x", "arn:x")
    assert event.resource == Party("dynamodb", "")


def test_an_action_without_service_is_the_name_alone() -> None:
    event = to_event({"eventName": "ConsoleLogin"})
    assert (event.action, event.metadata) == ("ConsoleLogin", {"cloudtrail": {}})


def test_a_long_action_is_cut_and_kept() -> None:
    event = to_event({**LINE, "eventName": "Get" + "x" * 120})
    assert len(event.action) == 100
    assert event.metadata["cloudtrail"]["eventName"] == "Get" + "x" * 120


@pytest.mark.parametrize(
    ("more", "outcome"),
    [
        ({"errorCode": "AccessDenied"}, Outcome.DENIED),
        ({"errorCode": "AccessDeniedException"}, Outcome.DENIED),
        ({"errorCode": "Client.UnauthorizedOperation"}, Outcome.DENIED),
        ({"errorCode": "NoSuchEntity"}, Outcome.FAILURE),
        ({"errorCode": ""}, Outcome.SUCCESS),
        ({"eventName": "ConsoleLogin", "responseElements": {"ConsoleLogin": "Failure"}}, Outcome.FAILURE),
        ({"eventName": "ConsoleLogin", "responseElements": {"ConsoleLogin": "Success"}}, Outcome.SUCCESS),
        ({"eventName": "PasswordUpdated", "responseElements": {"PasswordUpdated": "Failure"}}, Outcome.FAILURE),
        ({"responseElements": {"ConsoleLogin": ["Failure"]}}, Outcome.SUCCESS),
    ],
)
def test_it_knows_how_a_call_ended(more: dict[str, Any], outcome: Outcome) -> None:
    assert to_event({**LINE, **more}).outcome is outcome


@pytest.mark.parametrize(
    ("identity", "actor"),
    [
        (None, Party("anonymous", "unknown")),
        ({}, Party("anonymous", "unknown")),
        ({"type": "AWSService", "invokedBy": "ssm.amazonaws.com"}, Party("system", *["ssm.amazonaws.com"] * 2)),
        ({"type": "AWSAccount", "accountId": "ANONYMOUS_PRINCIPAL"}, Party("anonymous", *["ANONYMOUS_PRINCIPAL"] * 2)),
        ({"type": "Root", "principalId": "0123"}, Party("user", "0123", "0123")),
        ({"type": "IAMUser", "userName": "ana"}, Party("user", "ana", "ana")),
    ],
)
def test_it_knows_the_kinds_of_actors(identity: Any, actor: Party) -> None:
    assert to_event({**LINE, "userIdentity": identity}).actor == actor


@pytest.mark.parametrize("address", ["AWS Internal", "cloudformation.amazonaws.com", "06.237.252.245", "fe80::1%eth0"])
def test_an_address_that_is_none_stays_in_the_metadata(address: str) -> None:
    event = to_event({**LINE, "sourceIPAddress": address})
    assert event.context.ip is None
    assert event.metadata["cloudtrail"]["sourceIPAddress"] == address


def test_listed_resources_come_first_and_the_others_are_targets() -> None:
    listed = [
        {"ARN": "arn:aws:s3:::bucket/key", "type": "AWS::S3::Object"},
        "a text",
        {"arn": "arn:aws:ecr:eu-west-1:111122223333:repository/shop", "accountId": "111122223333"},
    ]
    event = to_event({**LINE, "resources": listed})
    assert event.resource == Party("AWS::S3::Object", *["arn:aws:s3:::bucket/key"] * 2)
    assert [target.type for target in event.targets] == ["ecr.repository"]
    assert event.metadata["cloudtrail"]["resources"] == [{}, "a text", {"accountId": "111122223333"}]


@pytest.mark.parametrize(
    ("name", "asked", "answered", "kind", "identity"),
    [
        (
            "ModifyDBSnapshotAttribute",
            {"attributeName": "restore", "dBSnapshotIdentifier": "s"},
            None,
            "dBSnapshot",
            "s",
        ),
        ("CreateImage", {"instanceId": "i-1", "name": "backup"}, None, "image", "backup"),
        ("RunInstances", {"subnetId": "n"}, {"set": {"items": [{"instanceId": "i-1"}]}}, "instance", "i-1"),
        ("CreateRoute", {"gatewayId": "g", "cidr": "0.0.0.0/0"}, None, "gateway", "g"),
        ("ConsoleLogin", None, {"ConsoleLogin": "Success"}, None, "011122223333"),
        ("PutPolicy", "a text", None, None, "011122223333"),
    ],
)
def test_the_resource_is_what_the_call_names(
    name: str, asked: Any, answered: Any, kind: str | None, identity: str
) -> None:
    line = {**LINE, "eventName": name, "requestParameters": asked, "responseElements": answered}
    resource = to_event(line).resource
    assert (resource.type, resource.id) == (f"iam.{kind}" if kind else "aws.account", identity)


def test_a_record_without_action_is_refused() -> None:
    with pytest.raises(Unmappable, match="no `eventName`"):
        to_event({"eventSource": "iam.amazonaws.com"})
