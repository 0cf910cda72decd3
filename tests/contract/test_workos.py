"""The official SDK of WorkOS, unmodified, is a client: another address is all that it is told."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import workos
from losing import losing
from running import Running
from workos import WorkOSClient
from workos._errors import (
    AuthenticationError,
    AuthorizationError,
    BadRequestError,
    NotFoundError,
    UnprocessableEntityError,
)
from workos.audit_logs import _resource as resource
from workos.audit_logs.models import (
    AuditLogEvent,
    AuditLogEventActor,
    AuditLogEventContext,
    AuditLogEventTarget,
    AuditLogSchemaActorInput,
    AuditLogSchemaTargetInput,
)

OCCURRED = datetime(2026, 11, 22, 9, 59, 58, 123000, UTC)


def client_of(address: str, key: str) -> WorkOSClient:
    """Return the SDK's client."""
    return WorkOSClient(api_key=key, client_id="client_none", base_url=address)


@pytest.fixture
def sdk(server: Running) -> Iterator[WorkOSClient]:
    with client_of(server.url, server.keys["acme.admin"]) as client:
        yield client


def event(thing: str, **more: Any) -> AuditLogEvent:
    """Return an event as its users build it."""
    given: dict[str, Any] = {
        "action": "invoice.approved",
        "occurred_at": OCCURRED,
        "actor": AuditLogEventActor(id="u-42", type="user", name="Dana", metadata={"role": "admin"}),
        "targets": [
            AuditLogEventTarget(id=thing, type="invoice", name="Invoice 117", metadata={"cost": 9.5}),
            AuditLogEventTarget(id="t-1", type="team"),
        ],
        "context": AuditLogEventContext(location="203.0.113.7", user_agent="Chrome/104.0.0.0"),
        "metadata": {"department": "finance", "urgent": True, "count": 3},
    }
    return AuditLogEvent(**{**given, **more})


def entries(server: Running, thing: str) -> list[dict[str, Any]]:
    """Return the entries about a thing, by our own API."""
    headers = {"Authorization": f"Bearer {server.keys['acme.read']}"}
    answer = httpx.get(f"{server.url}/api/v1/audit-logs", params={"resource_id": thing}, headers=headers)
    found: list[dict[str, Any]] = answer.raise_for_status().json()["results"]
    return found


def organization(server: Running, slug: str) -> str:
    """Return a tenant's id."""
    return str(server.world.sql("SELECT id FROM shared.tenants_tenant WHERE slug = %s", slug)[0][0])


def count(server: Running) -> int:
    """Return how many entries acme has, besides those of who looked and of exports, which are written meanwhile."""
    found = server.world.sql(f"SELECT count(*) FROM {schema_of(server)}.audit_log WHERE action !~ '^trail[.]'")
    return int(found[0][0])


def test_an_event_is_an_entry(server: Running, sdk: WorkOSClient) -> None:
    thing = str(uuid4())
    assert sdk.audit_logs.create_event(organization_id="acme", event=event(thing)).success
    (entry,) = entries(server, thing)
    assert entry["action"] == "invoice.approved"
    assert entry["occurred_at"] == "2026-11-22T09:59:58.123000Z"
    assert entry["actor"] == {"type": "user", "id": "u-42", "label": "Dana"}
    assert entry["resource"] == {"type": "invoice", "id": thing, "label": "Invoice 117"}
    assert entry["targets"] == [{"type": "team", "id": "t-1", "label": ""}]
    assert (entry["context"]["ip"], entry["context"]["user_agent"]) == ("203.0.113.7", "Chrome/104.0.0.0")
    assert (entry["context"]["source"], entry["outcome"], entry["version"]) == ("api", "success", 1)
    assert entry["metadata"] == {
        "department": "finance", "urgent": True, "count": 3,
        "$workos": {
            "actor": {"metadata": {"role": "admin"}},
            "targets": [{"type": "invoice", "id": thing, "metadata": {"cost": 9.5}}],
        },
    }  # fmt: skip


def test_what_has_no_column_of_its_own_is_kept_beside(server: Running, sdk: WorkOSClient) -> None:
    thing = str(uuid4())
    service = AuditLogEventActor(id="s-1", type="billing_service")
    plain = event(
        thing,
        actor=service, metadata=None, targets=[AuditLogEventTarget(id=thing, type="invoice")],
        context=AuditLogEventContext(location="Berlin, HQ"),
    )  # fmt: skip
    sdk.audit_logs.create_event(organization_id="acme", event=plain)
    (entry,) = entries(server, thing)
    assert (entry["actor"]["type"], entry["context"]["ip"]) == ("user", None)
    assert entry["metadata"] == {"$workos": {"actor": {"type": "billing_service"}, "location": "Berlin, HQ"}}


def test_an_event_without_a_target_is_about_the_organization(server: Running, sdk: WorkOSClient) -> None:
    tenant = organization(server, "acme")
    action = f"told.{uuid4().hex}"
    sdk.audit_logs.create_event(organization_id=tenant, event=event("", action=action, targets=[]))
    (entry,) = [one for one in entries(server, tenant) if one["action"] == action]
    assert entry["resource"] == {"type": "organization", "id": tenant, "label": "acme"}


@pytest.mark.parametrize("key", [None, "given", "any text: a blank, " + "x" * 300])
def test_an_answer_that_is_lost_is_asked_for_again_and_nothing_is_written_twice(
    server: Running, key: str | None
) -> None:
    thing = str(uuid4())
    with losing(server.url) as proxy, client_of(proxy.url, server.keys["acme.write"]) as client:
        proxy.to_lose = 2
        key = key and f"{thing} {key}"
        answer = client.audit_logs.create_event(organization_id="acme", event=event(thing), idempotency_key=key)
        assert answer.success
        assert len(proxy.keys) == 3
        assert len(set(proxy.keys)) == 1
    assert len(entries(server, thing)) == 1


def test_a_key_that_is_sent_again_does_nothing(server: Running, sdk: WorkOSClient) -> None:
    thing, key = str(uuid4()), uuid4().hex
    for _ in range(3):
        sdk.audit_logs.create_event(organization_id="acme", event=event(thing), idempotency_key=key)
    assert len(entries(server, thing)) == 1
    other = event(thing, metadata={"department": "sales"})
    with pytest.raises(UnprocessableEntityError) as refused:
        sdk.audit_logs.create_event(organization_id="acme", event=other, idempotency_key=key)
    assert refused.value.code == "key_reused"
    assert len(entries(server, thing)) == 1


def test_events_without_a_key_of_their_own_are_different_events(server: Running, sdk: WorkOSClient) -> None:
    thing = str(uuid4())
    for _ in range(2):
        sdk.audit_logs.create_event(organization_id="acme", event=event(thing))
    assert len(entries(server, thing)) == 2


def test_an_unknown_organization_is_not_found(server: Running, sdk: WorkOSClient) -> None:
    before = count(server)
    for name in ("org_01EHQMYV6MBK39QC5PZXHY59C3", "globex", organization(server, "globex"), ""):
        with pytest.raises(NotFoundError) as refused:
            sdk.audit_logs.create_event(organization_id=name, event=event("7"))
        assert refused.value.message == f"Organization not found: '{name}'."
        assert refused.value.request_id
    assert count(server) == before


def test_a_field_that_breaks_a_rule_is_named(server: Running, sdk: WorkOSClient) -> None:
    before = count(server)
    wrong = event("7", action="", metadata={"nested": {"a": 1}, "$workos": "x"})
    with pytest.raises(UnprocessableEntityError) as refused:
        sdk.audit_logs.create_event(organization_id="acme", event=wrong)
    assert refused.value.message == "Validation failed."
    fields = {fault["field"] for fault in refused.value.errors or []}
    assert "event.action" in fields
    assert any(field.startswith("event.metadata.nested") for field in fields)
    assert any(field.startswith("event.metadata.$workos") for field in fields)
    assert count(server) == before


def test_a_key_that_is_not_known_or_may_not_is_told_so(server: Running) -> None:
    with client_of(server.url, "dbk_none") as stranger, pytest.raises(AuthenticationError) as unknown:
        stranger.audit_logs.create_event(organization_id="acme", event=event("7"))
    assert (unknown.value.message, unknown.value.status_code) == ("Unauthorized", 401)
    with client_of(server.url, server.keys["acme.read"]) as reader:
        with pytest.raises(AuthorizationError) as refused:
            reader.audit_logs.create_event(organization_id="acme", event=event("7"))
        assert refused.value.code == "not_allowed"
        with pytest.raises(AuthorizationError):
            reader.audit_logs.create_schema("a.b", targets=[AuditLogSchemaTargetInput(type="x")])
        assert reader.audit_logs.list_actions().data is not None
    with client_of(server.url, server.keys["acme.write"]) as writer, pytest.raises(AuthorizationError):
        writer.audit_logs.list_actions()


def ready(sdk: WorkOSClient, export_id: str) -> Any:
    """Return an export once its file is there."""
    for _ in range(200):
        found = sdk.audit_logs.get_export(export_id)
        if found.state.value != "pending":
            return found
        time.sleep(0.1)
    raise AssertionError("The export was never ready")


def test_an_export_is_asked_for_waited_for_and_downloaded(server: Running, sdk: WorkOSClient) -> None:
    thing, action = str(uuid4()), f"export.{uuid4().hex}"
    for name in (action, "another.action"):
        sdk.audit_logs.create_event(organization_id="acme", event=event(thing, action=name))
    soon = datetime.now(UTC) + timedelta(minutes=1)
    asked = sdk.audit_logs.create_export(
        organization_id="acme", range_start=soon - timedelta(hours=1), range_end=soon,
        actions=[action], actor_ids=["u-42"], targets=["invoice"],
    )  # fmt: skip
    assert (asked.object, asked.state.value, asked.url) == ("audit_log_export", "pending", None)
    done = ready(sdk, asked.id)
    assert (done.id, done.state.value) == (asked.id, "ready")
    assert done.updated_at >= done.created_at
    # The address is enough: who has it needs no key.
    rows = [*csv.DictReader(io.StringIO(httpx.get(done.url).raise_for_status().text))]
    assert [(row["action"], row["resource_id"]) for row in rows] == [(action, thing)]
    assert httpx.get(done.url.replace("link=", "link=x")).status_code == 403


def test_an_export_is_asked_for_once_although_the_answer_was_lost(server: Running) -> None:
    now = datetime.now(UTC)
    before = server.world.sql(f"SELECT count(*) FROM {schema_of(server)}.audit_export")[0][0]
    with losing(server.url) as proxy, client_of(proxy.url, server.keys["acme.admin"]) as client:
        proxy.to_lose = 1
        asked = client.audit_logs.create_export(
            organization_id="acme", range_start=now, range_end=now + timedelta(hours=1)
        )
        assert len(proxy.keys) == 2
        assert client.audit_logs.get_export(asked.id).id == asked.id
    assert server.world.sql(f"SELECT count(*) FROM {schema_of(server)}.audit_export")[0][0] == before + 1


def schema_of(server: Running) -> str:
    """Return where acme's tables are."""
    return str(server.world.sql("SELECT schema_name FROM shared.tenants_tenant WHERE slug = 'acme'")[0][0])


def test_an_export_that_cannot_be_is_refused(server: Running, sdk: WorkOSClient) -> None:
    now, before = datetime.now(UTC), count(server)
    hour = timedelta(hours=1)
    for field, given in (
        ("range_end", {"range_start": now, "range_end": now - hour}),
        ("actor_names", {"range_start": now, "range_end": now + hour, "actor_names": ["Dana"]}),
        ("range_start", {"range_start": "yesterday", "range_end": now + hour}),
    ):
        with pytest.raises(UnprocessableEntityError) as refused:
            sdk.audit_logs.create_export(organization_id="acme", **given)
        assert [fault["field"] for fault in refused.value.errors or []] == [field]
    with pytest.raises(NotFoundError):
        sdk.audit_logs.create_export(organization_id="globex", range_start=now, range_end=now + hour)
    for name in ("audit_log_export_01GBZK5MP7TD1YCFQHFR22180V", str(uuid4())):
        with pytest.raises(NotFoundError, match="Audit Log Export not found"):
            sdk.audit_logs.get_export(name)
    assert count(server) == before


def test_an_export_of_another_tenant_is_not_found(server: Running, sdk: WorkOSClient) -> None:
    now = datetime.now(UTC)
    asked = sdk.audit_logs.create_export(organization_id="acme", range_start=now, range_end=now + timedelta(hours=1))
    with client_of(server.url, server.keys["globex.admin"]) as other, pytest.raises(NotFoundError):
        other.audit_logs.get_export(asked.id)


def declared(sdk: WorkOSClient, action: str, **more: Any) -> Any:
    """Put a schema of an action."""
    given: dict[str, Any] = {
        "actor": AuditLogSchemaActorInput(
            metadata={"type": "object", "properties": {"role": {"type": "string"}}, "required": ["role"]}
        ),
        "targets": [
            AuditLogSchemaTargetInput(
                type="invoice", metadata={"type": "object", "properties": {"cost": {"type": "number"}}}
            ),
            AuditLogSchemaTargetInput(type="team"),
        ],
        "metadata": {
            "type": "object",
            "properties": {"department": {"type": "string"}, "urgent": {}, "count": {}},
            "additionalProperties": False,
        },
    }
    return sdk.audit_logs.create_schema(action, **{**given, **more})


def test_a_schema_comes_back_as_it_was_put_and_the_same_one_is_the_same_version(sdk: WorkOSClient) -> None:
    action = f"invoice.{uuid4().hex}"
    first, again = declared(sdk, action), declared(sdk, action)
    assert (first.version, again.version) == (1, 1)
    assert first.actor.metadata["required"] == ["role"]
    assert [(it.type, it.metadata is not None) for it in first.targets] == [("invoice", True), ("team", False)]
    assert first.metadata["additionalProperties"] is False
    assert declared(sdk, action, metadata=None).version == 2
    listed = sdk.audit_logs.list_action_schemas(action)
    assert [it.version for it in listed.data] == [2, 1]
    assert listed.data[1].to_dict() == first.to_dict()
    assert sdk.audit_logs.list_action_schemas(action, order="asc").data[0].version == 1
    with pytest.raises(NotFoundError):
        sdk.audit_logs.list_action_schemas("none.such")


def test_an_event_is_held_to_the_schema_of_its_action(server: Running, sdk: WorkOSClient) -> None:
    action, thing = f"invoice.{uuid4().hex}", str(uuid4())
    declared(sdk, action)
    good = event(thing, action=action, version=1)
    sdk.audit_logs.create_event(organization_id="acme", event=good)
    assert entries(server, thing)[0]["version"] == 1
    before = count(server)
    wrong: dict[str, dict[str, Any]] = {
        "/targets/0/metadata/cost": {
            "targets": [AuditLogEventTarget(id=thing, type="invoice", metadata={"cost": "much"})]
        },
        "/targets/0/type": {"targets": [AuditLogEventTarget(id=thing, type="planet")]},
        "/actor/metadata/role": {"actor": AuditLogEventActor(id="u", type="user")},
        "/metadata/colour": {"metadata": {"colour": "red"}},
        "/version": {"version": 7},
    }
    for place, more in wrong.items():
        with pytest.raises(BadRequestError) as refused:
            sdk.audit_logs.create_event(organization_id="acme", event=event(thing, **{"action": action, **more}))
        assert (refused.value.message, refused.value.code) == ("Invalid Audit Log event.", "invalid_audit_log_event")
        assert [fault["instancePath"] for fault in refused.value.errors or []] == [place]
    assert count(server) == before


def test_a_schema_that_is_none_is_refused(server: Running, sdk: WorkOSClient) -> None:
    before = count(server)
    wrong: list[dict[str, Any]] = [{"metadata": {"type": "nothing"}}, {"targets": []}]
    for more in wrong:
        with pytest.raises(UnprocessableEntityError):
            declared(sdk, "invoice.wrong", **more)
    with pytest.raises(NotFoundError):
        sdk.audit_logs.list_action_schemas("invoice.wrong")
    assert count(server) == before


def test_actions_are_listed_page_by_page_both_ways(sdk: WorkOSClient) -> None:
    made = [f"paged.{number}.{uuid4().hex}" for number in range(5)]
    for action in made:
        declared(sdk, action)
    listed = [it.name for it in sdk.audit_logs.list_actions(limit=2).auto_paging_iter()]
    assert [name for name in listed if name in made] == made[::-1]
    assert len(listed) == len(set(listed))
    oldest = [it.name for it in sdk.audit_logs.list_actions(limit=3, order="asc").auto_paging_iter()]
    assert oldest == listed[::-1]
    first = sdk.audit_logs.list_actions(limit=2)
    second = sdk.audit_logs.list_actions(limit=2, after=first.after)
    back = sdk.audit_logs.list_actions(limit=2, before=second.before)
    assert (first.before, [it.name for it in back.data]) == (None, [it.name for it in first.data])
    assert first.data[0].schema.version == 1
    for wrong in ({"limit": 0}, {"limit": 101}, {"order": "random"}, {"after": "none.such"}, {"before": ""}):
        with pytest.raises(UnprocessableEntityError) as refused:
            sdk.audit_logs.list_actions(**wrong)
        assert [fault["field"] for fault in refused.value.errors or []] == [*wrong]


def test_retention_is_told_as_it_is_and_cannot_be_set(server: Running, sdk: WorkOSClient) -> None:
    before = count(server)
    assert sdk.audit_logs.get_organization_audit_logs_retention("acme").retention_period_in_days is None
    for period in (
        resource.RetentionPeriodInDays(retention_period_in_days=365),
        resource.RetentionPeriod(retention_period="1_YEAR"),
    ):
        with pytest.raises(UnprocessableEntityError, match="cannot be set yet"):
            sdk.audit_logs.update_organization_audit_logs_retention("acme", retention=period)
    with pytest.raises(NotFoundError):
        sdk.audit_logs.get_organization_audit_logs_retention("globex")
    assert count(server) == before


def test_the_configuration_says_that_the_trail_is_on(server: Running, sdk: WorkOSClient) -> None:
    told = sdk.organizations.get_audit_log_configuration("acme")
    assert (told.organization_id, told.state.value) == (organization(server, "acme"), "active")
    assert told.log_stream is None
    with pytest.raises(NotFoundError):
        sdk.organizations.get_audit_log_configuration("globex")


def test_it_is_the_package_as_it_was_published() -> None:
    assert workos.__file__ is not None
    assert "site-packages" in workos.__file__
