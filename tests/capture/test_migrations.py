"""Tables change: what is captured goes on with them, and what was captured stays readable."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.db import ProgrammingError, connections, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import AddField, CreateModel, RemoveField
from django.db.migrations.state import ProjectState
from hostapp.models import Tag, Untold
from world import World

from audit.capture import detection
from audit.capture.operation import Capture, Release
from audit.capture.registry import declared
from audit.capture.spec import Column, Spec
from audit.models import AuditLog

FIRST = Spec(
    table="hostapp_untold",
    resource_type="untold",
    key=(Column("id", "id", "bigint"),),
    columns=(Column("id", "id", "bigint"), Column("value", "value", "integer")),
)
# Its columns after another was added, renamed, and dropped again.
SECOND = replace(FIRST, columns=(*FIRST.columns, Column("word", "word", "text")))
THIRD = replace(FIRST, columns=(*FIRST.columns, Column("term", "term", "text")))


def migrate(world: World, *steps: str | Capture | Release) -> None:
    """Do what a migration does in acme's schema, in one transaction."""
    connection: Any = connections["owner"]
    with connection.in_schema(world.acme.schema_name), connection.schema_editor(atomic=True) as editor:
        for step in steps:
            if isinstance(step, str):
                editor.execute(step, None)
            else:
                step.database_forwards("hostapp", editor, ProjectState(), ProjectState())


def told(world: World) -> list[Any]:
    with world.scope("acme"):
        return [entry.all_changes for entry in AuditLog.objects.of_resource_type("untold").order_by("id")]


def test_code_of_before_and_after_a_migration_is_captured_in_between(world: World) -> None:
    migrate(world, Capture(**FIRST.deconstruct()))
    with world.scope("acme"):
        row = Untold.objects.create(value=1)
    migrate(world, "ALTER TABLE hostapp_untold ADD COLUMN word text", Capture(**SECOND.deconstruct()))
    with world.scope("acme"):
        # The code of before knows nothing of the new column, that of after writes it.
        Untold.objects.create(value=2)
        with connections["default"].cursor() as cursor:
            cursor.execute("UPDATE hostapp_untold SET word = 'new' WHERE id = %s", [row.pk])
    migrate(world, "ALTER TABLE hostapp_untold RENAME COLUMN word TO term", Capture(**THIRD.deconstruct()))
    with world.scope("acme"), connections["default"].cursor() as cursor:
        cursor.execute("UPDATE hostapp_untold SET term = 'newer' WHERE id = %s", [row.pk])
    migrate(world, "ALTER TABLE hostapp_untold DROP COLUMN term", Capture(**FIRST.deconstruct()))
    with world.scope("acme"):
        Untold.objects.filter(pk=row.pk).update(value=3)
    assert told(world) == [
        {"value": {"new": 1}},
        {"value": {"new": 2}},
        {"word": {"old": None, "new": "new"}},
        {"term": {"old": "new", "new": "newer"}},
        {"value": {"old": 1, "new": 3}},
    ]


def test_a_column_that_is_dropped_without_a_word_stops_writes_and_loses_no_entry(world: World) -> None:
    migrate(world, Capture(**FIRST.deconstruct()), "ALTER TABLE hostapp_untold RENAME COLUMN value TO other")
    before = world.entries("acme")
    with pytest.raises(ProgrammingError, match="value"), world.scope("acme"), connections["default"].cursor() as cursor:
        cursor.execute("INSERT INTO hostapp_untold (other) VALUES (1)")
    assert world.entries("acme") == before
    assert world.sql(f"SELECT count(*) FROM {world.acme.schema_name}.hostapp_untold") == [(0,)]


def test_what_was_captured_of_a_table_that_is_gone_stays(world: World) -> None:
    with world.scope("acme"):
        made = Tag.objects.create(name="vip")
    migrate(world, "DROP TABLE hostapp_tag CASCADE", Release("hostapp_tag"))
    with world.scope("acme"):
        (entry,) = AuditLog.get_resource_history("tag", made.pk)
        assert entry.all_changes == {"name": {"new": "vip"}}
    assert functions(world) & {"daybook_capture_hostapp_tag"} == set()


def test_a_release_ends_the_capture_and_its_reversal_would_need_a_new_one(world: World) -> None:
    migrate(world, Capture(**FIRST.deconstruct()), Release("hostapp_untold"))
    with world.scope("acme"):
        Untold.objects.create(value=1)
    assert told(world) == []
    assert not Release("hostapp_untold").reversible
    assert Capture(**FIRST.deconstruct()).reversible


def test_a_capture_that_is_undone_leaves_nothing(world: World) -> None:
    operation = Capture(**FIRST.deconstruct())
    migrate(world, operation)
    connection: Any = connections["owner"]
    with connection.in_schema(world.acme.schema_name), connection.schema_editor(atomic=True) as editor:
        operation.database_backwards("hostapp", editor, ProjectState(), ProjectState())
    assert functions(world) & {FIRST.function} == set()
    with world.scope("acme"):
        Untold.objects.create(value=1)
    assert told(world) == []


def functions(world: World) -> set[str]:
    query = "SELECT proname FROM pg_proc WHERE pronamespace = %s::regnamespace"
    return {name for (name,) in world.sql(query, world.acme.schema_name)}


def test_an_operation_is_written_as_it_is_read() -> None:
    for specs in declared().values():
        for spec in specs.values():
            name, positional, named = Capture(**spec.deconstruct()).deconstruct()
            assert (name, positional) == ("Capture", [])
            assert Capture(**named).spec == spec
    assert Release("x").deconstruct() == ("Release", [], {"table": "x"})


def changes(monkeypatch: pytest.MonkeyPatch, change: Any, specs: dict[str, Spec], gone: str | None = None) -> list[Any]:
    """Return the operations that makemigrations finds for hostapp after a change of its models."""
    wanted = declared()
    wanted["hostapp"] |= specs
    if gone:
        del wanted["hostapp"][gone]
    monkeypatch.setattr(detection, "declared", lambda: wanted)
    graph = MigrationLoader(None).graph
    before, after = graph.make_state(), ProjectState.from_apps(apps)
    change(after)
    found = detection.Autodetector(before, after).changes(graph=graph).get("hostapp", [])
    return [operation for migration in found for operation in migration.operations]


def test_a_new_column_is_captured_in_the_migration_that_adds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tag = declared()["hostapp"]["hostapp_tag"]
    wider = replace(tag, columns=(*tag.columns, Column("extra", "extra", "integer")))
    added, captured = changes(
        monkeypatch,
        lambda state: state.add_field("hostapp", "tag", "extra", models.IntegerField(null=True), True),
        {"hostapp_tag": wider},
    )
    assert (type(added), type(captured)) == (AddField, Capture)
    assert captured.spec == wider
    assert captured.migration_name_fragment == "capture_hostapp_tag"
    assert captured.describe() == "Capture changes of hostapp_tag"


def test_a_dropped_column_is_dropped_before_the_capture_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    tag = declared()["hostapp"]["hostapp_tag"]
    narrower = replace(tag, columns=tag.columns[:1], label=None)
    dropped, captured = changes(
        monkeypatch, lambda state: state.remove_field("hostapp", "tag", "name"), {"hostapp_tag": narrower}
    )
    assert (type(dropped), type(captured)) == (RemoveField, Capture)


def test_a_model_that_goes_is_released_first(monkeypatch: pytest.MonkeyPatch) -> None:
    found = changes(monkeypatch, lambda state: state.remove_model("hostapp", "counter"), {}, gone="hostapp_counter")
    assert [type(operation).__name__ for operation in found] == ["Release", "DeleteModel"]


def test_a_new_model_is_captured_after_it_is_made() -> None:
    operations = [operation for operation in _initial() if isinstance(operation, CreateModel | Capture)]
    created = {
        f"hostapp_{it.name_lower}": number for number, it in enumerate(operations) if isinstance(it, CreateModel)
    }
    for number, operation in enumerate(operations):
        if isinstance(operation, Capture) and operation.spec.table in created:
            assert created[operation.spec.table] < number


def _initial() -> list[Any]:
    return list(MigrationLoader(None).graph.nodes["hostapp", "0001_initial"].operations)


def test_the_owner_of_a_hardened_database_installs_captures_and_replaces_no_guard(world: World) -> None:
    migrate(world, Capture(**FIRST.deconstruct()))
    connection: Any = connections["owner"]
    with pytest.raises(ProgrammingError), connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE PROCEDURE guard.capture(a text, b text, c text) LANGUAGE sql AS ''")
    with world.scope("acme"):
        Untold.objects.create(value=1)
    assert told(world) == [{"value": {"new": 1}}]
    with pytest.raises(psycopg.DatabaseError), psycopg.connect(**world.dsn("acme")) as tenant:
        tenant.execute("CALL guard.release('hostapp_tag', 'daybook_capture_hostapp_tag')")
