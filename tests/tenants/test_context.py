"""Scopes: which may be opened in which, what they bind, and that they come back as they were."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.db.transaction import TransactionManagementError
from world import World

from audit import ledger
from audit.models import AuditLog
from subscriptions.models import PlatformLog
from tenants import gate
from tenants.context import (
    SYSTEM,
    Origin,
    Realm,
    current_scope,
    enter_tenant,
    gate_scope,
    platform_scope,
    roll_back,
    scope_or_none,
    tenant_scope,
    without_capture,
)
from tenants.errors import NoScope, ScopeConflict
from tenants.models import Tenant


def bound() -> tuple[str, str, Any]:
    """Return role, search_path and actor as the database sees them."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, current_setting('search_path'), current_setting('daybook.context')")
        role, path, context = cursor.fetchone()
    return role, path, json.loads(context)["actor"] if context else None


def log(action: str) -> None:
    AuditLog.log_action(None, action, "thing", "1")


def actions() -> list[str]:
    return list(AuditLog.objects.filter(resource_type="thing").order_by("id").values_list("action", flat=True))


def tell(*tenants: Any) -> None:
    for tenant in tenants:
        with enter_tenant(tenant):
            log("told")


def fail_after(act: Callable[..., object], *arguments: Any) -> None:
    act(*arguments)
    raise KeyError


def break_after(act: Callable[..., object], *arguments: Any) -> None:
    act(*arguments)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM nowhere")


def test_a_tenants_scope_runs_as_its_role_in_its_schema(world: World) -> None:
    acme = world.acme
    with world.scope("acme", "alice"):
        role, path, actor = bound()
    assert role.endswith(f"_t_{acme.id.hex}")
    assert path == f"{acme.schema_name}, shared, pg_temp"
    assert actor == ["user", str(world.person("alice").pk), "alice@acme.example"]


def test_a_platforms_scope_runs_as_the_platform(world: World) -> None:
    sam = world.person("sam")
    with world.platform("sam"):
        assert bound() == ("daybook_platform", "shared, pg_temp", ["staff", str(sam.pk), sam.email])


def test_the_gate_runs_as_the_login_role_which_sees_functions_alone(world: World) -> None:
    with gate_scope():
        assert bound() == ("daybook_app", "gate, pg_temp", None)
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT * FROM shared.tenants_tenant")


def test_it_knows_the_open_scope(world: World) -> None:
    assert scope_or_none() is None
    with world.scope("acme") as scope:
        assert current_scope() is scope_or_none() is scope
        assert (scope.realm, scope.tenant and scope.tenant.slug, scope.alias) == (Realm.TENANT, "acme", "default")
    assert scope_or_none() is None
    with pytest.raises(NoScope):
        current_scope()


def test_a_unit_commits_at_its_end(world: World) -> None:
    with world.scope("acme"):
        log("waved")
    with world.scope("acme"):
        assert actions() == ["waved"]


def test_a_unit_rolls_back_on_an_exception(world: World) -> None:
    with pytest.raises(KeyError), world.scope("acme"):
        fail_after(log, "waved")
    with world.scope("acme"):
        assert actions() == []
    assert scope_or_none() is None


def test_a_unit_can_be_told_to_roll_back(world: World) -> None:
    with world.scope("acme"):
        log("waved")
        roll_back()
    with world.scope("acme"):
        assert actions() == []


def open_any(world: World, kind: str) -> Any:
    """Open a scope of a kind: a tenant's slug, the platform's, the gate's."""
    if kind == "gate":
        return gate_scope()
    return world.platform() if kind == "platform" else world.scope(kind)


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ("acme", "globex"), ("acme", "platform"), ("acme", "gate"), ("platform", "acme"), ("platform", "gate"),
        ("gate", "acme"), ("gate", "platform"), ("gate", "gate"),
    ],
)  # fmt: skip
def test_it_refuses_a_scope_inside_one_of_another_side(world: World, outer: str, inner: str) -> None:
    opened, refused = open_any(world, outer), open_any(world, inner)
    with opened as scope:
        before = bound()
        with pytest.raises(ScopeConflict), refused:
            log("never")
        assert current_scope() is scope
        assert bound() == before


@pytest.mark.parametrize("first", [True, False])
def test_an_inner_unit_restores_role_path_and_actor(world: World, first: bool) -> None:
    """Also when the outer unit has sent no query before the inner one begins."""
    alice, acme = world.actor("alice"), world.acme
    with world.platform("sam") as outer:
        before = None if first else bound()
        with enter_tenant(acme):
            assert bound()[:2] == ("daybook_auditor", f"{acme.schema_name}, shared, pg_temp")
            with tenant_scope(acme, actor=alice):
                assert bound()[0] == "daybook_auditor"
                assert bound()[2] == ["user", alice.id, alice.label]
            assert bound()[2] == ["staff", outer.actor.id, outer.actor.label]
        assert current_scope() is outer
        assert bound() == before or before is None
        assert bound()[:2] == ("daybook_platform", "shared, pg_temp")


@pytest.mark.parametrize("first", [True, False])
def test_an_inner_unit_that_fails_restores_them_too_and_undoes_its_own_writes(world: World, first: bool) -> None:
    acme = world.acme
    with world.platform("sam") as outer:
        if not first:
            bound()
        with pytest.raises(DatabaseError), enter_tenant(acme):
            break_after(log, "inner")
        assert current_scope() is outer
        assert bound() == ("daybook_platform", "shared, pg_temp", ["staff", outer.actor.id, outer.actor.label])
        with enter_tenant(acme):
            assert actions() == []
        assert Tenant.objects.count() == 2


def test_a_failed_inner_unit_before_any_query_does_not_turn_the_outer_one(world: World) -> None:
    acme = world.acme
    with world.platform("sam"):
        with pytest.raises(KeyError), enter_tenant(acme):
            raise KeyError
        assert bound()[0] == "daybook_platform"


def test_an_inner_unit_rolled_back_without_an_exception_restores_them(world: World) -> None:
    acme = world.acme
    with world.platform("sam"):
        with enter_tenant(acme):
            log("inner")
            roll_back()
        assert bound()[0] == "daybook_platform"
        with enter_tenant(acme):
            assert actions() == []


def test_no_inner_unit_opens_in_one_that_will_roll_back(world: World) -> None:
    """It would have no savepoint, and so nothing to restore the outer binding with."""
    acme = world.acme
    with world.platform("sam") as outer:
        before = bound()
        roll_back()
        with pytest.raises(TransactionManagementError), enter_tenant(acme):
            log("never")
        assert current_scope() is outer
        connection.set_rollback(False)
        assert bound() == before


def test_the_scope_is_captured_when_the_unit_opens(world: World) -> None:
    """BEGIN is sent with the first query; what is bound then was settled before."""
    acme, alice = world.acme, world.actor("alice")
    with tenant_scope(acme, actor=alice):
        other = gate.TenantRef(uuid4(), "globex", "Globex", "t_other", "default", "active", "daybook_cell_1")
        with pytest.raises(ScopeConflict), tenant_scope(other, actor=SYSTEM):
            log("never")
        assert bound()[0].endswith(acme.id.hex)
        assert bound()[2] == ["user", alice.id, alice.label]


def test_a_unit_inside_a_tests_own_transaction_is_bound_too(world: World) -> None:
    acme, globex = world.acme, world.globex
    with transaction.atomic():
        with tenant_scope(acme, actor=SYSTEM):
            assert bound()[0].endswith(acme.id.hex)
            log("waved")
        with pytest.raises(NoScope):
            AuditLog.objects.count()
        # The transaction is acme's for as long as it lasts.
        with pytest.raises(ScopeConflict), tenant_scope(globex, actor=SYSTEM):
            log("never")
        transaction.set_rollback(True)
    with tenant_scope(acme, actor=SYSTEM):
        assert actions() == []


def test_only_a_platform_enters_a_tenant(world: World) -> None:
    acme, globex = world.acme, world.globex
    with pytest.raises(NoScope), enter_tenant(acme):
        log("never")
    with tenant_scope(acme, actor=SYSTEM), pytest.raises(ScopeConflict), enter_tenant(acme):
        log("never")
    with world.platform(), enter_tenant(acme), pytest.raises(ScopeConflict), enter_tenant(globex):
        log("never")
    for tenant in (acme, globex):
        with tenant_scope(tenant, actor=SYSTEM):
            assert actions() == []


def test_capture_is_paused_in_no_other_place_than_a_unit(world: World) -> None:
    with pytest.raises(NoScope), without_capture(uuid4()):
        pytest.fail("a unit began")
    assert scope_or_none() is None


def test_a_platforms_act_on_two_tenants_is_one_transaction(world: World) -> None:
    acme, globex = world.acme, world.globex
    before = world.sql("SELECT count(*) FROM shared.platform_log")
    with pytest.raises(KeyError), world.platform("sam"):
        fail_after(tell, acme, globex)
    assert world.sql("SELECT count(*) FROM shared.platform_log") == before
    for tenant in (acme, globex):
        with tenant_scope(tenant, actor=SYSTEM):
            assert actions() == []
    with world.platform("sam"):
        tell(acme, globex)
    for tenant in (acme, globex):
        with tenant_scope(tenant, actor=SYSTEM):
            assert actions() == ["told"]


def test_staff_who_enter_a_tenant_stand_in_its_trail_as_staff(world: World) -> None:
    acme = world.acme
    with world.platform("sam"), enter_tenant(acme):
        log("told")
    with world.scope("acme"):
        entry = AuditLog.objects.get(action="told")
    assert (entry.actor_type, entry.actor_label, entry.user_id) == ("staff", "sam@daybook.example", None)


def test_a_tenant_sees_nothing_of_the_platforms_trail(world: World) -> None:
    with pytest.raises(DatabaseError, match="permission denied"), world.scope("acme"):
        PlatformLog.objects.count()


def test_a_scope_is_known_to_its_own_backend_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    acme = world.acme
    elsewhere = gate.TenantRef(acme.id, acme.slug, acme.name, acme.schema_name, "owner", "active", "daybook_cell_1")
    with pytest.raises(NoScope, match=r"tenants\.backend"), tenant_scope(elsewhere, actor=SYSTEM):
        log("never")
    assert scope_or_none() is None


def test_after_the_commit_the_scope_is_closed_and_another_may_be_opened(world: World) -> None:
    acme, globex = world.acme, world.globex
    seen: list[Any] = []

    def hook() -> None:
        seen.append(scope_or_none())
        with pytest.raises(NoScope):
            AuditLog.objects.count()
        with tenant_scope(globex, actor=SYSTEM):
            log("told")
            transaction.on_commit(lambda: seen.append("inner"))

    with tenant_scope(acme, actor=SYSTEM):
        log("waved")
        transaction.on_commit(hook)
        transaction.on_commit(lambda: seen.append("last"))
    assert seen == [None, "inner", "last"]
    for tenant, expected in ((acme, ["waved"]), (globex, ["told"])):
        with tenant_scope(tenant, actor=SYSTEM):
            assert actions() == expected


def test_after_a_rollback_nothing_waits_for_the_commit(world: World) -> None:
    seen: list[str] = []
    with pytest.raises(KeyError), world.scope("acme"):
        fail_after(transaction.on_commit, lambda: seen.append("never"))
    with world.scope("acme"):
        log("waved")
    assert seen == []


def test_a_thread_begins_without_a_scope(world: World) -> None:
    acme = world.acme
    found: list[Any] = []

    def work() -> None:
        found.append(scope_or_none())
        with pytest.raises(NoScope):
            AuditLog.objects.count()
        with tenant_scope(acme, actor=SYSTEM):
            found.append(actions())
        connections.close_all()

    with world.scope("globex"):
        log("waved")
        in_thread(work)
    assert found == [None, []]


def in_thread(work: Callable[[], None]) -> None:
    """Run `work` in a thread; what it raises fails the test (pytest makes it an error)."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_a_platform_scope_joins_the_open_one_under_another_actor(world: World) -> None:
    sam, sue = world.actor("sam"), world.actor("sue")
    with platform_scope(actor=sam):
        with platform_scope(actor=sue):
            assert bound()[2] == ["staff", sue.id, sue.label]
        assert bound()[2] == ["staff", sam.id, sam.label]


def test_a_platform_scope_in_another_is_none_within_a_tenant(world: World) -> None:
    """Entries of both point to who acts, and say what program he uses."""
    sam, acme = world.actor("sam"), world.acme
    with platform_scope(actor=sam), platform_scope(actor=sam, origin=Origin(user_agent="shell")) as inner:
        assert (inner.entered, inner.pointer) == (False, sam.user_id)
        with enter_tenant(acme) as within, tenant_scope(acme, actor=sam) as nested:
            assert [(scope.entered, scope.pointer) for scope in (within, nested)] == [(True, None)] * 2
        entry = ledger.log_action(PlatformLog, None, "platform.scoped", "thing", "1")
        assert (entry.user_id, entry.agent and entry.agent.user_agent) == (sam.user_id, "shell")
