"""The text of a table's function and the spec that it is made from, without a database."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from django.db.migrations.writer import MigrationWriter

from audit.capture.body import body
from audit.capture.operation import Capture, Release
from audit.capture.registry import declared
from audit.capture.spec import LINK_VERBS, VERBS, Column, Kind, Spec, columns_of

ID = Column("id", "id", "bigint")
PLAIN = Spec(table="thing", resource_type="thing", key=(ID,), columns=(ID, Column("name", "name", "text")))
SHARED = replace(PLAIN, shared=True)
LINK = Spec(
    table="link",
    resource_type="thing",
    key=(Column("thing", "thing_id", "uuid"),),
    columns=(Column("tags", "tag_id", "bigint"),),
    far=("tag", "tag_id"),
    verbs=LINK_VERBS,
)
SPECS = [spec for specs in declared().values() for spec in specs.values()]


def of_kind(*kinds: str) -> Spec:
    columns = tuple(Column(f"c{number}", f"c{number}", kind) for number, kind in enumerate(kinds))
    return replace(PLAIN, columns=(ID, *columns))


@pytest.mark.parametrize("spec", [*SPECS, PLAIN, SHARED, LINK], ids=lambda spec: spec.table)
def test_a_spec_is_the_same_once_a_migration_has_written_and_read_it(spec: Spec) -> None:
    name, arguments, named = Capture(**spec.deconstruct()).deconstruct()
    assert (name, arguments) == ("Capture", [])
    written, _imports = MigrationWriter.serialize(named)
    assert Capture(**eval(written)).spec == spec  # noqa: S307 - what Django itself has written


def test_a_migration_writes_nothing_that_goes_without_saying() -> None:
    assert PLAIN.deconstruct() == {
        "table": "thing",
        "resource_type": "thing",
        "key": [["id", "id", "bigint"]],
        "columns": [["id", "id", "bigint"], ["name", "name", "text"]],
    }
    assert LINK.deconstruct() == {
        "table": "link",
        "resource_type": "thing",
        "key": [["thing", "thing_id", "uuid"]],
        "columns": [["tags", "tag_id", "bigint"]],
        "verbs": LINK_VERBS,
        "far": ["tag", "tag_id"],
    }
    told = replace(SHARED, label="name", tenant="tenant_id", person="user_id").deconstruct()
    assert {name: told[name] for name in ("label", "shared", "tenant", "person")} == {
        "label": "name",
        "shared": True,
        "tenant": "tenant_id",
        "person": "user_id",
    }


@pytest.mark.parametrize("kind", Kind)
def test_a_column_says_its_kind_unless_it_is_a_plain_one(kind: Kind) -> None:
    column = Column("name", "name", "text", kind)
    assert column.deconstruct() == ["name", "name", "text", *([] if kind is Kind.PLAIN else [str(kind)])]
    assert columns_of([column.deconstruct()]) == (column,)


def test_a_function_is_named_after_its_table_as_long_as_that_fits() -> None:
    assert PLAIN.function == "daybook_capture_thing"
    fits, long, other = ("é" * 23 + "x", "é" * 24, "é" * 23 + "ü")
    assert replace(PLAIN, table=fits).function == f"daybook_capture_{fits}"
    names = {replace(PLAIN, table=table).function for table in (long, other)}
    assert len(names) == 2
    assert all(re.fullmatch("daybook_capture_[0-9a-f]{32}", name) for name in names)


def test_operations_say_what_they_do() -> None:
    capture, release = Capture(**PLAIN.deconstruct()), Release("thing")
    assert (capture.describe(), release.describe()) == ("Capture changes of thing", "Release thing from capture")
    assert (capture.migration_name_fragment, release.migration_name_fragment) == ("capture_thing", "release_thing")
    assert release.deconstruct() == ("Release", [], {"table": "thing"})
    assert release.sql == capture.reverse_sql == "CALL guard.release('thing', 'daybook_capture_thing')"
    assert str(capture.sql).startswith("CALL guard.capture('thing', 'daybook_capture_thing', $daybook$")
    quoted = Release("it's")
    assert quoted.sql == "CALL guard.release('it''s', 'daybook_capture_it''s')"


def test_the_trail_of_a_tenants_table_is_its_schemas_and_that_of_a_shared_one_the_platforms() -> None:
    assert "INSERT INTO {schema}.audit_log " in body(PLAIN)
    assert "platform_log" not in body(PLAIN)
    assert "INSERT INTO shared.platform_log " in body(SHARED)
    assert "{schema}.audit_log" not in body(SHARED)


def test_tenants_are_told_of_the_shared_rows_that_say_whose_they_are_alone() -> None:
    assert "FOR v_row IN" not in body(SHARED)
    assert "tenant_id" not in body(SHARED)
    owned = body(replace(SHARED, tenant="owner"))
    assert owned.count("FOR v_row IN") == 4
    assert "t.id = r0.daybook_tenant" in owned
    personal = body(replace(SHARED, person="someone"))
    assert personal.count("FOR v_row IN") == 4
    assert "m.user_id = r0.daybook_person AND m.ended_at IS NULL" in personal


def test_each_event_writes_by_its_own_verb() -> None:
    text = body(replace(PLAIN, verbs={**VERBS, "delete": "it's gone"}))
    for event in ("INSERT", "UPDATE", "DELETE", "TRUNCATE"):
        assert f"TG_OP = '{event}'" in text
    assert (text.count("'created'"), text.count("'updated'"), text.count("'it''s gone'")) == (1, 1, 2)
    assert 'FROM ONLY {schema}."thing" AS o0' in text


def test_a_link_is_an_update_of_its_near_side_whatever_happens_to_it() -> None:
    text = body(LINK)
    assert ("'create'" in text, "'delete'" in text) == (False, False)
    assert text.count("'linked'") == 1
    assert text.count("'unlinked'") == 2


@pytest.mark.parametrize("kind", ["text", "varchar", "character varying", "text[]", "varchar[][]"])
def test_texts_are_compared_by_their_bytes(kind: str) -> None:
    assert 'o0."c0" COLLATE "C" IS DISTINCT FROM n0."c0"' in body(of_kind(kind))


@pytest.mark.parametrize("kind", ["json", "xml", "citext", "char", "point", "tsvector", "hstore", "money", "json[]"])
def test_types_without_an_equality_that_holds_are_compared_as_text(kind: str) -> None:
    assert 'o0."c0"::text IS DISTINCT FROM n0."c0"::text' in body(of_kind(kind))


@pytest.mark.parametrize(
    "kind",
    [
        *("uuid", "boolean", "smallint", "integer", "bigint", "numeric", "double precision", "date", "time"),
        *("interval", "time without time zone", "timestamp with time zone", "bytea", "jsonb", "inet", "daterange"),
        *("int4range", "numeric[]", "integer[][]", "timestamp with time zone[]"),
    ],
)
def test_other_types_are_compared_by_their_own_equality(kind: str) -> None:
    assert 'CASE WHEN o0."c0" IS DISTINCT FROM n0."c0" THEN' in body(of_kind(kind))


TOLD = {
    "integer": 'to_json(n0."c0")',
    "bigint": 'CASE WHEN n0."c0" BETWEEN -9007199254740992 AND 9007199254740992 THEN to_json(n0."c0") ELSE',
    "bigint[]": 'CASE WHEN 9007199254740992 < ANY (n0."c0")',
    "double precision": 'CASE WHEN n0."c0" BETWEEN -9007199254740992',
    "numeric": 'to_json(n0."c0"::text)',
    "numeric[][]": 'to_json(n0."c0"::text[])',
    "timestamptz": "to_char(n0.\"c0\" AT TIME ZONE 'UTC'",
    "interval": 'to_json(guard.duration(n0."c0"))',
    "bytea": "encode(n0.\"c0\", 'base64')",
    "jsonb": 'coalesce(n0."c0"::text, ',
}


@pytest.mark.parametrize("kind", TOLD)
def test_values_are_told_by_their_types(kind: str) -> None:
    assert TOLD[kind] in body(of_kind(kind))


def test_a_masked_column_is_compared_and_never_read_out() -> None:
    spec = replace(PLAIN, columns=(ID, Column("pin", "pin", "text", Kind.MASKED)))
    text = body(spec)
    assert 'o0."pin" COLLATE "C" IS DISTINCT FROM n0."pin"' in text
    assert "to_json" not in re.sub(r'to_json\(.0\."id"(::text)?\)', "", text)


def test_more_columns_than_a_function_takes_are_joined_in_parts() -> None:
    many = of_kind(*["text"] * 120)
    assert "concat_ws(',', nullif(concat_ws(" in body(many)
    assert "nullif(concat_ws(" not in body(of_kind(*["text"] * 49))


def test_the_more_columns_there_are_the_shorter_is_what_is_kept_of_each() -> None:
    def kept(spec: Spec) -> set[int]:
        return {int(found) for found in re.findall(r"guard\.shortened\(.*?::jsonb, (\d+)\)", body(spec))}

    assert kept(PLAIN) == {256}
    assert kept(of_kind(*["text"] * 120)) == {48 * 1024 // 242}


def test_a_table_of_a_key_alone_tells_that_its_rows_come_and_go() -> None:
    text = body(replace(PLAIN, columns=(ID,)))
    assert "'' AS daybook_kept" in text


def test_names_are_quoted_wherever_they_stand() -> None:
    evil = "a\"b'c"
    key = Column(evil, evil, "text")
    spec: Any = Spec(table=evil, resource_type=evil, key=(key,), columns=(key,), label=evil, far=(evil, evil))
    text = body(spec)
    assert '"a""b\'c"' in text
    assert "a\"b'c" not in text.replace('"a""b\'c"', "").replace("a\"b''c", "").replace("a\\\"b''c", "")
