"""Changing a plan: one transaction, two trails, who and why in both."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connections
from world import World

from audit.models import AuditLog
from subscriptions import lifecycle
from subscriptions.models import Plan, PlatformLog, TenantSubscription
from tenants.context import platform_scope
from tenants.errors import BadInput, Conflict, DomainError, ScopeConflict
from tenants.models import Tenant

STATE = """SELECT p.slug, s.changed_at FROM shared.subscriptions_tenantsubscription s
  JOIN shared.subscriptions_plan p ON p.id = s.plan_id JOIN shared.tenants_tenant t ON t.id = s.tenant_id
 WHERE t.slug = %s"""


def change(world: World, plan: str, *, reason: str = "They asked", name: str = "bill", slug: str = "acme") -> Any:
    actor = world.actor(name)
    with platform_scope(actor=actor):
        tenant, wanted = Tenant.objects.get(slug=slug), Plan.objects.get(slug=plan)
        return lifecycle.change_plan(tenant, wanted, actor=actor, reason=reason)


def platform_entries(world: World) -> int:
    return int(world.sql("SELECT count(*) FROM shared.platform_log")[0][0])


def everything(world: World) -> tuple[Any, ...]:
    """Return all that a change touches, to show that a refusal touched nothing."""
    return world.sql(STATE, "acme")[0], platform_entries(world), world.entries("acme"), world.entries("globex")


def test_it_changes_the_row_and_tells_both_trails_who_why_and_what_was_before(world: World) -> None:
    subscription = change(world, "premium", reason="Upgrade after the call")
    bill = world.person("bill")
    assert world.sql(STATE, "acme")[0][0] == "premium"
    with world.platform("sam"):
        told = PlatformLog.objects.of_action("subscription.plan_changed").get()
    with world.scope("acme"):
        own = AuditLog.objects.of_action("subscription.plan_changed").get()
    assert told.tenant_id == world.acme.id
    for entry in (told, own):
        assert (entry.actor_type, entry.actor_id, entry.actor_label) == ("staff", str(bill.pk), bill.email)
        assert entry.changes == {"plan": {"old": "free", "new": "premium"}}
        assert entry.description == "Upgrade after the call"
        assert (entry.resource_type, entry.resource_id) == ("subscription", str(subscription.pk))
        assert (entry.resource_label, entry.operation, entry.outcome) == ("Acme", "update", "success")


def test_both_entries_are_of_one_transaction(world: World) -> None:
    change(world, "premium")
    with world.platform():
        told = PlatformLog.objects.of_action("subscription.plan_changed").get().transaction_id
    with world.scope("acme"):
        own = AuditLog.objects.of_action("subscription.plan_changed").get().transaction_id
    assert told == own


def test_the_pointer_to_the_member_of_staff_stands_in_the_platform_log_alone(world: World) -> None:
    change(world, "premium")
    bill = world.person("bill").pk
    with world.platform():
        assert PlatformLog.objects.of_action("subscription.plan_changed").get().user_id == bill
        # The row's entry stands beside it, by the same person.
        row = PlatformLog.objects.filter(captured=True, resource_type="subscription")[0]
        assert (row.action, row.user_id, row.actor_label) == ("updated", bill, "bill@daybook.example")
    with world.scope("acme"):
        assert AuditLog.objects.of_action("subscription.plan_changed").get().user_id is None
        copy = AuditLog.objects.filter(captured=True, resource_type="subscription")[0]
    assert (copy.action, copy.user_id, copy.actor_label) == ("updated", None, "bill@daybook.example")


def test_the_other_tenant_learns_nothing(world: World) -> None:
    before, state = world.entries("globex"), world.sql(STATE, "globex")
    change(world, "premium")
    assert (world.entries("globex"), world.sql(STATE, "globex")) == (before, state)


def test_a_failure_in_the_tenants_trail_rolls_everything_back(world: World) -> None:
    schema = world.acme.schema_name
    world.sql(f"""
        CREATE FUNCTION {schema}.fail() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no room'; END$$;
        CREATE TRIGGER fail BEFORE INSERT ON {schema}.audit_log FOR EACH ROW EXECUTE FUNCTION {schema}.fail();
        GRANT EXECUTE ON FUNCTION {schema}.fail TO PUBLIC""")
    before = everything(world)
    with pytest.raises(DatabaseError, match="no room"):
        change(world, "premium")
    assert everything(world) == before


def test_a_failure_in_the_platform_log_rolls_everything_back(world: World) -> None:
    world.sql("""
        CREATE FUNCTION shared.fail() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no room'; END$$;
        CREATE TRIGGER fail BEFORE INSERT ON shared.platform_log FOR EACH ROW EXECUTE FUNCTION shared.fail()""")
    before = everything(world)
    with pytest.raises(DatabaseError, match="no room"):
        change(world, "premium")
    assert everything(world) == before


def test_an_error_after_the_change_in_the_same_scope_rolls_everything_back(world: World) -> None:
    before, actor = everything(world), world.actor("bill")

    def change_and_fail() -> None:
        with platform_scope(actor=actor):
            tenant, premium = Tenant.objects.get(slug="acme"), Plan.objects.get(slug="premium")
            lifecycle.change_plan(tenant, premium, actor=actor, reason="x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change_and_fail()
    assert everything(world) == before


@pytest.mark.parametrize("reason", ["", "   \n", "x" * (lifecycle.MAX_REASON + 1), "nul\x00"])
def test_it_refuses_a_missing_an_endless_or_an_unstorable_reason(world: World, reason: str) -> None:
    before = everything(world)
    with pytest.raises(BadInput) as refusal:
        change(world, "premium", reason=reason)
    assert refusal.value.errors
    assert everything(world) == before


def test_it_refuses_the_plan_the_tenant_is_on(world: World) -> None:
    before = everything(world)
    with pytest.raises(Conflict, match="on the plan free already"):
        change(world, "free")
    assert everything(world) == before


def test_it_refuses_a_plan_that_is_no_longer_sold(world: World) -> None:
    world.sql("UPDATE shared.subscriptions_plan SET is_active = false WHERE slug = 'premium'")
    before = everything(world)
    with pytest.raises(Conflict, match="no longer sold"):
        change(world, "premium")
    assert everything(world) == before


def test_a_tenant_without_a_subscription_gets_its_first_and_both_trails_say_why(world: World) -> None:
    world.sql("DELETE FROM shared.subscriptions_tenantsubscription")
    before = world.entries("acme")
    change(world, "premium")
    with world.platform():
        entry = PlatformLog.objects.filter(captured=False)[0]
    assert (entry.action, entry.operation, entry.changes) == (
        "subscription.created",
        "create",
        {"plan": {"new": "premium"}},
    )
    assert entry.description
    with world.scope("acme"):
        newest = AuditLog.objects.all()[: world.entries("acme") - before]
        assert [(entry.action, entry.captured) for entry in newest] == [
            ("subscription.created", False),
            ("created", True),
        ]


def test_it_refuses_a_second_first_plan(world: World) -> None:
    before = everything(world)
    with pytest.raises(Conflict, match="has a plan already"), world.platform():
        lifecycle.subscribe(Tenant.objects.get(slug="acme"), Plan.objects.get(slug="premium"))
    assert everything(world) == before


def test_a_tenants_own_unit_of_work_cannot_change_its_plan(world: World) -> None:
    with world.platform():
        premium = Plan.objects.get(slug="premium")
    before = everything(world)
    olga = world.actor("olga")
    with world.scope("acme", "olga"), pytest.raises(ScopeConflict):
        lifecycle.change_plan(Tenant.objects.get(), premium, actor=olga, reason="I would like it")
    with pytest.raises(DatabaseError, match="permission denied"), world.scope("acme", "olga"):
        TenantSubscription.objects.update(plan=premium)
    assert everything(world) == before


def test_of_two_changes_at_once_the_second_sees_what_the_first_did(world: World) -> None:
    """Both want premium: one gets it, the other is told that the tenant is on it already; one entry each."""
    barrier, outcomes = threading.Barrier(2), list[str]()
    actor = world.actor("bill")

    def race() -> None:
        with platform_scope(actor=actor):
            tenant, premium = Tenant.objects.get(slug="acme"), Plan.objects.get(slug="premium")
        barrier.wait(10)
        try:
            lifecycle.change_plan(tenant, premium, actor=actor, reason="Race")
            outcomes.append("changed")
        except DomainError as error:
            outcomes.append(error.code)
        finally:
            connections["default"].close()

    threads = [threading.Thread(target=race) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(outcomes) == ["changed", "conflict"]
    with world.scope("acme"):
        assert AuditLog.objects.of_action("subscription.plan_changed").values_list("changes", flat=True).get() == {
            "plan": {"old": "free", "new": "premium"}
        }
    with world.platform():
        assert len(PlatformLog.objects.of_action("subscription.plan_changed")) == 1


def test_a_change_waits_for_the_one_that_holds_the_row(world: World) -> None:
    """While another change is not committed, what was before is not known yet."""
    with psycopg.connect(world.superuser, dbname=world.database) as other:
        other.execute(
            "UPDATE shared.subscriptions_tenantsubscription SET plan_id = "
            "(SELECT id FROM shared.subscriptions_plan WHERE slug = 'premium')"
        )
        done = threading.Event()

        def later() -> None:
            change(world, "free", reason="Back again")
            done.set()
            connections["default"].close()

        thread = threading.Thread(target=later)
        thread.start()
        assert not done.wait(0.5)
        other.commit()
        thread.join(20)
    assert done.is_set()
    with world.platform():
        entry = PlatformLog.objects.of_action("subscription.plan_changed").get()
        assert entry.changes == {"plan": {"old": "premium", "new": "free"}}
