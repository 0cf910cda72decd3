"""The check: what is declared stands in migrations, and in the schema of each tenant."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command
from world import World

from audit.capture import detection, registry
from audit.capture.installed import differences
from tenants.doctor.examination import examine
from tenants.doctor.facts import connect
from tenants.provisioning import create_tenant

_FUNCTION = "daybook_capture_hostapp_tag"
# What is done to one tenant's schema, and how the check tells it.
FAULTS = {
    "DROP TRIGGER daybook_update ON {s}.hostapp_tag": ("trigger daybook_update on hostapp_tag", "missing"),
    "ALTER TABLE {s}.hostapp_tag DISABLE TRIGGER daybook_delete": ("trigger daybook_delete on hostapp_tag", "changed"),
    "ALTER TABLE {s}.hostapp_tag ENABLE TRIGGER daybook_insert": ("trigger daybook_insert on hostapp_tag", "changed"),
    "CREATE TRIGGER daybook_insert AFTER INSERT ON {s}.hostapp_untold REFERENCING NEW TABLE AS new_rows "
    f"FOR EACH STATEMENT EXECUTE FUNCTION {{s}}.{_FUNCTION}()": ("trigger daybook_insert on hostapp_untold", "extra"),
    "CREATE OR REPLACE TRIGGER daybook_update AFTER UPDATE OF name ON {s}.hostapp_member "
    "FOR EACH STATEMENT EXECUTE FUNCTION {s}.daybook_capture_hostapp_member()": (
        "trigger daybook_update on hostapp_member",
        "changed",
    ),
    "CREATE OR REPLACE TRIGGER daybook_insert AFTER INSERT ON {s}.hostapp_tag REFERENCING NEW TABLE AS new_rows "
    "FOR EACH STATEMENT EXECUTE FUNCTION {s}.daybook_capture_hostapp_seat()": (
        "trigger daybook_insert on hostapp_tag",
        "changed",
    ),
    f"CREATE OR REPLACE FUNCTION {{s}}.{_FUNCTION}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
    "SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NULL; END'": (f"function {_FUNCTION}", "changed"),
    f"ALTER FUNCTION {{s}}.{_FUNCTION}() RESET search_path": (f"function {_FUNCTION}", "changed"),
    f"ALTER FUNCTION {{s}}.{_FUNCTION}() SECURITY INVOKER": (f"function {_FUNCTION}", "changed"),
    "CREATE FUNCTION {s}.daybook_capture_other() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'": (
        "function daybook_capture_other",
        "extra",
    ),
}


def test_it_finds_nothing_where_all_is_as_declared(world: World) -> None:
    out = io.StringIO()
    call_command("audit", "check", stdout=out)
    assert out.getvalue() == "Capture stands as declared in the shared schema and 2 of the tenants.\n"


@pytest.mark.parametrize("fault", FAULTS)
def test_it_finds_what_differs_in_one_tenant_of_many(world: World, fault: str) -> None:
    for number in range(3):
        create_tenant(slug=f"t{number}", name="T", domain=f"t{number}.localhost")
    world.sql(fault.format(s=world.tenant("t1").schema_name))
    subject, word = FAULTS[fault]
    out = io.StringIO()
    with pytest.raises(CommandError, match="may leave no entries"):
        call_command("audit", "check", stdout=out)
    assert out.getvalue() == f"t1: {subject} is {word}\n"
    found = [finding for finding in examine(slugs=["t1", "t2"]).findings if finding.id.startswith("capture.")]
    assert [(each.where, each.id, each.object) for each in found] == [("t1", f"capture.{word}", subject)]


def test_it_finds_what_differs_in_the_shared_tables(world: World) -> None:
    world.sql("DROP TRIGGER daybook_update ON shared.tenants_user")
    with connect("owner") as connection:
        (found,) = differences(connection, [])
    assert (found.schema, found.subject, found.word) == ("shared", "trigger daybook_update on tenants_user", "missing")


def test_it_refuses_a_tenant_that_is_not_there(world: World) -> None:
    with pytest.raises(CommandError, match="no tenant 'nobody'"):
        call_command("audit", "check", tenant=["nobody"])


def test_it_looks_at_the_tenants_that_are_named_alone(world: World) -> None:
    world.sql(f"DROP TRIGGER daybook_update ON {world.globex.schema_name}.hostapp_tag")
    call_command("audit", "check", tenant=["acme"], stdout=io.StringIO())


def test_what_is_declared_and_in_no_migration_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    from hostapp.models import Tag, Untold

    assert detection.check_migrations() == []
    declared = dict(registry._declared)
    monkeypatch.setattr(registry, "_declared", declared)
    registry.register(Untold, label=None)
    declared[Tag] = registry.Declaration(mask=frozenset({"name"}))
    told = {(error.id, error.msg.partition(":")[0]) for error in detection.check_migrations()}
    assert told == {
        ("daybook.E010", "Capture changes of hostapp_untold"),
        ("daybook.E010", "Capture changes of hostapp_tag"),
    }
    del declared[Tag]
    assert "Release hostapp_tag from capture" in str(detection.check_migrations())


def test_makemigrations_writes_what_is_lacking(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from hostapp.models import Untold

    monkeypatch.setattr(registry, "_declared", dict(registry._declared))
    registry.register(Untold)
    out = io.StringIO()
    call_command("makemigrations", "hostapp", dry_run=True, verbosity=3, stdout=out)
    assert "Capture changes of hostapp_untold" in out.getvalue()
    assert "columns=[['id', 'id', 'bigint'], ['value', 'value', 'integer']]" in out.getvalue()
