"""What keeps a tenant's schema movable to another server, and the shared one copyable to all of them.

The rules are those under which a schema can be sharded by Citus, or by hand: a tenant's tables stand by themselves,
what they share is small and has keys, and a schema is made by single statements that name no schema of a tenant.
Each rule is broken once, and the break is found.
"""

from __future__ import annotations

import re

import pytest
from world import World

from tenants import template
from tenants.owner.script import split

# What a tenant's tables may refer to: small, read-mostly, and able to stand as a copy on each server.
REFERENCE_TABLES = {"tenants_tenant", "tenants_user", "subscriptions_plan"}
# The schemas that are the same on each server, and so may be named.
COMMON_SCHEMAS = {"shared", "guard", "pg_catalog"}
# Entries keep the number of their user agent in four bytes, and so the dictionary counts in four as well.
NARROW_IDENTITIES = {"audit_user_agent.id"}

_QUALIFIED = re.compile(
    r"\b(?:TABLE|INDEX|ONLY|EXISTS|OF|ON|INTO|UPDATE|FROM|JOIN|REFERENCES|SEQUENCE|VIEW|FUNCTION|PROCEDURE|CALL)"
    r'\s+(?:"([^"]+)"|(\w+))\s*\.',
    re.IGNORECASE,
)
_REFERENCES = re.compile(r'\bREFERENCES\s+"?shared"?\s*\.\s*"?(\w+)"?', re.IGNORECASE)
_UNSUPPORTED = {
    "CREATE TABLE AS": re.compile(r"\bCREATE\s+(?:\w+\s+)?TABLE\s+[\w.\"]+\s+AS\b", re.IGNORECASE),
    "SET SCHEMA": re.compile(r"\bSET\s+SCHEMA\b", re.IGNORECASE),
    "INHERITS": re.compile(r"\bINHERITS?\s*\(|\bINHERIT\s", re.IGNORECASE),
    "a foreign table": re.compile(r"\bFOREIGN\s+TABLE\b", re.IGNORECASE),
    "CONCURRENTLY": re.compile(r"\bCONCURRENTLY\b", re.IGNORECASE),
    "serial": re.compile(r"\b(?:small|big)?serial\d?\b", re.IGNORECASE),
    "a temporary table": re.compile(r"\bTEMP(?:ORARY)?\s+TABLE\b", re.IGNORECASE),
}


def faults_of(statements: list[str]) -> list[str]:
    """Return what is wrong with the statements that make a tenant's schema."""
    faults = []
    for statement in statements:
        if (count := len(split(statement))) != 1:
            faults.append(f"{count} statements in one: {statement}")
        names = {found.group(1) or found.group(2) for found in _QUALIFIED.finditer(statement)}
        faults += [f"names the schema {name}: {statement}" for name in sorted(names - COMMON_SCHEMAS)]
        strange = set(_REFERENCES.findall(statement)) - REFERENCE_TABLES
        faults += [f"refers to shared.{name}, which is no reference table: {statement}" for name in sorted(strange)]
        faults += [f"{what}: {statement}" for what, rule in _UNSUPPORTED.items() if rule.search(statement)]
    return faults


_FOREIGN_KEYS = """
SELECT n.nspname, c.relname, fn.nspname, f.relname
  FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace
 WHERE k.contype = 'f' AND n.nspname <> fn.nspname AND k.conparentid = 0 ORDER BY 1, 2
"""
_SEQUENCES = """
SELECT c.relname || '.' || a.attname, format_type(a.atttypid, NULL), a.attidentity::text
  FROM pg_class s JOIN pg_namespace n ON n.oid = s.relnamespace
  LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.refobjsubid > 0
   AND d.deptype IN ('a', 'i')
  LEFT JOIN pg_class c ON c.oid = d.refobjid
  LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
 WHERE s.relkind = 'S' AND n.nspname = %s ORDER BY 1
"""
_WITHOUT_KEY = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname IN ('shared', %s) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) ORDER BY 1, 2
"""
_PARENTS = """
SELECT n.nspname, c.relname, pn.nspname, c.relispartition FROM pg_inherits i
  JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
 WHERE c.relkind IN ('r', 'p', 'f') AND (n.nspname <> pn.nspname OR NOT c.relispartition) ORDER BY 1, 2
"""


def faults_in(world: World) -> list[str]:
    """Return what is wrong with the tables that stand: the shared ones, and acme's."""
    schema = world.acme.schema_name
    faults = []
    for place, table, other_place, other in world.sql(_FOREIGN_KEYS):
        if other_place != "shared" or other not in REFERENCE_TABLES:
            faults.append(f"{table} refers to {other} outside its schema" + (" (from shared)" * (place == "shared")))
    for column, kind, identity in world.sql(_SEQUENCES, schema):
        if column not in NARROW_IDENTITIES and (kind != "bigint" or not identity):
            faults.append(f"{column} counts as {kind}, not as a bigint identity")
    faults += [f"{table} has no primary key" for _, table in world.sql(_WITHOUT_KEY, schema)]
    for _, table, _, partition in world.sql(_PARENTS):
        faults.append(f"{table} is apart from its parent" if partition else f"{table} inherits")
    return faults


@pytest.fixture
def statements(world: World) -> list[str]:
    """All statements that make a tenant's schema."""
    made = template.current()
    steps = [step.statements for step in made.steps]
    assert all(step is not None for step in steps), "a migration runs Python: its tables are looked at by the catalogs"
    return [*made.base, *(statement for step in steps for statement in step or ())]


def test_the_template_keeps_the_rules(statements: list[str]) -> None:
    assert len(statements) > 20
    assert any("audit_log" in statement for statement in statements)
    assert faults_of(statements) == []


def test_the_tables_that_stand_keep_the_rules(world: World) -> None:
    assert faults_in(world) == []


def test_an_exception_that_nothing_needs_any_more_is_found(world: World) -> None:
    counted = {column: kind for column, kind, _ in world.sql(_SEQUENCES, world.acme.schema_name)}
    assert {column: counted[column] for column in NARROW_IDENTITIES} == dict.fromkeys(NARROW_IDENTITIES, "integer")


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("CREATE TABLE one (id bigint); CREATE TABLE two (id bigint)", "2 statements in one"),
        ("", "0 statements in one"),
        ("CREATE TABLE t_0123456789abcdef.one (id bigint)", "names the schema t_0123456789abcdef"),
        ('ALTER TABLE "canary_1"."one" ADD COLUMN two text', "names the schema canary_1"),
        ("CREATE INDEX i ON public.one (id)", "names the schema public"),
        ("ALTER TABLE one ADD FOREIGN KEY (b) REFERENCES t_1.two (id)", "names the schema t_1"),
        ("CREATE TABLE one (u uuid REFERENCES shared.tenants_session)", "refers to shared.tenants_session"),
        ("CREATE TABLE one AS SELECT 1 AS id", "CREATE TABLE AS"),
        ("ALTER TABLE one SET SCHEMA shared", "SET SCHEMA"),
        ("CREATE TABLE one () INHERITS (audit_log)", "INHERITS"),
        ("ALTER TABLE one INHERIT audit_log", "INHERITS"),
        ("CREATE FOREIGN TABLE one (id bigint) SERVER there", "a foreign table"),
        ("CREATE INDEX CONCURRENTLY i ON one (id)", "CONCURRENTLY"),
        ("CREATE TABLE one (id serial PRIMARY KEY)", "serial"),
        ("CREATE TABLE one (id bigserial PRIMARY KEY)", "serial"),
        ("CREATE TEMP TABLE one (id bigint)", "a temporary table"),
    ],
)
def test_a_statement_that_breaks_a_rule_is_found(statement: str, fault: str) -> None:
    assert [found for found in faults_of(["SELECT 1", statement]) if fault in found]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE one (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, u uuid REFERENCES shared.tenants_user)",
        "CREATE TABLE one (id uuid DEFAULT guard.new_id() PRIMARY KEY) PARTITION BY RANGE (id)",
        "CALL guard.protect('audit_log', true)",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; $$",
        "CREATE POLICY read ON one USING (id = 1.5 AND t.id = 1)",
    ],
)
def test_a_statement_that_keeps_the_rules_is_let_be(statement: str) -> None:
    assert faults_of([statement]) == []


@pytest.mark.parametrize(
    ("planted", "fault"),
    [
        ("CREATE TABLE {acme}.one (id bigint PRIMARY KEY, s bytea REFERENCES shared.tenants_session)", "one refers to"),
        (
            (
                "CREATE TABLE {globex}.two (id bigint PRIMARY KEY);"
                "CREATE TABLE {acme}.one (id bigint PRIMARY KEY REFERENCES {globex}.two)"
            ),
            "one refers to two outside its schema",
        ),
        (
            (
                "CREATE TABLE {acme}.one (id bigint PRIMARY KEY);"
                "CREATE TABLE shared.two (id bigint PRIMARY KEY REFERENCES {acme}.one)"
            ),
            "two refers to one outside its schema (from shared)",
        ),
        ("CREATE TABLE {acme}.one (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY)", "one.id counts as integer"),
        ("CREATE TABLE {acme}.one (id bigserial PRIMARY KEY)", "one.id counts as bigint, not as a bigint identity"),
        ("CREATE SEQUENCE {acme}.loose", "None counts as None"),
        ("CREATE TABLE {acme}.one (id bigint)", "one has no primary key"),
        ("CREATE TABLE shared.one (id bigint)", "one has no primary key"),
        (
            (
                "CREATE TABLE {acme}.one (id bigint PRIMARY KEY) PARTITION BY RANGE (id);"
                "CREATE TABLE shared.part PARTITION OF {acme}.one DEFAULT"
            ),
            "part is apart from its parent",
        ),
        (
            (
                "CREATE TABLE {acme}.one (id bigint PRIMARY KEY);"
                "CREATE TABLE {acme}.child (id bigint PRIMARY KEY) INHERITS ({acme}.one)"
            ),
            "child inherits",
        ),
    ],
)
def test_a_table_that_breaks_a_rule_is_found(world: World, planted: str, fault: str) -> None:
    world.sql(planted.format(acme=world.acme.schema_name, globex=world.globex.schema_name))
    assert [found for found in faults_in(world) if fault in found]


def test_a_reference_to_a_reference_table_is_let_be(world: World) -> None:
    world.sql(
        f"CREATE TABLE {world.acme.schema_name}.one"
        " (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, u uuid REFERENCES shared.tenants_user)"
    )
    assert faults_in(world) == []
