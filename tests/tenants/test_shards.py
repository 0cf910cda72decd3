"""A tenant's row names the database alias that has its data: each query of its unit of work goes there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import psycopg
import pytest
from clones import copied
from django.db import connections
from world import World

from audit.integrity import sequencer
from audit.models import AuditLog, UsageLog
from audit.usage import record_usage
from subscriptions.models import PlatformLog, TenantSubscription
from tenants import gate
from tenants.context import SYSTEM, enter_tenant, platform_scope, tenant_scope
from tenants.errors import NoScope
from tenants.models import ApiKey, Domain, Membership, Tenant, User
from tenants.shards import UnitRouter

EVENT = {"action": "invoice.paid", "resource": {"type": "invoice", "id": "7"}, "metadata": {"where": "there"}}


@pytest.fixture
def other(world: World, superuser: psycopg.Connection[Any]) -> Iterator[World]:
    """A second database with the same world, as the alias `other`, where acme's data is from now on."""
    with copied(superuser, "world") as there:
        connections.settings["other"] = {**deepcopy(connections.settings["default"]), "NAME": there.database}
        world.sql("UPDATE shared.tenants_tenant SET shard = 'other' WHERE slug = 'acme'")
        yield there
        connections["other"].close()
        connections["other"].close_pool()  # type: ignore[attr-defined]
        del connections["other"], connections.settings["other"]


def test_an_event_sent_to_the_api_is_in_the_database_that_the_directory_names_alone(world: World, other: World) -> None:
    here, there = world.entries("acme"), other.entries("acme")
    assert world.api(key="acme.write").post("/api/v1/audit-logs", EVENT).status_code == 201
    assert (world.entries("acme"), other.entries("acme")) == (here, there + 1)


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_lists_histories_and_single_entries_are_read_there(world: World, other: World, order: str) -> None:
    sent = world.api(key="acme.write").post("/api/v1/audit-logs", EVENT).json()
    for alias in ("default", "other"):
        sequencer.sequence(alias)
    reader = world.api(key="acme.read")
    listed = reader.get("/api/v1/audit-logs", order=order, action="invoice.paid").json()["results"]
    assert [entry["id"] for entry in listed] == [sent["id"]]
    assert reader.get("/api/v1/resources/invoice/7/history").json()["results"] == listed
    assert (
        reader.get(f"/api/v1/audit-logs/{sent['id']}").json()
        == listed[0]
        == {**sent, "position": listed[0]["position"]}
    )
    # The control: the same reader finds nothing where the directory does not point.
    world.sql("UPDATE shared.tenants_tenant SET shard = 'default' WHERE slug = 'acme'")
    assert reader.get("/api/v1/audit-logs", order=order, action="invoice.paid").json()["results"] == []
    assert reader.get(f"/api/v1/audit-logs/{sent['id']}").status_code == 404


def test_batches_idempotency_keys_and_usage_are_kept_there(world: World, other: World) -> None:
    writer = world.api(key="acme.write")
    event = {**EVENT, "idempotency_key": "once"}
    first = writer.post("/api/v1/audit-logs", {"events": [event, EVENT]}, **{"Idempotency-Key": "k"})
    again = writer.post("/api/v1/audit-logs", {"events": [event, EVENT]}, **{"Idempotency-Key": "k"})
    assert [row["status"] for row in first.json()["results"]] == ["created", "created"]
    assert again.headers["Idempotency-Replayed"] == "true"
    with world.scope("acme"):
        record_usage("seats", 3)
        assert UsageLog.objects.count() == 1
    schema = world.acme.schema_name
    for table, expected in (("audit_key", 1), ("audit_answer", 1), ("usage_log", 1)):
        counts = [place.sql(f"SELECT count(*) FROM {schema}.{table}")[0][0] for place in (other, world)]
        assert counts == [expected, 0], table


def test_each_statement_of_a_unit_goes_through_the_alias_of_its_tenant(world: World, other: World) -> None:
    acme, sent = world.acme, []

    def note(execute: Any, statement: str, parameters: Any, many: bool, context: Any) -> Any:
        sent.append(context["connection"].alias)
        return execute(statement, parameters, many, context)

    here, there = connections["default"], connections["other"]
    with tenant_scope(acme, actor=SYSTEM), here.execute_wrapper(note), there.execute_wrapper(note):
        AuditLog.log_action(None, "created", "organization", "1")
        models: tuple[Any, ...] = (AuditLog, UsageLog, Tenant, Domain, User, Membership, ApiKey, TenantSubscription)
        for model in models:
            list(model.objects.all())
    assert len(sent) == 9
    assert set(sent) == {"other"}


def test_the_gate_and_the_platform_stay_on_default(world: World, other: World) -> None:
    other.sql("DELETE FROM shared.tenants_domain")
    other.sql("UPDATE shared.tenants_tenant SET slug = slug || '-there'")
    assert gate.host("acme.localhost") == world.acme
    assert world.acme.shard == "other"
    with platform_scope(actor=SYSTEM):
        assert set(Tenant.objects.values_list("slug", flat=True)) == {"acme", "globex"}
        count = PlatformLog.objects.count()
    assert world.sql("SELECT count(*) FROM shared.platform_log") == [(count,)]


def test_a_tenant_that_stays_is_not_touched_by_the_move_of_another(world: World, other: World) -> None:
    here, there = world.entries("globex"), other.entries("globex")
    assert world.api("globex", key="globex.write").post("/api/v1/audit-logs", EVENT).status_code == 201
    assert (world.entries("globex"), other.entries("globex")) == (here + 1, there)


def test_the_platform_that_enters_a_tenant_writes_its_entry_where_the_tenant_is(world: World, other: World) -> None:
    here, there = world.entries("acme"), other.entries("acme")
    acme = world.acme
    with world.platform(), enter_tenant(acme):
        AuditLog.log_action(None, "plan.changed", "subscription", "1")
    assert (world.entries("acme"), other.entries("acme")) == (here, there + 1)


def test_an_error_rolls_back_there(world: World, other: World) -> None:
    there = other.entries("acme")

    def fail() -> None:
        with world.scope("acme"):
            AuditLog.log_action(None, "created", "organization", "1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert other.entries("acme") == there


def test_a_tenant_of_an_unknown_alias_is_refused_and_not_served_from_elsewhere(world: World) -> None:
    world.sql("UPDATE shared.tenants_tenant SET shard = 'nowhere' WHERE slug = 'acme'")
    before = world.entries("acme")
    answer = world.api(key="acme.write").post("/api/v1/audit-logs", EVENT)
    assert answer.status_code >= 500
    assert "nowhere" not in json.dumps(answer.json())
    assert world.entries("acme") == before


def test_without_a_scope_the_router_names_no_alias_and_the_query_is_refused(world: World) -> None:
    assert UnitRouter().db_for_read(AuditLog) is None
    with pytest.raises(NoScope):
        list(AuditLog.objects.all())


def test_without_the_router_a_unit_elsewhere_finds_no_connection(
    world: World, other: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: it is the router that sends the ORM's queries there."""
    acme = world.acme
    monkeypatch.setattr(UnitRouter, "db_for_read", lambda *_args, **_hints: None)
    with tenant_scope(acme, actor=SYSTEM), pytest.raises(NoScope):
        list(AuditLog.objects.all())
