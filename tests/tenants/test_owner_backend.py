"""The owner's backend runs scripts statement by statement, and looks at one schema without a glance at the others."""

from __future__ import annotations

import re
from typing import Any

import pytest
from world import World

from tenants.owner.access import OWNER, NoOwner, owners_connection
from tenants.owner.introspection import Introspection
from tenants.owner.script import split

NESTED = "/* a /* b; */ c; */ SELECT 1; SELECT 2"
RULE = "CREATE RULE r AS ON INSERT TO a DO (SELECT 1; SELECT 2)"
ATOMIC = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3"


@pytest.mark.parametrize(
    ("script", "statements"),
    [
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1; SELECT 2;\n", ["SELECT 1", "SELECT 2"]),
        ("  ;; \n-- nothing; here\n/* nor; here */", []),
        ("", []),
        ("-- first;\nSELECT 1 -- within;\n + 1; SELECT 2", ["SELECT 1 -- within;\n + 1", "SELECT 2"]),
        ("SELECT ';', 'it''s; ', \"a;\"\"b\"; SELECT 2", ["SELECT ';', 'it''s; ', \"a;\"\"b\"", "SELECT 2"]),
        (r"SELECT 'a\'; SELECT 2", [r"SELECT 'a\'", "SELECT 2"]),
        (r"SELECT E'a\'; b'; SELECT 2", [r"SELECT E'a\'; b'", "SELECT 2"]),
        ("DO $$ BEGIN a; b; END $$; SELECT 2", ["DO $$ BEGIN a; b; END $$", "SELECT 2"]),
        ("SELECT $a$ ; $$ ; $b$; $a$; SELECT 2", ["SELECT $a$ ; $$ ; $b$; $a$", "SELECT 2"]),
        ("ALTER TABLE a$b$ ADD c int; SELECT $b$;$b$", ["ALTER TABLE a$b$ ADD c int", "SELECT $b$;$b$"]),
        (f"{RULE}; SELECT $1", [RULE, "SELECT $1"]),
        ("CREATE TABLE declare (begin int); SELECT 2", ["CREATE TABLE declare (begin int)", "SELECT 2"]),
        ("BEGIN; SELECT 1; END; SELECT 2", ["BEGIN", "SELECT 1", "END", "SELECT 2"]),
        (NESTED, ["SELECT 1", "SELECT 2"]),
        ("SELECT 1; /* never ends; ", ["SELECT 1"]),
        (ATOMIC, [ATOMIC.rpartition(";")[0], "SELECT 3"]),
        ("SELECT 'ä;ö' AS größe; SELECT 2", ["SELECT 'ä;ö' AS größe", "SELECT 2"]),
    ],
)  # fmt: skip
def test_a_script_is_cut_where_the_server_would(script: str, statements: list[str]) -> None:
    assert split(script) == statements


def test_the_server_agrees_about_every_script_of_the_project(world: World) -> None:
    from pathlib import Path

    import psycopg

    scripts = sorted(Path(__file__).parents[2].glob("*/sql/*.sql"))
    assert len(scripts) > 8
    with psycopg.connect(world.superuser, dbname=world.database) as connection:
        for path in scripts:
            script = path.read_text().replace("{tenant_column}", "")
            for statement in split(re.sub(r"\{\w+\}", "x", re.sub(r"\{\w+_password\}", "'x'", script))):
                error = connection.pgconn.prepare(b"", statement.encode()).error_message
                connection.rollback()
                assert b"multiple commands" not in error, (path.name, statement)
                assert b"syntax error" not in error or "%(" in statement, (path.name, statement)


def test_sqlparse_would_not_do() -> None:
    import sqlparse

    assert len(sqlparse.split("CREATE TABLE declare (begin int); SELECT 2")) == 1
    assert len(sqlparse.split(NESTED)) == 3


def run_script(script: str) -> list[str]:
    """Run a script by the schema editor; return what it noted and, after it, the messages' statements."""
    seen: list[str] = []

    def watch(execute: Any, statement: str, *rest: Any) -> Any:
        seen.append(statement)
        return execute(statement, *rest)

    connection = owners_connection()
    with connection.recorded() as tape, connection.schema_editor() as editor, connection.execute_wrapper(watch):
        editor.execute(script, None)
    assert [line for line in seen if not line.startswith("SET search_path")] == tape
    return tape


def test_the_schema_editor_sends_and_notes_single_statements(world: World) -> None:
    assert run_script("CREATE TABLE lab (a int DEFAULT 1); COMMENT ON TABLE lab IS '100 %; so';") == [
        "CREATE TABLE lab (a int DEFAULT 1)",
        "COMMENT ON TABLE lab IS '100 %; so'",
    ]
    assert world.sql("SELECT obj_description('shared.lab'::regclass)") == [("100 %; so",)]


def test_parameters_are_noted_as_they_were_sent(world: World) -> None:
    connection = owners_connection()
    with connection.recorded() as tape, connection.schema_editor() as editor:
        editor.execute("CREATE TABLE lab (a text)")
        editor.execute("INSERT INTO lab VALUES (%s)", ["it's; 100 %"])
    assert tape == ["CREATE TABLE lab (a text)", "INSERT INTO lab VALUES ('it''s; 100 %')"]
    assert connection.tape is None


def test_what_is_only_collected_is_not_noted(world: World) -> None:
    connection = owners_connection()
    with connection.recorded() as tape, connection.schema_editor(collect_sql=True) as editor:
        editor.execute("CREATE TABLE lab (a text)")
    assert (tape, editor.collected_sql) == ([], ["CREATE TABLE lab (a text);"])


class Looking:
    """A cursor that keeps what was asked."""

    def __init__(self, cursor: Any) -> None:
        self.cursor, self.asked = cursor, []  # type: ignore[var-annotated]

    def execute(self, query: str, parameters: Any = None) -> Any:
        self.asked.append((query, parameters))
        return self.cursor.execute(query, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cursor, name)

    def plan(self, query: str, parameters: Any) -> str:
        """Return how the server answers a query."""
        self.cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF) {query}", parameters)
        return "\n".join(row[0] for row in self.cursor.fetchall())


def rows_read(plan: str) -> int:
    """Return the most rows that a step of a plan read or threw away."""
    counts = re.findall(r"rows=([\d.]+)|Removed by \w+(?: \w+)*: (\d+)", plan)
    return int(max(float(one or other) for one, other in counts))


QUESTIONS = ("get_table_description", "get_sequences", "get_relations", "get_constraints")


def look(introspection: Any, cursor: Looking, table: str) -> dict[str, Any]:
    """Return all that the introspection says of a table."""
    return {name: getattr(introspection, name)(cursor, table) for name in QUESTIONS}


def test_it_says_the_same_of_a_table_as_djangos_own(world: World) -> None:
    from django.db.backends.postgresql.introspection import DatabaseIntrospection

    connection = owners_connection()
    with connection.in_schema(world.acme.schema_name), connection.cursor() as cursor:
        mine, django = Introspection(connection), DatabaseIntrospection(connection)
        for table in ("audit_log", "audit_user_agent", "audit_answer", "django_migrations"):
            assert look(mine, cursor, table) == look(django, cursor, table) != {}
        assert "audit_log" in mine.table_names(cursor)
        # Django's own also lists the shared schema's, which is in the path.
        assert set(mine.get_table_list(cursor)) < set(django.get_table_list(cursor))


def test_it_sees_the_tables_of_its_schema_and_no_others(world: World) -> None:
    connection = owners_connection()
    for name in (world.acme.schema_name, "shared"):
        with connection.in_schema(name), connection.cursor() as cursor:
            query = "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind IN ('r', 'p', 'v')"
            tables = {row[0] for row in world.sql(query, name)}
            assert {table.name for table in connection.introspection.get_table_list(cursor)} == tables
            assert len(tables) > 5
    with connection.in_schema("t_nowhere"), connection.cursor() as cursor:
        assert connection.introspection.table_names(cursor) == []


def test_a_table_of_another_schema_is_none_of_this_one(world: World) -> None:
    connection = owners_connection()
    with connection.in_schema(world.acme.schema_name), connection.cursor() as cursor:
        assert connection.introspection.get_constraints(cursor, "tenants_tenant") == {}
        assert connection.introspection.get_constraints(cursor, "audit_key") != {}
    with connection.cursor() as cursor:
        assert connection.introspection.get_constraints(cursor, "tenants_tenant") != {}


def test_what_it_reads_does_not_grow_with_the_tenants(world: World) -> None:
    """Many schemas with a table of the same name: Django's queries read them all, these do not."""
    from django.db.backends.postgresql.introspection import DatabaseIntrospection

    schemas = [f"t_{number:016x}" for number in range(300)]
    world.sql(";".join(f"CREATE SCHEMA {name} CREATE TABLE audit_key (digest int, x int)" for name in schemas))
    world.sql("ANALYZE pg_class, pg_namespace, pg_depend, pg_attribute, pg_constraint, pg_index")
    connection = owners_connection()
    read: dict[type, int] = {}
    with connection.in_schema(world.acme.schema_name), connection.cursor() as cursor:
        for kind in (Introspection, DatabaseIntrospection):
            looking: Any = Looking(cursor)
            kind(connection).get_table_list(looking)
            look(kind(connection), looking, "audit_key")
            read[kind] = max(rows_read(looking.plan(*asked)) for asked in looking.asked)
    assert read[Introspection] < 100
    assert read[DatabaseIntrospection] >= 300


def test_every_query_of_djangos_that_asks_what_is_visible_is_caught(world: World) -> None:
    connection = owners_connection()
    with connection.in_schema(world.acme.schema_name), connection.cursor() as cursor:
        looking = Looking(cursor)
        connection.introspection.get_table_list(looking)
        look(connection.introspection, looking, "audit_key")
    asked = [query for query, _ in looking.asked]
    assert not [query for query in asked if "is_visible" in query]
    named = [query for query in asked if f'to_regclass(\'"{world.acme.schema_name}"."audit_key"\')' in query]
    assert len(named) == 5


def test_the_path_is_set_once_and_follows_the_schema(world: World) -> None:
    seen: list[str] = []

    def watch(execute: Any, statement: str, *rest: Any) -> Any:
        seen.append(statement)
        return execute(statement, *rest)

    def path() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SHOW search_path")
            return str(cursor.fetchone()[0])

    connection = owners_connection()
    connection.close()
    schema = world.acme.schema_name
    with connection.execute_wrapper(watch):
        assert [path(), path()] == ["shared", "shared"]
        with connection.in_schema(schema):
            assert [path(), path()] == [f"{schema}, shared"] * 2
        assert path() == "shared"
    assert len([line for line in seen if line.startswith("SET search_path")]) == 3


def test_the_path_is_set_again_after_a_roll_back(world: World) -> None:
    from django.db import transaction

    connection = owners_connection()
    schema = world.acme.schema_name
    with connection.in_schema(schema):
        for _ in range(2):
            with transaction.atomic(using=OWNER), connection.cursor() as cursor:
                cursor.execute("SELECT current_schema()")
                assert cursor.fetchone()[0] == schema
                with transaction.atomic(using=OWNER):
                    transaction.set_rollback(True, using=OWNER)
                transaction.set_rollback(True, using=OWNER)


def test_without_the_owners_login_it_says_which_setting_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from tenants.owner import access

    monkeypatch.setattr(access, "OWNER", "nobody")
    with pytest.raises(NoOwner, match="MIGRATION_DATABASE_URL"):
        owners_connection()
