"""Runs of the migrator beside others: tenants that come, go or are migrated meanwhile; and what a run leaves behind."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from labs import ADD_NOTE, Lab, having, ledger, noted, schema
from world import World

from tenants import migrator, provisioning, template
from tenants.migrator import Manner, Outcome
from tenants.owner.access import owners_connection

INITECH: dict[str, Any] = {"slug": "initech", "name": "Initech", "domain": "initech.localhost"}


def test_what_another_run_has_applied_is_not_run_again_and_no_failure_hides_it(lab: Lab, world: World) -> None:
    """The lock of a run is lost with its connection: the tenant's row and the ledger hold then."""
    lab.add("0901_note", ADD_NOTE)
    late, made = migrator.behind(), template.compile_pending(migrator.behind()[0].applied)
    assert migrator.run() == Outcome(migrated=2)
    second = migrator._Run(Manner())
    second.go([(tenant, made) for tenant in late])
    assert second.outcome == Outcome(migrated=2)
    assert [noted(world, slug, "0901_note") for slug in ("acme", "globex")] == [1, 1]
    assert migrator._note_failure(late[0], made.steps[0], ValueError("late")) is None
    assert ledger(world, "0901_note") == dict.fromkeys(("acme", "globex"), ("applied", ""))


def test_a_failure_in_a_tenant_that_was_dropped_meanwhile_is_none(lab: Lab, world: World) -> None:
    tenant = provisioning.create_tenant(**INITECH)
    lab.add("0901_note", ADD_NOTE)
    late = {one.slug: one for one in migrator.behind()}
    step = template.compile_pending(late["acme"].applied).steps[0]
    provisioning.drop_tenant(tenant)
    assert migrator._note_failure(late["initech"], step, ValueError("gone")) is None
    assert ledger(world, "0901_note") == {}
    # The control: that of one who is here is noted.
    assert migrator._note_failure(late["acme"], step, ValueError("here")) is not None
    assert ledger(world, "0901_note") == {"acme": ("failed", "ValueError: here")}


def test_a_run_that_was_stopped_stays_so(world: World) -> None:
    run = migrator._Run(Manner(max_failures=2))
    run.stopped = True
    run._report(migrator.Failure("acme", "audit.0901_note", "why"))
    assert run.stopped


def test_a_tenant_that_the_release_before_makes_meanwhile_is_migrated_too(
    lab: Lab, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    provisioning.create_tenant(**INITECH)
    lab.add("0901_note", ADD_NOTE)
    # It is not behind, and so not there, until the run has begun.
    world.sql(
        "INSERT INTO shared.tenants_tenantmigration (tenant_id, app, name, state, error)"
        " SELECT id, 'audit', '0901_note', 'applied', '' FROM shared.tenants_tenant WHERE slug = 'initech'"
    )
    whole, seen = template.compile_pending, list[tuple[int, int]]()

    def meanwhile(applied: Any) -> template.Template:
        world.sql(
            "DELETE FROM shared.tenants_tenantmigration AS m USING shared.tenants_tenant AS t"
            " WHERE t.id = m.tenant_id AND t.slug = 'initech' AND m.name = '0901_note'"
        )
        monkeypatch.setattr(template, "compile_pending", whole)
        return whole(applied)

    monkeypatch.setattr(template, "compile_pending", meanwhile)
    progress = Manner(jobs=1, progress=lambda done, total: seen.append((done, total)))
    assert migrator.run(manner=progress) == Outcome(migrated=3)
    assert having(world) == ["acme", "globex", "initech"]
    assert seen == [(1, 2), (2, 2), (3, 3)]


def test_a_failure_says_nothing_of_what_the_rows_hold(lab: Lab, world: World) -> None:
    for digest in "ab":
        world.sql(
            f"INSERT INTO {schema(world, 'acme')}.audit_answer (digest, request, status) VALUES (%s, 'c', 4242)", digest
        )
    lab.add("0901_unique", 'migrations.RunSQL("CREATE UNIQUE INDEX lab ON audit_answer (status)")')
    outcome = migrator.run(manner=Manner(max_failures=2))
    assert [failure.error for failure in outcome.failures] == ['IntegrityError: could not create unique index "lab"']
    assert ledger(world, "0901_unique")["acme"] == ("failed", outcome.failures[0].error)


@pytest.mark.parametrize(("served", "sessions"), [(300, 1), (1, 6), (4, 2)])
def test_a_connection_serves_no_more_tenants_than_the_setting_says(
    lab: Lab, few: list[str], monkeypatch: pytest.MonkeyPatch, served: int, sessions: int
) -> None:
    monkeypatch.setattr(settings, "CONNECTION_MAX_TENANTS", served)
    lab.add("0901_note", ADD_NOTE)
    whole, used = migrator._apply, list[int]()

    def watched(*arguments: Any) -> None:
        whole(*arguments)
        used.append(owners_connection().connection.info.backend_pid)

    monkeypatch.setattr(migrator, "_apply", watched)
    assert migrator.run(manner=Manner(jobs=1)) == Outcome(migrated=6)
    assert (len(used), len(set(used))) == (6, sessions)
