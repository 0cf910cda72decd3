"""Staff in a tenant's trail: nothing is read without a reason, and both trails tell it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError
from units import run
from world import World

from audit.entry import first_id
from audit.models import AuditLog
from tenants import auditing
from tenants.auditing import Reading, read_tenant
from tenants.context import enter_tenant
from tenants.errors import BadInput, Refused, ScopeConflict
from tenants.recording import record

WHY = "Ticket 4711: who deleted the project?"


@pytest.fixture
def trails(world: World) -> World:
    """A world in which each tenant's trail has two entries."""
    for slug, name in (("acme", "alice"), ("globex", "charlie")):
        with world.scope(slug, name):
            for number in range(2):
                AuditLog.log_action(None, "waved", "thing", f"{slug}-{number}")
    return world


def reading(world: World, slug: str, reason: str = WHY) -> Any:
    """Open a unit in which sam reads a tenant's trail."""
    tenant, sam = world.tenant(slug), world.actor("sam")
    return read_tenant(tenant, actor=sam, reason=reason)


def seen() -> list[str]:
    return list(AuditLog.objects.filter(action="waved").order_by("id").values_list("resource_id", flat=True))


def reasons(world: World, slug: str) -> list[tuple[Any, ...]]:
    """Return who read why: what the tenant's own trail says, and the platform log of that tenant."""
    schema = world.tenant(slug).schema_name
    columns = "actor_label, description"
    return world.sql(
        f"SELECT 'tenant', {columns} FROM {schema}.audit_log WHERE action = 'trail.read' UNION ALL "
        f"SELECT 'platform', {columns} FROM shared.platform_log WHERE action = 'trail.read' AND tenant_id = %s",
        world.tenant(slug).id,
    )


def test_whoever_enters_a_tenant_without_a_reason_sees_only_what_he_writes(trails: World) -> None:
    acme = trails.acme
    with trails.platform("sam"), enter_tenant(acme):
        assert seen() == []
        AuditLog.log_action(None, "waved", "thing", "own")
        assert seen() == ["own"]
    with trails.platform("sam"), enter_tenant(acme):
        assert seen() == []
    with trails.scope("acme"):
        assert seen() == ["acme-0", "acme-1", "own"]


def test_without_the_policy_the_same_visit_sees_the_trail(trails: World) -> None:
    """The control: so the probe above can find a leak."""
    acme = trails.acme
    trails.sql(f"ALTER TABLE {acme.schema_name}.audit_log DISABLE ROW LEVEL SECURITY")
    with trails.platform("sam"), enter_tenant(acme):
        assert seen() == ["acme-0", "acme-1"]


def test_with_a_reason_the_trail_is_read_and_both_trails_tell_why_and_who(trails: World) -> None:
    with reading(trails, "acme", f" {WHY} "):
        assert seen() == ["acme-0", "acme-1"]
    told = [("tenant", "sam@daybook.example", WHY), ("platform", "sam@daybook.example", WHY)]
    assert reasons(trails, "acme") == told
    assert reasons(trails, "globex") == []


def test_a_reason_for_one_tenant_opens_no_other_and_ends_with_its_transaction(trails: World) -> None:
    acme, globex = trails.acme, trails.globex
    with reading(trails, "acme"):
        assert len(seen()) == 2
    with trails.platform("sam"), enter_tenant(acme):
        assert seen() == []
    why = trails.sql("SELECT id FROM shared.platform_log WHERE action = 'trail.read'")[0][0]
    for tenant, count in ((acme, 2), (globex, 0)):
        with trails.platform("sam"), enter_tenant(tenant, reason=why):
            assert len(seen()) == count


def test_the_other_tenants_trail_stays_shut_under_its_qualified_name(trails: World) -> None:
    globex = trails.globex.schema_name
    with reading(trails, "acme"):
        assert run(f"SELECT count(*) FROM {globex}.audit_log") == 0


@pytest.mark.parametrize("table", ["audit_log_default", "usage_log", "audit_key", "audit_answer"])
def test_what_is_not_the_trail_is_refused_with_a_reason_too(trails: World, table: str) -> None:
    with (
        pytest.raises(DatabaseError, match="permission denied"),
        reading(trails, "acme"),
    ):
        run(f"SELECT count(*) FROM {table}")


@pytest.mark.parametrize("reason", ["", "   ", "x" * 1001])
def test_it_refuses_a_reason_that_says_nothing_or_too_much(trails: World, reason: str) -> None:
    with pytest.raises(BadInput), reading(trails, "acme", reason):
        seen()
    assert reasons(trails, "acme") == []


def test_a_tenant_cannot_read_another_for_whatever_reason(trails: World) -> None:
    globex, alice = trails.globex, trails.actor("alice")
    with trails.scope("acme", "alice"), pytest.raises(ScopeConflict), read_tenant(globex, actor=alice, reason=WHY):
        seen()
    assert reasons(trails, "globex") == []


def test_whoever_rolls_back_what_he_did_has_said_why_he_read_all_the_same(trails: World) -> None:
    def visit() -> None:
        with reading(trails, "acme"):
            assert len(seen()) == 2
            AuditLog.log_action(None, "waved", "thing", "own")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        visit()
    assert [who for who, *_ in reasons(trails, "acme")] == ["tenant", "platform"]
    with trails.scope("acme"):
        assert seen() == ["acme-0", "acme-1"]


def test_a_reason_that_is_not_committed_opens_nothing(trails: World) -> None:
    acme = trails.acme
    with trails.platform("sam"):
        why = record("trail.read", ("tenant", str(acme.id), acme.name), description=WHY, tenant_id=acme.id)
        with enter_tenant(acme, reason=why):
            assert seen() == []


@pytest.mark.parametrize(
    "change", ["description = ''", "outcome = 'denied'", "action = 'waved'", "tenant_id = NULL", "id = {old}"]
)
def test_an_entry_that_is_no_reason_of_now_opens_nothing(trails: World, change: str) -> None:
    acme, old = trails.acme, first_id(datetime.now(UTC) - timedelta(minutes=11))
    with reading(trails, "acme"):
        assert len(seen()) == 2
    why = trails.sql("SELECT id FROM shared.platform_log WHERE action = 'trail.read'")[0][0]
    trails.sql("ALTER TABLE shared.platform_log DISABLE TRIGGER USER")
    trails.sql(f"UPDATE shared.platform_log SET {change.format(old=repr(str(old)))} WHERE id = %s", why)
    with trails.platform("sam"), enter_tenant(acme, reason=old if "id = {" in change else why):
        assert seen() == []


def test_whoever_goes_on_reading_says_why_once_and_again_when_the_reason_is_too_old(trails: World) -> None:
    acme, sam = trails.acme, trails.actor("sam")
    unit = Reading(acme, sam, WHY)
    for _ in range(2):
        with unit():
            assert len(seen()) == 2
    assert len(reasons(trails, "acme")) == 2
    trails.sql("ALTER TABLE shared.platform_log DISABLE TRIGGER USER")
    trails.sql(
        "UPDATE shared.platform_log SET id = guard.first_id(now() - interval '11 minutes') WHERE id = %s", unit._why
    )
    with unit():
        assert len(seen()) == 2
    assert len(reasons(trails, "acme")) == 4


def test_a_reason_that_does_not_count_is_refused_and_shows_no_empty_trail(
    trails: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "record", lambda *_anything, **_more: uuid4())
    with pytest.raises(Refused), reading(trails, "acme"):
        pytest.fail("It was opened.")
