"""A schema made from the template is the one that the migrations make, and the template follows the migrations."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from labs import ADD_NOTE, Lab
from schemas import QUESTIONS, catalogs, differences, names
from world import World

from tenants import provisioning, template
from tenants.models import Tenant
from tenants.owner.access import OWNER, owners_connection
from tenants.template import Unreplayable

INITECH: dict[str, Any] = {"slug": "initech", "name": "Initech", "domain": "initech.localhost"}
HOOLI: dict[str, Any] = {"slug": "hooli", "name": "Hooli", "domain": "hooli.localhost"}


def migrated(connection: Any, tenant: Tenant, made: template.Template) -> None:
    """Build a schema as Django does: one migration after the other, with no template."""
    from django.db.migrations.executor import MigrationExecutor

    with connection.in_schema(tenant.schema_name):
        executor = MigrationExecutor(connection)
        executor.migrate([node for node in executor.loader.graph.leaf_nodes() if node[0] == "audit"])


def both(world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the catalogs of a tenant made from the template, and of one made by Django's migrations."""
    provisioning.create_tenant(**INITECH)
    with monkeypatch.context() as patch:
        patch.setattr(provisioning, "_build", migrated)
        provisioning.create_tenant(**HOOLI)
    return catalogs(world, "initech"), catalogs(world, "hooli")


def columns(world: World, slug: str, table: str) -> list[str]:
    """Return the names of a table's columns in a tenant's schema."""
    query = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum"
    return [row[0] for row in world.sql(query, f"{world.tenant(slug).schema_name}.{table}")]


def test_a_templated_schema_is_a_migrated_one_to_the_last_catalog(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    templated, by_django = both(world, monkeypatch)
    assert differences(templated, by_django) == {}
    empty = [kind for kind, rows in templated.items() if not rows and kind != "functions"]
    assert empty == []


DRIFTS = {
    "ALTER TABLE {s}.audit_key ADD COLUMN extra text": {"columns"},
    "ALTER TABLE {s}.audit_key ALTER COLUMN created_at SET DEFAULT 'epoch'": {"columns"},
    "DROP INDEX {s}.audit_answer_created_at": {"relations", "owners", "indexes"},
    "ALTER TABLE {s}.audit_log ADD CHECK (outcome <> 'denied') NOT VALID": {"constraints"},
    "ALTER TABLE {s}.audit_log ENABLE TRIGGER refuse_truncate": {"triggers"},
    "DROP TRIGGER refuse_truncate ON {s}.audit_log_default": {"triggers"},
    "DROP POLICY read ON {s}.audit_log": {"policies"},
    "ALTER TABLE {s}.audit_log DISABLE ROW LEVEL SECURITY": {"relations"},
    "GRANT UPDATE ON {s}.audit_log TO {r}": {"grants"},
    "REVOKE UPDATE (user_id) ON {s}.audit_log FROM daybook_guard": {"grants on columns"},
    "ALTER TABLE {s}.audit_key OWNER TO postgres": {"owners", "grants"},
    "ALTER TABLE {s}.audit_log DETACH PARTITION {s}.audit_log_default": {"parents", "relations"},
    "CREATE FUNCTION {s}.f() RETURNS int LANGUAGE sql RETURN 1": {"functions"},
    "GRANT CREATE ON SCHEMA {s} TO {r}": {"the schema"},
    "DELETE FROM {s}.django_migrations WHERE name = '0001_initial'": {"migrations"},
}


def test_each_drift_that_is_planted_is_found(world: World) -> None:
    globex, (schema, role) = catalogs(world, "globex"), names(world, "acme")
    assert differences(catalogs(world, "acme"), globex) == {}
    assert set().union(*DRIFTS.values()) == set(QUESTIONS)
    with psycopg.connect(world.superuser, dbname=world.database) as connection:
        for drift, kinds in DRIFTS.items():
            connection.execute(drift.format(s=schema, r=role).encode())
            seen = catalogs(world, "acme", lambda query: connection.execute(query.encode()).fetchall())
            connection.rollback()
            assert kinds <= set(differences(seen, globex)), drift


def test_the_statements_are_single_and_name_no_schema(world: World) -> None:
    from psycopg import pq

    made = template.compile_pending(())
    statements = [*made.base, *(line for step in made.steps for line in step.statements or ())]
    assert len(statements) > 20
    assert not any("canary" in line or world.acme.schema_name in line for line in statements)
    # The server itself says whether a message of the extended protocol holds more than one.
    with owners_connection().cursor() as cursor:
        pgconn = cursor.connection.pgconn
        for statement in statements:
            assert b"multiple commands" not in pgconn.prepare(b"", statement.encode()).error_message, statement
        both = pgconn.prepare(b"", f"{statements[0]};{statements[1]}".encode())
        assert (both.status, b"multiple commands" in both.error_message) == (pq.ExecStatus.FATAL_ERROR, True)


def test_compiling_leaves_nothing_behind(world: World) -> None:
    def standing() -> list[tuple[Any, ...]]:
        return world.sql("SELECT nspname FROM pg_namespace ORDER BY 1")

    before, tables = standing(), world.sql("SELECT count(*) FROM pg_class")
    template.compile_pending(())
    assert (standing(), world.sql("SELECT count(*) FROM pg_class")) == (before, tables)
    assert owners_connection().schema_name == "shared"


def test_migrations_of_shared_applications_are_in_no_tenants_schema(world: World) -> None:
    assert {step.app for step in template.compile_pending(()).steps} == {"audit"}
    assert {app for app, _ in template.wanted()} == {"audit"}
    applied = world.sql(f"SELECT DISTINCT app FROM {world.acme.schema_name}.django_migrations")
    assert applied == [("audit",)]
    tables = world.sql("SELECT tablename FROM pg_tables WHERE schemaname = %s", world.acme.schema_name)
    assert not [name for (name,) in tables if name.startswith(("tenants_", "auth_", "subscriptions_"))]


def test_the_template_is_kept_in_the_database_and_found_there_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = template.current()
    template._kept.clear()

    def never(_applied: object) -> template.Template:
        raise AssertionError("compiled anew")

    monkeypatch.setattr(template, "compile_pending", never)
    assert template.current() == made
    assert world.sql("SELECT count(*) FROM shared.tenants_schematemplate") == [(1,)]
    world.sql("DELETE FROM shared.tenants_schematemplate")
    assert template.current() == made
    template._kept.clear()
    with pytest.raises(AssertionError, match="compiled anew"):
        template.current()


def test_nobody_but_the_owner_reads_the_template(world: World) -> None:
    from django.db import ProgrammingError
    from units import run

    for scope in (world.platform(), world.scope("acme")):
        with pytest.raises(ProgrammingError, match="permission denied"), scope:
            run("SELECT * FROM shared.tenants_schematemplate")


def test_another_migration_gives_another_template(lab: Lab, world: World) -> None:
    before, old = template.fingerprint(), template.current()
    lab.add("0901_note", ADD_NOTE)
    assert template.fingerprint() != before
    new = template.current()
    assert new.steps[:-1] == old.steps
    assert new.steps[-1].statements == (
        "ALTER TABLE audit_answer ADD COLUMN note text",
        "CREATE INDEX note ON audit_answer (note)",
    )
    provisioning.create_tenant(**INITECH)
    assert "note" in columns(world, "initech", "audit_answer")
    assert "note" not in columns(world, "acme", "audit_answer")


def test_another_text_of_a_loaded_script_gives_another_fingerprint(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = template.fingerprint()
    operation = template._migration(("audit", "0002_trail")).operations[0]
    with monkeypatch.context() as patch:
        patch.setattr(operation, "sql", f"{operation.sql}\n-- changed")  # type: ignore[attr-defined]
        assert template.fingerprint() != before
    assert template.fingerprint() == before


PYTHON = """
def fill(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("INSERT INTO audit_key (digest, entry_id) SELECT %s, id FROM lab", [b"lab"])
        cursor.execute("UPDATE lab SET was = note")
"""


def with_python(lab: Lab) -> None:
    lab.add("0901_table", 'migrations.RunSQL("CREATE TABLE lab (id uuid DEFAULT uuidv7(), note text, was text)")')
    lab.add("0902_row", "migrations.RunSQL(\"INSERT INTO lab (note) VALUES ('one')\")")
    lab.add("0903_python", "migrations.RunPython(fill)", body=PYTHON)
    lab.add("0904_after", 'migrations.RunSQL("ALTER TABLE lab DROP COLUMN note")')


def test_a_history_with_python_is_run_in_its_order(lab: Lab, world: World) -> None:
    with_python(lab)
    assert [step.statements is None for step in template.compile_pending(()).steps][-4:] == [False, False, True, False]
    tenant = provisioning.create_tenant(**INITECH)
    assert columns(world, "initech", "lab")[1:] == ["........pg.dropped.2........", "was"]
    assert world.sql(f"SELECT was FROM {tenant.schema_name}.lab") == [("one",)]
    assert world.sql(f"SELECT digest FROM {tenant.schema_name}.audit_key") == [(b"lab",)]
    assert world.sql(f"SELECT name FROM {tenant.schema_name}.django_migrations ORDER BY id DESC LIMIT 1") == [
        ("0904_after",)
    ]


def test_python_that_fails_leaves_no_tenant(lab: Lab, world: World) -> None:
    lab.add("0901_python", "migrations.RunPython(fail)", body="def fail(apps, schema_editor):\n    1 / 0\n")
    before = world.sql("SELECT nspname FROM pg_namespace ORDER BY 1")
    with pytest.raises(ZeroDivisionError):
        provisioning.create_tenant(**INITECH)
    assert world.sql("SELECT nspname FROM pg_namespace ORDER BY 1") == before
    assert world.tenant("initech") is None


MODEL = """
migrations.CreateModel("Thing", [("id", models.BigAutoField(primary_key=True)), ("name", models.TextField())],
    options={"db_table": "lab_thing"})
"""
ADD_FIELD = 'migrations.AddField("thing", "mark", models.TextField(default=mark), preserve_default=False)'
ANEW = "import uuid\ndef mark():\n    return uuid.uuid4().hex\n"
CUSTOM = """
class Sneak(migrations.operations.base.Operation):
    def state_forwards(self, app_label, state): pass
    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("CREATE TABLE lab_sneaked (id int)")
"""


@pytest.mark.parametrize(
    ("operation", "body", "is_sql"),
    [
        (MODEL, "", True),
        ('migrations.RunSQL([("SELECT %s", ["x;y"])])', "", True),
        (f"{MODEL}, {ADD_FIELD}", ANEW, False),
        ("Sneak()", CUSTOM, False),
        ("migrations.SeparateDatabaseAndState([Sneak()])", CUSTOM, False),
        ("migrations.SeparateDatabaseAndState(state_operations=[Sneak()])", CUSTOM, True),
    ],
)
def test_what_statements_cannot_say_alike_for_all_is_left_to_django(
    lab: Lab, operation: str, body: str, is_sql: bool
) -> None:
    lab.add("0901_lab", operation, body=body)
    assert (template.compile_pending(()).steps[-1].statements is not None) is is_sql


@pytest.mark.parametrize(
    ("operation", "attributes"),
    [
        (ADD_NOTE, "atomic = False"),
        ('AddIndexConcurrently("auditlog", models.Index(fields=["action"], name="lab"))', "atomic = False"),
        ('AddIndexConcurrently("auditlog", models.Index(fields=["action"], name="lab"))', ""),
    ],
)
def test_a_migration_outside_a_transaction_is_refused_with_what_to_write_instead(
    lab: Lab, world: World, operation: str, attributes: str
) -> None:
    lab.add("0901_lab", operation, attributes=attributes)
    with pytest.raises(Unreplayable, match=r"audit\.0901_lab is not atomic.*AddIndex for AddIndexConcurrently"):
        provisioning.create_tenant(**INITECH)
    assert world.tenant("initech") is None


def test_a_migration_that_names_its_schema_is_refused(lab: Lab, world: World) -> None:
    body = """
class Named(migrations.RunSQL):
    __module__ = "django.db.migrations"
    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        schema_editor.execute(f"CREATE TABLE {schema_editor.connection.schema_name}.lab (id int)")
"""
    lab.add("0901_lab", 'Named("SELECT 1")', body=body)
    with pytest.raises(Unreplayable, match="names the schema that it runs in"):
        provisioning.create_tenant(**INITECH)
    assert world.sql("SELECT count(*) FROM pg_class WHERE relname = 'lab'") == [(0,)]


def test_two_ends_of_the_history_are_refused(lab: Lab, world: World) -> None:
    root = lab.last
    lab.add("0901_one", ADD_NOTE)
    lab.last = root
    lab.add("0901_two", ADD_NOTE)
    with pytest.raises(Unreplayable, match=r"audit\.0901_one, audit\.0901_two.*makemigrations --merge"):
        provisioning.create_tenant(**INITECH)
    assert world.tenant("initech") is None


def test_the_ledger_says_of_a_new_tenant_what_its_schema_has(world: World) -> None:
    tenant = provisioning.create_tenant(**INITECH)
    ledger = world.sql(
        "SELECT app, name, state, error FROM shared.tenants_tenantmigration WHERE tenant_id = %s ORDER BY id", tenant.pk
    )
    schema = world.sql(f"SELECT app, name FROM {tenant.schema_name}.django_migrations ORDER BY id")
    assert [row[:2] for row in ledger] == schema == template.wanted()
    assert {row[2:] for row in ledger} == {("applied", "")}


def test_a_statement_that_fails_in_the_pipeline_is_the_one_told_of(world: World) -> None:
    from django.db import ProgrammingError, transaction

    with pytest.raises(ProgrammingError, match='"nowhere" does not exist'), transaction.atomic(using=OWNER):
        template.replay(owners_connection(), ["CREATE TABLE lab (id int)", "SELECT * FROM nowhere", "SELECT 1"])
    assert world.sql("SELECT count(*) FROM pg_class WHERE relname = 'lab'") == [(0,)]
