"""Migrations reach every tenant once: whatever fails, waits, is killed or is already there."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.db import OperationalError
from labs import ADD_NOTE, Lab, having, ledger, noted, schema
from schemas import catalogs, differences
from world import World

from tenants import migrator, provisioning, template
from tenants.errors import NotFound
from tenants.migrator import Busy, Manner, Outcome
from tenants.owner.access import owners_connection

INITECH: dict[str, Any] = {"slug": "initech", "name": "Initech", "domain": "initech.localhost"}
PYTHON = """
def copy(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_key")
        cursor.execute("CREATE TABLE lab (keys bigint)")
        cursor.execute("INSERT INTO lab SELECT count(*) FROM audit_key")
"""


def test_where_nothing_is_pending_nothing_is_compiled_and_no_tenant_is_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_applied: object) -> template.Template:
        raise AssertionError("compiled")

    monkeypatch.setattr(template, "compile_pending", never)
    assert migrator.behind() == []
    assert migrator.run() == Outcome(migrated=0, left=0, failures=[])


def test_the_state_of_all_tenants_is_one_query_however_many_there_are(lab: Lab, few: list[str]) -> None:
    lab.add("0901_note", ADD_NOTE)
    asked: list[str] = []

    def watch(execute: Any, statement: str, *rest: Any) -> Any:
        asked.append(statement)
        return execute(statement, *rest)

    with owners_connection().execute_wrapper(watch):
        assert [tenant.slug for tenant in migrator.behind()] == few
    assert len(asked) == 1


def test_a_new_column_and_its_index_come_to_every_tenant_and_are_noted_in_both_places(
    lab: Lab, few: list[str], world: World
) -> None:
    lab.add("0901_note", ADD_NOTE)
    seen: list[tuple[int, int]] = []
    outcome = migrator.run(manner=Manner(progress=lambda done, total: seen.append((done, total))))
    assert outcome == Outcome(migrated=6, left=0, failures=[])
    assert seen == [(done, 6) for done in range(1, 7)]
    assert having(world) == few
    assert ledger(world, "0901_note") == dict.fromkeys(few, ("applied", ""))
    assert [noted(world, slug, "0901_note") for slug in few] == [1] * 6
    assert migrator.run() == Outcome()


def test_a_migrated_tenant_is_like_one_that_is_made_afterwards(lab: Lab, world: World) -> None:
    lab.add("0901_note", ADD_NOTE)
    lab.add("0902_python", "migrations.RunPython(copy)", body=PYTHON)
    migrator.run()
    provisioning.create_tenant(**INITECH)
    assert differences(catalogs(world, "acme"), catalogs(world, "initech")) == {}
    world.sql(f"DROP INDEX {schema(world, 'acme')}.note")
    assert "indexes" in differences(catalogs(world, "acme"), catalogs(world, "initech"))


def test_a_migration_that_fails_in_one_tenant_leaves_that_one_as_it_was_and_is_tried_again(
    lab: Lab, few: list[str], world: World
) -> None:
    world.sql(f"INSERT INTO {schema(world, 't2')}.audit_answer (digest, request) VALUES ('a', 'b')")
    lab.add("0901_note", ADD_NOTE)
    lab.add("0902_check", 'migrations.RunSQL("ALTER TABLE audit_answer ADD CHECK (status IS NOT NULL)")')
    lab.add("0903_after", 'migrations.RunSQL("ALTER TABLE audit_answer ADD COLUMN later text")')
    outcome = migrator.run(manner=Manner(max_failures=9))
    assert (outcome.migrated, outcome.left) == (5, 0)
    assert [(failure.slug, failure.migration) for failure in outcome.failures] == [("t2", "audit.0902_check")]
    state, error = ledger(world, "0902_check").pop("t2")
    assert state == "failed"
    assert "violated by some row" in error == outcome.failures[0].error
    # What came before it stands, what comes after it was not begun.
    assert having(world) == few
    assert having(world, "later") == [slug for slug in few if slug != "t2"]
    assert [noted(world, "t2", name) for name in ("0901_note", "0902_check", "0903_after")] == [1, 0, 0]
    world.sql(f"UPDATE {schema(world, 't2')}.audit_answer SET status = 1")
    assert migrator.run() == Outcome(migrated=1)
    assert having(world, "later") == few
    assert ledger(world, "0902_check") == dict.fromkeys(few, ("applied", ""))


@pytest.mark.parametrize(("most", "jobs"), [(1, 1), (3, 1), (1, 2)])
def test_it_stops_after_so_many_failures(lab: Lab, few: list[str], world: World, most: int, jobs: int) -> None:
    for slug in few:
        world.sql(f"INSERT INTO {schema(world, slug)}.audit_answer (digest, request) VALUES ('a', 'b')")
    lab.add("0901_check", 'migrations.RunSQL("ALTER TABLE audit_answer ADD CHECK (status IS NOT NULL)")')
    outcome = migrator.run(manner=Manner(max_failures=most, jobs=jobs))
    # With two at work, the other one ends what it has begun.
    assert most <= len(outcome.failures) < most + jobs
    assert outcome.migrated == 0
    assert outcome.left == 6 - len(outcome.failures)
    assert ledger(world, "0901_check").keys() == {failure.slug for failure in outcome.failures}


def test_python_runs_in_each_tenants_own_schema(lab: Lab, world: World) -> None:
    world.sql(f"INSERT INTO {schema(world, 'globex')}.audit_key VALUES ('a', uuidv7()), ('b', uuidv7())")
    lab.add("0901_python", "migrations.RunPython(copy)", body=PYTHON)
    lab.add("0902_after", 'migrations.RunSQL("ALTER TABLE lab ADD COLUMN after int")')
    assert migrator.run() == Outcome(migrated=2)
    kept = {slug: world.sql(f"SELECT keys FROM {schema(world, slug)}.lab") for slug in ("acme", "globex")}
    assert kept["globex"] == [(2,)]
    assert kept["acme"] != kept["globex"]
    assert world.sql("SELECT count(*) FROM pg_class WHERE relname = 'lab'") == [(2,)]
    assert having(world, "after", "lab") == ["acme", "globex"]


def test_python_sees_the_models_of_its_time(lab: Lab, world: World) -> None:
    model = (
        'migrations.CreateModel("Lab", [("id", models.BigAutoField(primary_key=True)), ("old", models.TextField())], '
        'options={"db_table": "lab"})'
    )
    body = (
        "def fill(apps, schema_editor):\n    alias = schema_editor.connection.alias\n"
        "    apps.get_model('audit', 'Lab').objects.using(alias).create(old='then')\n"
    )
    lab.add("0901_model", model)
    lab.add("0902_fill", "migrations.RunPython(fill)", body=body)
    lab.add("0903_rename", 'migrations.RenameField("lab", "old", "new")')
    assert migrator.run() == Outcome(migrated=2)
    for slug in ("acme", "globex"):
        assert world.sql(f"SELECT new FROM {schema(world, slug)}.lab") == [("then",)]


def test_python_that_fails_takes_back_what_it_did_and_says_why(lab: Lab, world: World) -> None:
    body = (
        "def fail(apps, schema_editor):\n    schema_editor.execute('CREATE TABLE lab (id int)')\n"
        "    if not schema_editor.connection.schema_name.startswith('canary_'):\n        {}['why']\n"
    )
    lab.add("0901_python", "migrations.RunPython(fail)", body=body)
    outcome = migrator.run(manner=Manner(max_failures=2))
    assert [failure.error for failure in outcome.failures] == ["KeyError: 'why'"] * 2
    assert world.sql("SELECT count(*) FROM pg_class WHERE relname = 'lab'") == [(0,)]
    assert ledger(world, "0901_python") == dict.fromkeys(("acme", "globex"), ("failed", "KeyError: 'why'"))


def test_what_fails_on_the_canary_reaches_no_tenant(lab: Lab, world: World) -> None:
    from django.db import ProgrammingError

    lab.add("0901_note", ADD_NOTE)
    lab.add("0902_wrong", 'migrations.RunSQL("ALTER TABLE nowhere ADD COLUMN note text")')
    with pytest.raises(ProgrammingError, match="nowhere"):
        migrator.run()
    assert (having(world), ledger(world, "0901_note")) == ([], {})


def test_tenants_in_different_states_get_what_each_lacks(
    lab: Lab, few: list[str], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.add("0901_note", ADD_NOTE)
    assert migrator.run(["t1", "t3"]) == Outcome(migrated=2)
    lab.add("0902_rename", 'migrations.RunSQL("ALTER TABLE audit_answer RENAME COLUMN note TO remark")')
    compiled: list[list[str]] = []
    whole = template.compile_pending

    def watched(applied: Any) -> template.Template:
        made = whole(applied)
        compiled.append([step.name for step in made.steps])
        return made

    monkeypatch.setattr(template, "compile_pending", watched)
    assert migrator.run() == Outcome(migrated=6)
    assert sorted(compiled) == [["0901_note", "0902_rename"], ["0902_rename"]]
    assert having(world, "remark") == few
    assert having(world, "note") == []


def test_only_the_tenants_that_are_named_are_migrated(lab: Lab, few: list[str], world: World) -> None:
    lab.add("0901_note", ADD_NOTE)
    assert migrator.plan(["t1"]) == ([], {"audit.0901_note": 1})
    assert migrator.run(["t1", schema(world, "acme")]) == Outcome(migrated=2)
    assert having(world) == ["acme", "t1"]
    assert migrator.plan() == ([], {"audit.0901_note": 4})


def test_a_tenant_that_is_not_there_is_refused_before_anything_is_done(lab: Lab, world: World) -> None:
    lab.add("0901_note", ADD_NOTE)
    with pytest.raises(NotFound, match="no tenant 'nope'"):
        migrator.run(["acme", "nope"])
    assert having(world) == []


def test_a_second_run_at_the_same_time_is_told_so(lab: Lab, world: World) -> None:
    lab.add("0901_note", ADD_NOTE)
    with migrator._alone(), pytest.raises(Busy, match="run this again"):
        migrator.run()
    assert having(world) == []
    assert migrator.run() == Outcome(migrated=2)


def lock(world: World, *slugs: str) -> psycopg.Connection[Any]:
    """Hold the tables of tenants as a long transaction would."""
    holder = psycopg.connect(world.superuser, dbname=world.database)
    for slug in slugs:
        holder.execute(f"LOCK TABLE {schema(world, slug)}.audit_answer IN ACCESS SHARE MODE".encode())
    return holder


def test_a_table_in_use_fails_after_three_waits_and_harms_no_other_tenant(lab: Lab, world: World) -> None:
    lab.add("0901_note", ADD_NOTE)
    with lock(world, "acme"):
        outcome = migrator.run(manner=Manner(lock_timeout=0.05, max_failures=2))
    assert [(failure.slug, "lock timeout" in failure.error) for failure in outcome.failures] == [("acme", True)]
    assert having(world) == ["globex"]
    assert migrator.run() == Outcome(migrated=1)
    assert having(world) == ["acme", "globex"]


def test_a_table_that_becomes_free_is_migrated_without_a_failure(
    lab: Lab, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.add("0901_note", ADD_NOTE)
    holder, refused, whole = lock(world, "acme"), [], migrator._apply

    def watched(*arguments: Any) -> None:
        try:
            whole(*arguments)
        except OperationalError as error:
            refused.append(str(error))
            holder.close()
            raise

    monkeypatch.setattr(migrator, "_apply", watched)
    assert migrator.run(manner=Manner(lock_timeout=0.1)) == Outcome(migrated=2)
    assert len(refused) == 1
    assert having(world) == ["acme", "globex"]


def test_a_tenant_that_was_dropped_meanwhile_is_passed_over_and_makes_no_table_elsewhere(
    lab: Lab, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = provisioning.create_tenant(**INITECH)
    lab.add("0901_table", 'migrations.RunSQL("CREATE TABLE lab (id int)")')
    whole = template.compile_pending

    def meanwhile(applied: Any) -> template.Template:
        provisioning.drop_tenant(tenant)
        return whole(applied)

    monkeypatch.setattr(template, "compile_pending", meanwhile)
    assert migrator.run() == Outcome(migrated=3)
    places = world.sql("SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = 'lab' ORDER BY 1")
    assert places == [(name,) for name in sorted([schema(world, "acme"), schema(world, "globex")])]


def test_a_squashed_migration_is_noted_where_its_parts_were_applied(lab: Lab, world: World) -> None:
    first = lab.last
    lab.add("0901_note", ADD_NOTE)
    lab.add("0902_more", 'migrations.RunSQL("ALTER TABLE audit_answer ADD COLUMN more text")')
    migrator.run(["acme"])
    lab.last = first
    both = f'{ADD_NOTE}, migrations.RunSQL("ALTER TABLE audit_answer ADD COLUMN more text")'
    lab.add("0903_squashed", both, attributes='replaces = [("audit", "0901_note"), ("audit", "0902_more")]')
    assert migrator.run() == Outcome(migrated=2)
    assert having(world, "more") == ["acme", "globex"]
    assert ledger(world, "0903_squashed") == dict.fromkeys(("acme", "globex"), ("applied", ""))


def test_a_schema_that_was_emptied_is_built_again(world: World) -> None:
    name = schema(world, "acme")
    world.sql(f"DROP SCHEMA {name} CASCADE")
    world.sql(f"CREATE SCHEMA {name} AUTHORIZATION daybook_owner")
    world.sql("DELETE FROM shared.tenants_tenantmigration WHERE tenant_id = %s", world.acme.id)
    assert migrator.run() == Outcome(migrated=1)
    found = differences(catalogs(world, "acme"), catalogs(world, "globex"))
    assert set(found) == {"the schema"}


def test_the_shared_schema_comes_first(lab: Lab, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.add("0901_note", ADD_NOTE)
    order: list[str] = []

    def shared(command: str, **options: Any) -> None:
        order.append(f"{command} {options['shared']} {having(world)}")

    monkeypatch.setattr(migrator, "call_command", shared)
    migrator.run()
    assert order == ["migrate_schemas True []"]
    assert having(world) == ["acme", "globex"]


def test_nothing_of_djangos_afterwork_is_done_per_tenant(lab: Lab, world: World) -> None:
    from django.db.models.signals import post_migrate, pre_migrate

    def never(**_kwargs: Any) -> None:
        raise AssertionError("signalled")

    types = world.sql("SELECT count(*) FROM shared.django_content_type")
    lab.add("0901_model", 'migrations.CreateModel("Lab", [("id", models.BigAutoField(primary_key=True))])')
    for signal in (pre_migrate, post_migrate):
        signal.connect(never)
    try:
        assert migrator.run(shared=False) == Outcome(migrated=2)
        with pytest.raises(AssertionError, match="signalled"):
            migrator.run()
    finally:
        for signal in (pre_migrate, post_migrate):
            signal.disconnect(never)
    assert world.sql("SELECT count(*) FROM shared.django_content_type") == types
