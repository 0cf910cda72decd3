"""Tenants are made whole or not at all, and leave nothing but the platform log's words when they go."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest
from world import World

from audit.models import AuditLog
from subscriptions.models import Plan, TenantSubscription
from tenants import gate, provisioning, sealing
from tenants.context import SYSTEM, enter_tenant
from tenants.errors import BadInput, Conflict, NotFound, ScopeConflict
from tenants.models import Tenant
from tenants.owner import access

INITECH: dict[str, Any] = {"slug": "initech", "name": "Initech", "domain": "initech.localhost"}
# The rows that are captured, in this order.
CREATED, DELETED = ["tenant created", "domain created"], ["domain deleted", "tenant deleted"]


def installed(world: World) -> dict[str, list[Any]]:
    """Return all that stands in the cluster for tenants: rows, schemas, roles, log entries."""
    questions = {
        "tenants": "SELECT slug FROM shared.tenants_tenant ORDER BY 1",
        "domains": "SELECT domain FROM shared.tenants_domain ORDER BY 1",
        "plans": "SELECT tenant_id FROM shared.subscriptions_tenantsubscription ORDER BY 1",
        "schemas": "SELECT nspname FROM pg_namespace WHERE nspname LIKE 't\\_%%' ORDER BY 1",
        "entries": "SELECT action FROM shared.platform_log WHERE NOT captured ORDER BY id",
        "captured": "SELECT resource_type || ' ' || action FROM shared.platform_log WHERE captured ORDER BY id",
    }
    return {name: [row[0] for row in world.sql(question)] for name, question in questions.items()}


def roles(world: World) -> set[str]:
    """Return the tenants' roles of the whole cluster, that of other tests' tenants among them."""
    return {row[0] for row in world.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'daybook\\_t\\_%%'")}


def platform_entries(world: World, action: str) -> list[tuple[Any, ...]]:
    """Return (tenant, actor, description, changes) of the platform log's entries of one action."""
    columns = "tenant_id, actor_label, description, changes"
    return world.sql(f"SELECT {columns} FROM shared.platform_log WHERE action = %s ORDER BY id", action)


def test_a_new_tenant_can_be_entered_and_written_to_at_once(world: World) -> None:
    tenant = provisioning.create_tenant(**INITECH)
    with world.scope("initech"):
        AuditLog.log_action(None, "created", "organization", "1")
        assert AuditLog.get_resource_history("organization", "1").get().action == "created"
    assert gate.host("initech.localhost") == gate.tenant("initech")
    assert tenant.schema_name.startswith("t_")
    assert "initech" not in tenant.schema_name


def test_creation_leaves_an_entry_in_the_platform_log_that_names_actor_and_tenant(world: World) -> None:
    tenant = provisioning.create_tenant(**INITECH, actor=world.actor("sam"))
    entries = [entry for entry in platform_entries(world, "tenant.created") if entry[0] == tenant.pk]
    assert entries == [(tenant.pk, "sam@daybook.example", None, INITECH)]


def test_a_new_tenant_gets_the_default_plan(world: World) -> None:
    tenant = provisioning.create_tenant(**INITECH)
    with world.platform():
        assert TenantSubscription.objects.get(tenant=tenant).plan.slug == "free"
    with world.scope("initech"):
        assert AuditLog.objects.get(captured=False).action == "subscription.created"
        # What was made before the trail was is in the platform log alone.
        row = AuditLog.objects.get(captured=True)
    assert (row.action, row.resource_type, row.actor_label, row.source) == (
        "created", "subscription", "Daybook", "command",
    )  # fmt: skip


def test_a_new_tenant_has_no_plan_where_the_default_one_is_not_sold(world: World) -> None:
    with world.platform():
        Plan.objects.filter(slug="free").update(is_active=False)
    tenant = provisioning.create_tenant(**INITECH)
    with world.platform():
        assert not TenantSubscription.objects.filter(tenant=tenant).exists()


@pytest.mark.parametrize("step", ["_insert", "create_schema", "_build", "_record"])
def test_a_step_that_fails_leaves_no_row_no_schema_no_role_and_no_entry(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before, before_roles = installed(world), roles(world)
    whole = getattr(provisioning, step)

    def fail(*args: Any, **kwargs: Any) -> None:
        whole(*args, **kwargs)
        raise ZeroDivisionError

    monkeypatch.setattr(provisioning, step, fail)
    with pytest.raises(ZeroDivisionError):
        provisioning.create_tenant(**INITECH)
    assert installed(world) == before
    assert roles(world) <= before_roles
    monkeypatch.undo()
    assert provisioning.create_tenant(**INITECH).slug == "initech"


def test_a_grant_that_fails_leaves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before = installed(world)
    monkeypatch.setattr(provisioning, "_PREPARE", (*provisioning._PREPARE, "GRANT SELECT ON {schema}.gone TO {role}"))
    with pytest.raises(Exception, match="gone"):
        provisioning.create_tenant(**INITECH)
    assert installed(world) == before


def test_a_hook_that_fails_takes_the_tenant_away_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before = installed(world)

    def fail(_tenant: Tenant) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(provisioning, "on_created", [*provisioning.on_created, fail])
    with pytest.raises(ZeroDivisionError):
        provisioning.create_tenant(**INITECH)
    after = installed(world)
    assert after.pop("entries") == [*before.pop("entries"), "tenant.created", "tenant.deleted"]
    # The platform's transaction with the plan was rolled back.
    assert after.pop("captured")[len(before.pop("captured")) :] == [*CREATED, *DELETED]
    assert after == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"slug": "Init ech"}, "no slug"),
        ({"slug": "-initech"}, "no slug"),
        ({"slug": "x" * 64}, "no slug"),
        ({"domain": "https://initech.example"}, "no host name"),
        ({"domain": "initech.localhost:8000"}, "no host name"),
        ({"domain": ""}, "no host name"),
        ({"domain": "localhost"}, "PLATFORM_HOSTS"),
        ({"name": " "}, "printable"),
        ({"name": "Ini\x00tech"}, "printable"),
        ({"name": "x" * 201}, "printable"),
    ],
)
def test_it_refuses_what_cannot_be_a_tenant(world: World, wrong: dict[str, str], message: str) -> None:
    before = installed(world)
    with pytest.raises(BadInput, match=message):
        provisioning.create_tenant(**{**INITECH, **wrong})
    assert installed(world) == before


@pytest.mark.parametrize("taken", [{"slug": "acme"}, {"domain": "ACME.localhost"}])
def test_it_refuses_a_slug_or_a_domain_that_is_taken(world: World, taken: dict[str, str]) -> None:
    before = installed(world)
    with pytest.raises(Conflict, match="already"):
        provisioning.create_tenant(**{**INITECH, **taken})
    assert installed(world) == before


def test_of_two_that_want_one_slug_at_once_one_gets_it_and_the_other_is_told(world: World) -> None:
    outcomes: list[str] = []

    def create(domain: str) -> None:
        from django.db import connections

        try:
            outcomes.append(provisioning.create_tenant(**{**INITECH, "domain": domain}).slug)
        except Conflict as error:
            outcomes.append(error.code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=create, args=(f"{word}.localhost",)) for word in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict", "initech"]
    assert installed(world)["tenants"].count("initech") == 1


def test_it_refuses_to_create_or_drop_inside_a_scope(world: World) -> None:
    before, acme = installed(world), world.acme
    with world.platform(), pytest.raises(ScopeConflict):
        provisioning.create_tenant(**INITECH)
    with world.platform(), pytest.raises(ScopeConflict):
        provisioning.drop_tenant(acme)
    assert installed(world) == before


def test_without_the_owners_login_it_says_which_setting_is_missing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = installed(world)
    monkeypatch.setattr(access, "OWNER", "nobody")
    with pytest.raises(provisioning.NoOwner, match="MIGRATION_DATABASE_URL"):
        provisioning.create_tenant(**INITECH)
    assert installed(world) == before


def test_a_dropped_tenant_leaves_no_row_no_schema_and_no_role(world: World) -> None:
    before, before_roles = installed(world), roles(world)
    tenant = provisioning.create_tenant(**INITECH)
    new_roles = roles(world) - before_roles
    with world.scope("initech"):
        AuditLog.log_action(None, "created", "organization", "1")
    provisioning.drop_tenant(tenant, actor=world.actor("sam"))
    after = installed(world)
    entries = after.pop("entries")
    assert entries[len(before.pop("entries")) :] == ["tenant.created", "subscription.created", "tenant.deleted"]
    captured = after.pop("captured")[len(before.pop("captured")) :]
    assert captured == [*CREATED, "subscription created", DELETED[0], "subscription deleted", DELETED[1]]
    assert after == before
    assert f"daybook_t_{tenant.id.hex}" in new_roles - roles(world)
    assert gate.tenant("initech") is None


def test_where_no_superuser_has_hardened_the_database_a_tenant_is_dropped_all_the_same(world: World) -> None:
    tenant = provisioning.create_tenant(**INITECH)
    for name in ("daybook_start", "daybook_commands", "daybook_drops"):
        world.sql(f"DROP EVENT TRIGGER IF EXISTS {name}")
    world.sql("DROP FUNCTION IF EXISTS guard.drop_schema")
    provisioning.drop_tenant(tenant)
    assert tenant.schema_name not in installed(world)["schemas"]
    assert f"daybook_t_{tenant.id.hex}" not in roles(world)


def test_a_tenant_with_a_login_of_its_own_takes_it_along(world: World) -> None:
    tenant = provisioning.create_tenant(**INITECH)
    sealing.seal_tenant(tenant)
    login = f"daybook_sealed_{tenant.id.hex}"
    assert world.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", login) == [(1,)]
    provisioning.drop_tenant(tenant)
    assert world.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", login) == []
    assert installed(world)["tenants"] == ["acme", "globex"]


def test_the_entry_of_a_dropped_tenant_says_what_it_was(world: World) -> None:
    tenant = provisioning.create_tenant(**INITECH)
    provisioning.drop_tenant(tenant, actor=world.actor("sam"))
    changes = {"slug": "initech", "name": "Initech", "schema": tenant.schema_name}
    assert platform_entries(world, "tenant.deleted") == [(tenant.pk, "sam@daybook.example", None, changes)]


def test_dropping_a_tenant_that_is_gone_is_refused(world: World) -> None:
    tenant = provisioning.create_tenant(**INITECH)
    gone = gate.tenant("initech")
    assert gone is not None
    provisioning.drop_tenant(tenant)
    before = installed(world)
    with pytest.raises(NotFound):
        provisioning.drop_tenant(gone)
    assert installed(world) == before


def test_a_tenant_whose_role_stands_in_a_copy_of_the_database_is_kept_and_the_reason_told(world: World) -> None:
    acme, before, count = world.acme, installed(world), world.entries("acme")
    with pytest.raises(Conflict, match="another database"):
        provisioning.drop_tenant(acme)
    assert (installed(world), world.entries("acme")) == (before, count)


def test_a_drop_that_fails_keeps_the_tenant_whole(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    acme, before, count = world.acme, installed(world), world.entries("acme")
    monkeypatch.setattr(provisioning, "tenant_role", lambda _id: "daybook_t_no_such_role")
    with pytest.raises(Exception, match="no_such_role"):
        provisioning.drop_tenant(acme)
    assert (installed(world), world.entries("acme")) == (before, count)


def test_suspending_and_resuming_leave_an_entry_in_both_trails(world: World) -> None:
    acme, sam = world.acme, world.actor("sam")
    provisioning.suspend_tenant(acme, actor=sam, reason="unpaid")
    assert world.acme.suspended
    provisioning.resume_tenant(acme, actor=sam, reason="paid")
    assert not world.acme.suspended
    with world.scope("acme"):
        own = [
            (entry.action, entry.actor_label, entry.description, entry.changes)
            for entry in AuditLog.objects.filter(resource_type="tenant", captured=False).order_by("id")
        ]
        rows = AuditLog.objects.filter(resource_type="tenant", captured=True).order_by("id")
        captured = [(entry.action, entry.actor_label, entry.changes) for entry in rows]
    down = {"status": {"old": "active", "new": "suspended"}}
    up = {"status": {"old": "suspended", "new": "active"}}
    assert own == [
        ("tenant.suspended", sam.label, "unpaid", down),
        ("tenant.resumed", sam.label, "paid", up),
    ]
    assert captured == [("updated", sam.label, down), ("updated", sam.label, up)]
    assert platform_entries(world, "tenant.suspended") == [(acme.id, sam.label, "unpaid", down)]
    assert platform_entries(world, "tenant.resumed") == [(acme.id, sam.label, "paid", up)]


def test_suspending_twice_or_without_a_reason_is_refused_and_changes_nothing(world: World) -> None:
    acme = world.acme
    with pytest.raises(BadInput, match="why"):
        provisioning.suspend_tenant(acme, actor=SYSTEM, reason=" ")
    with pytest.raises(Conflict, match="active already"):
        provisioning.resume_tenant(acme, actor=SYSTEM)
    assert not world.acme.suspended
    assert platform_entries(world, "tenant.suspended") == platform_entries(world, "tenant.resumed") == []


def test_an_entry_that_cannot_be_written_keeps_the_tenant_served(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    acme, before = world.acme, world.entries("acme")

    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(provisioning, "enter_tenant", fail)
    with pytest.raises(ZeroDivisionError):
        provisioning.suspend_tenant(acme, actor=SYSTEM, reason="unpaid")
    assert not world.acme.suspended
    assert world.entries("acme") == before
    assert platform_entries(world, "tenant.suspended") == []


def test_the_applications_login_can_neither_create_nor_drop_a_schema(world: World) -> None:
    from django.db import connection

    acme, before = world.acme, installed(world)
    for statement in (f"DROP SCHEMA {acme.schema_name} CASCADE", "CREATE SCHEMA intruder", "CREATE ROLE intruder"):
        with pytest.raises(Exception, match=r"permission denied|must be owner") as caught, world.platform():  # noqa: SIM117
            with enter_tenant(acme), connection.cursor() as cursor:
                cursor.execute(statement)
        assert isinstance(caught.value.__cause__, psycopg.errors.InsufficientPrivilege)
    assert installed(world) == before
