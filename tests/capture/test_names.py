"""Names that SQL takes for something else, more fields than a function takes, texts that do not fit in an entry."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from hostapp.models import Letter, Odd, Wide
from seen import Trail, done, install, session
from world import World

from audit.capture.spec import Spec
from audit.events import MAX_ENTRY_BYTES
from audit.models import AuditLog

EVIL = 'it\'s "quoted" \\ $1 %s {} {0} -- \n\t \u2028\u2029 \u00e9 $daybook$ ]]> </script>'


def size(world: World, kind: str) -> int:
    """Return how many bytes the largest entry about a kind of resource has as JSON."""
    trail = f"{world.acme.schema_name}.audit_log"
    rows = world.sql(f"SELECT to_jsonb(t)::text FROM {trail} AS t WHERE resource_type = %s", kind)
    return max(len(text.encode()) for (text,) in rows)


def test_columns_and_tables_of_any_name_are_captured(world: World) -> None:
    def work() -> None:
        odd = Odd.objects.create(name="n", größe="g", select="s")
        Odd.objects.update(name="m", größe="h", select="t")
        odd.delete()

    made, changed, gone = done(world, work)
    assert made.changes == {"name": {"new": "n"}, "größe": {"new": "g"}, "select": {"new": "s"}}
    assert changed.changes == {
        "name": {"old": "n", "new": "m"},
        "größe": {"old": "g", "new": "h"},
        "select": {"old": "s", "new": "t"},
    }
    assert gone.changes == {"name": {"old": "m"}, "größe": {"old": "h"}, "select": {"old": "t"}}
    assert [entry.label for entry in (made, changed, gone)] == ["n", "m", "m"]


def test_names_with_quotes_of_both_kinds_are_captured(world: World) -> None:
    table, key, column = 'T "a" it\'s \\ \u2028', 'id" --', "va'l\"ue \\ ; $1"
    verbs = {"create": 'it\'s "made"', "update": "\\ changed", "delete": "; gone"}
    install(world, table, {key: "bigint"}, {column: "text"}, label=column, verbs=verbs)
    trail = Trail(world)
    name, field, number = (part.replace('"', '""') for part in (table, column, key))
    with session(world, "tenant") as psql:
        psql.execute(f"INSERT INTO \"{name}\" VALUES (1, 'x')".encode())
        psql.execute(f'UPDATE "{name}" SET "{field}" = \'y\', "{number}" = 2'.encode())
        psql.execute(f'DELETE FROM "{name}"'.encode())
    made, changed, gone = trail.told()
    assert (made.action, made.label, made.changes) == ('it\'s "made"', "x", {column: {"new": "x"}})
    assert (changed.action, changed.id) == ("\\ changed", "2")
    assert changed.changes == {column: {"old": "x", "new": "y"}, key: {"old": 1, "new": 2}}
    assert (gone.action, gone.changes) == ("; gone", {column: {"old": "y"}})


def test_columns_that_are_named_like_the_functions_own_are_captured(world: World) -> None:
    """The function's variables and aliases are none that a column hides, and hide none."""
    names = ["v_said", "v_row", "tg_op", "o0", "n0", "old_rows", "t", "a", "daybook_key", "user_id"]
    install(world, "own", {"id": "bigint"}, dict.fromkeys(names, "text"))
    trail = Trail(world)
    with session(world, "tenant") as psql:
        psql.execute(f"INSERT INTO own VALUES (1, {', '.join(repr(name) for name in names)})".encode())
        psql.execute("UPDATE own SET v_said = 'x', n0 = 'y'")
    made, changed = trail.told()
    assert made.changes == {name: {"new": name} for name in names}
    assert changed.changes == {"v_said": {"old": "v_said", "new": "x"}, "n0": {"old": "n0", "new": "y"}}


def test_a_table_whose_name_fills_the_limit_is_captured_under_a_shorter_one(world: World) -> None:
    names = ["t" * 63, "t" * 62 + "x"]
    functions = {Spec(table=name, resource_type="", key=(), columns=()).function for name in names}
    assert len(functions) == 2
    assert max(map(len, functions)) <= 63
    for name in names:
        install(world, name, {"id": "bigint"}, {"note": "text"})
    trail = Trail(world)
    with session(world, "tenant") as psql:
        for name in names:
            psql.execute(f"INSERT INTO {name} VALUES (1, '{name}')".encode())
    assert [entry.changes["note"]["new"] for entry in trail.told()] == names


def test_texts_that_mean_something_to_sql_or_json_are_told_as_they_are(world: World) -> None:
    (made,) = done(world, lambda: Letter.objects.create(title=EVIL, body=EVIL, note=EVIL))
    assert (made.label, made.changes["note"], made.changes["body"]) == (EVIL, {"new": EVIL}, {"new": EVIL})
    (changed,) = done(world, lambda: Letter.objects.update(note=EVIL * 2))
    assert changed.changes == {"note": {"old": EVIL, "new": EVIL * 2}}
    with world.scope("acme"):
        assert AuditLog.get_resource_history("letter", made.id)[0].changes == changed.changes


def test_more_fields_than_a_function_takes_are_told_together(world: World) -> None:
    names = [f"field_{number}" for number in range(120)]

    def work() -> None:
        Wide.objects.create()
        Wide.objects.update(field_119="x")
        Wide.objects.update(**dict.fromkeys(names, "y"))
        Wide.objects.all().delete()

    made, one, every, gone = done(world, work)
    assert made.changes == {name: {"new": ""} for name in names}
    assert one.changes == {"field_119": {"old": "", "new": "x"}}
    assert every.changes == {name: {"old": "x" if name == "field_119" else "", "new": "y"} for name in names}
    assert gone.changes == {name: {"old": "y"} for name in names}


def told_by_size(text: str) -> dict[str, Any]:
    said = json.dumps(text, ensure_ascii=False).encode()
    return {"bytes": len(said), "sha256": hashlib.sha256(said).hexdigest()}


def test_a_text_of_a_megabyte_is_told_by_its_size_and_its_hash(world: World) -> None:
    one, two = "é" * 500_000, "x" * 1_000_000

    def work() -> None:
        Letter.objects.create(title="short", body="kept", note=one)
        Letter.objects.update(note=two)
        Letter.objects.update(title="y" * 1_000_000)
        Letter.objects.all().delete()

    made, changed, renamed, gone = done(world, work)
    assert made.changes["note"] == {"new": told_by_size(one)}
    assert (made.changes["title"], made.changes["body"]) == ({"new": "short"}, {"new": "kept"})
    assert changed.changes == {"note": {"old": told_by_size(one), "new": told_by_size(two)}}
    assert (renamed.label, renamed.changes["title"]["old"]) == ("y" * 255, "short")
    assert gone.changes["note"] == {"old": told_by_size(two)}
    assert size(world, "letter") < MAX_ENTRY_BYTES


def test_values_that_fit_are_kept_whole(world: World) -> None:
    text = "x" * 40_000
    (made,) = done(world, lambda: Letter.objects.create(note=text))
    assert made.changes["note"] == {"new": text}
    assert size(world, "letter") < MAX_ENTRY_BYTES


def test_personal_values_and_others_are_too_large_together(world: World) -> None:
    text = "x" * 40_000
    (made,) = done(world, lambda: Letter.objects.create(body=text, note=text, sender="s"))
    assert made.row["personal"] == {"body": {"new": told_by_size(text)}, "sender": {"new": "s"}}
    assert made.row["changes"] == {"note": {"new": told_by_size(text)}, "title": {"new": ""}}
    assert size(world, "letter") < MAX_ENTRY_BYTES


def test_many_fields_leave_less_room_for_each(world: World) -> None:
    def work() -> None:
        Wide.objects.create(**{f"field_{number}": "é" * 126 for number in range(120)})
        Wide.objects.update(**{f"field_{number}": "y" * 250 for number in range(120)})
        Wide.objects.update(**{f"field_{number}": "z" * 5_000 for number in range(120)})

    made, changed, again = done(world, work)
    assert len(made.changes) == len(changed.changes) == len(again.changes) == 120
    assert changed.changes["field_7"]["new"] == told_by_size("y" * 250)
    assert size(world, "wide") < MAX_ENTRY_BYTES
