"""Jobs: what is done elsewhere is done in the name of whoever enqueued it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import chain
from celery.contrib.testing.worker import start_worker
from django.db import transaction
from hostapp import jobs
from hostapp.models import Organization
from world import World

from audit.models import AuditLog
from tenants import carrying, provisioning
from tenants.context import SYSTEM, Actor, act_as, scope_or_none
from tenants.errors import NotFound, TenantSuspended


@pytest.fixture
def worker(world: World) -> Iterator[None]:
    """A real worker, in a thread of its own, for this world."""
    with start_worker(jobs.app, perform_ping_check=False, shutdown_timeout=30):
        yield


def history(world: World, key: Any) -> list[AuditLog]:
    with world.scope("acme"):
        return list(AuditLog.get_resource_history("organization", key).select_related("agent"))


@pytest.mark.usefixtures("worker")
def test_a_job_acts_for_whoever_enqueued_it_and_the_next_one_for_nobody(world: World) -> None:
    with world.scope("acme", "alice", request_id="r-5", ip="203.0.113.7"):
        made = Organization.objects.create(name="North", slug="north")
        key = str(made.pk)
        transaction.on_commit(lambda: renamed.append(jobs.rename.delay(key, "South")))
        renamed: list[Any] = []
    assert renamed[0].get(timeout=20) == "alice@acme.example"
    assert jobs.whose.delay().get(timeout=20) is None
    entry = history(world, made.pk)[0]
    assert entry.all_changes == {"name": {"old": "North", "new": "South"}}
    assert (entry.actor_label, entry.user_id) == ("alice@acme.example", world.person("alice").pk)
    assert (entry.request_id, entry.source, entry.ip) == ("r-5", "job", None)
    assert entry.agent
    assert entry.agent.user_agent == "celery hostapp.jobs.rename"


@pytest.mark.usefixtures("worker")
def test_a_job_that_fails_leaves_nothing(world: World) -> None:
    with world.scope("acme", "alice"):
        made = Organization.objects.create(name="North", slug="north")
    with world.scope("acme", "alice"):
        failed = jobs.fail.delay(str(made.pk))
    with pytest.raises(ValueError, match="on purpose"):
        failed.get(timeout=20)
    assert [entry.action for entry in history(world, made.pk)] == ["created"]
    assert jobs.whose.delay().get(timeout=20) is None


@pytest.mark.usefixtures("worker")
def test_what_the_schedule_asks_for_is_done_by_the_schedule(world: World) -> None:
    jobs.nightly.delay("acme").get(timeout=20)
    with world.scope("acme"):
        (entry,) = AuditLog.objects.of_resource_type("organization").select_related("agent")
    assert (entry.actor_type, entry.actor_id) == ("system", "beat")
    assert entry.agent.user_agent == "celery hostapp.jobs.nightly"


def test_a_ticket_tells_tenant_actor_and_request(world: World) -> None:
    by = Actor("staff", "s-1", "Sam")
    with world.scope("acme", request_id="r-1"):
        act_as(Actor("user", "u-1", "Ann", impersonator=by))
        told = carrying.ticket()
    assert told
    with carrying.go_on(told, name="job") as scope:
        assert scope.tenant
        assert (scope.tenant.slug, scope.actor, scope.origin.request_id) == (
            "acme",
            Actor("user", "u-1", "Ann", impersonator=by),
            "r-1",
        )
    assert scope_or_none() is None


def test_a_ticket_of_the_platform_goes_on_at_the_platform(world: World) -> None:
    with world.platform("sam"):
        told = carrying.ticket()
    assert told
    with carrying.go_on(told, name="job") as scope:
        assert (scope.tenant, scope.actor.label) == (None, "sam@daybook.example")


def test_there_is_no_ticket_outside_a_scope(world: World) -> None:
    assert carrying.ticket() is None


def test_a_job_of_a_tenant_that_is_gone_is_refused(world: World) -> None:
    actor = ["system", "daybook", SYSTEM.label, None, None]
    for tenant in ([str(world.acme.id), "gone"], [str(world.globex.id), "acme"]):
        told = {"tenant": tenant, "actor": actor, "request_id": None}
        with pytest.raises(NotFound, match=tenant[1]), carrying.go_on(told, name="job"):
            pytest.fail("it was entered")


def test_a_job_of_a_suspended_tenant_waits(world: World) -> None:
    with world.scope("acme"):
        told = carrying.ticket()
    assert told
    provisioning.suspend_tenant(world.acme, actor=world.actor("sam"), reason="unpaid")
    with pytest.raises(TenantSuspended), carrying.go_on(told, name="job"):
        pytest.fail("it was entered")


def test_what_is_enqueued_after_the_actor_changed_does_not_keep_the_database_from_hearing_of_it(world: World) -> None:
    with world.scope("acme"):
        act_as(Actor("user", "late", "Late"))
        assert (carrying.ticket() or {})["actor"][1] == "late"
        made = Organization.objects.create(name="North", slug="n")
    assert history(world, made.pk)[0].actor_label == "Late"


@pytest.mark.usefixtures("worker")
def test_the_next_task_of_a_chain_acts_for_the_same_person(world: World) -> None:
    with world.scope("acme", "alice"):
        made = Organization.objects.create(name="North", slug="north")
    with world.scope("acme", "alice"):
        key = str(made.pk)
        last = chain(jobs.rename.si(key, "South"), jobs.rename.si(key, "West")).delay()
    assert last.get(timeout=20) == "alice@acme.example"
    assert [entry.actor_label for entry in history(world, made.pk)] == ["alice@acme.example"] * 3
    assert jobs.whose.delay().get(timeout=20) is None


@pytest.mark.usefixtures("worker")
def test_a_task_that_is_sent_by_its_name_has_its_ticket(world: World) -> None:
    with world.scope("acme", "bob"):
        sent = jobs.app.send_task("hostapp.jobs.whose")
    assert sent.get(timeout=20) == "bob@acme.example"
