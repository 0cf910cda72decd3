"""A host's tenant goes out and comes back: captured tables of any name, that refer to each other in any way."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import DatabaseError, connection
from hostapp import models as host
from moving import NEW, STRANGE, contents, drop, rewrite, settle, standing
from rest_framework.authtoken.models import Token
from seen import Trail, session
from world import World, address

from tenants import people, template
from tenants.errors import BadInput
from tenants.models import User
from tenants.transfer import BadExport, arrival, export_tenant, import_tenant, manifest, tables

WILD = 'T "a" it\'s \\ % {} /../../../x!'
PLAIN = WILD.replace('"', '""')
# What no model makes but a migration may: references that do not wait, in a cycle and to itself; a sequence of old;
# no key; keys named like SQL; columns called as the trail's own are, which are something else; rows of its own.
EXTRA = f"""
CREATE TABLE "{PLAIN}" ("order!" text, "key %s {{}}!" integer, note text, "n %s" serial,
  PRIMARY KEY ("order!", "key %s {{}}!"));
CREATE TABLE "Abc" (id serial PRIMARY KEY, user_id integer, transaction_id text DEFAULT 'pg_current_xact_id()');
CREATE TABLE abc (id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, up smallint REFERENCES abc, later integer,
  person uuid REFERENCES shared.tenants_user DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE loose (said json, note text);
CREATE TABLE later (id integer PRIMARY KEY, abc smallint NOT NULL REFERENCES abc);
ALTER TABLE abc ADD FOREIGN KEY (later) REFERENCES later DEFERRABLE INITIALLY IMMEDIATE;
ALTER TABLE "Abc" ADD once integer UNIQUE DEFERRABLE INITIALLY DEFERRED;
INSERT INTO hostapp_tag (name) VALUES ('of the migration');
INSERT INTO hostapp_counter VALUES (1, 1);
INSERT INTO hostapp_webhookprovider (id, organization_id, provider_name, is_active, signing_key, api_token, plan)
  SELECT id, id, '', true, '', '', '' FROM hostapp_organization
""".split(";")


def fill(world: World) -> None:
    """Write rows into all tables of the host in initech, so that each has some and some have gone."""
    if world.tenant("initech") is None:
        settle(world)
    alice = world.person("alice").pk
    with world.scope("initech", "alice"):
        north, south = (host.Organization.objects.create(name=name, slug=name) for name in ("north", STRANGE[:9]))
        north.partners.add(south)
        north.tags.add(host.Tag.objects.create(name=STRANGE[:50]))
        one, two = (host.Member.objects.create(code=code, name=STRANGE) for code in ("Zoë", "zebra"))
        one.mentors.add(two)
        two.mentors.add(one)
        host.Employment.objects.create(organization=north, member=one)
        provider = host.WebhookProvider.objects.create(organization=north, provider_name="p", signing_key="secret")
        host.WebhookLog.objects.create(provider=provider, replayed_by=two, body={"of": STRANGE})
        host.Sample.objects.create(
            real=0.1, price="1.5", text=STRANGE, bytes=b"\x00\\", data=[STRANGE], words=[STRANGE[:20], "NULL"]
        )
        host.Restaurant.objects.create(name="r", stars=2)
        host.Counter.objects.create(id=-5)
        host.Seat.objects.create(row="B", number=1)
        host.Chosen.objects.create(visible="v", hidden="h")
        host.Untold.objects.create()
        host.Passport.objects.create(organization=north, number="1")
        host.Opening.objects.create(moment=dt.datetime(2020, 1, 2, tzinfo=dt.UTC))
        host.Series.objects.create(numbers=[1, None], grid=[[1], [2]], days=("2020-01-01", None))
        host.Letter.objects.create(title="t", body=STRANGE * 9)
        odd, other = (host.Odd.objects.create(name=name, größe=STRANGE) for name in ("one", "two"))
        odd.peers.add(other)
        other.peers.add(odd, other)
        host.Wide.objects.create(field_7=STRANGE)
        event = host.Event.objects.create(name="e")
        host.Ticket.objects.create(event=event, member=one, price="9.90")
        Token.objects.create(user_id=alice)
    with world.scope("initech", "bob"):
        host.Tag.objects.create(name="gone")
        host.Tag.objects.filter(name="gone").delete()
        host.Odd.objects.filter(name="one").update(select=STRANGE)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where it is exported to."""
    return tmp_path / "out"


@pytest.fixture
def wild(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[Any]]:
    """Make the tenant initech by a template that has tables no model makes; return a way to speak SQL in it."""
    made = template.current()
    last = made.steps[-1]
    steps = (*made.steps[:-1], replace(last, statements=(*(last.statements or ()), *EXTRA)))
    monkeypatch.setattr(template, "current", lambda: replace(made, steps=steps))
    settle(world)

    def speak(statement: str) -> list[Any]:
        with session(world, "superuser", "initech") as psql:
            cursor = psql.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    speak(f"INSERT INTO \"{PLAIN}\" VALUES ('b', 1, 'x'), ('B', 2, NULL), ('ä', 3, E'\\\\t\\\\\\\\.')")
    speak("INSERT INTO \"Abc\" (user_id, transaction_id, once) VALUES (7, 'tx_7', 1), (8, 'tx_8', 2)")
    speak(
        "INSERT INTO abc (up) VALUES (2), (1); INSERT INTO later VALUES (1, 2); UPDATE abc SET later = 1 WHERE id = 1"
    )
    speak("INSERT INTO loose VALUES ('{\"b\": 1}', 'n'), (NULL, NULL)")
    return speak


def moved(world: World, place: Path) -> Any:
    """Export initech, drop it, and import it."""
    export_tenant(world.tenant("initech"), place)
    drop(world.tenant("initech"))
    return import_tenant(place)


def guards(world: World) -> list[Any]:
    """Return how the triggers and the constraints of a tenant's schema stand."""
    schema = world.tenant("initech").schema_name
    return [
        world.sql(
            "SELECT c.relname, t.tgname, t.tgenabled, pg_get_triggerdef(t.oid) FROM pg_trigger t"
            " JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = %s::regnamespace AND NOT t.tgisinternal"
            " ORDER BY 1, 2",
            schema,
        ),
        world.sql(
            "SELECT conrelid::regclass::text, conname, condeferrable, condeferred, convalidated,"
            " pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = %s::regnamespace ORDER BY 1, 2",
            schema,
        ),
    ]


# --- there and back


def test_each_row_of_each_table_and_the_trail_are_as_they_were_to_the_byte(
    world: World, place: Path, tmp_path: Path
) -> None:
    fill(world)
    before, stood = contents(world, world.tenant("initech").schema_name), guards(world)
    every = [model for label in ("hostapp", "authtoken") for model in apps.get_app_config(label).get_models(True)]
    assert {model._meta.db_table for model in every if not before[model._meta.db_table]} == set()
    assert set(before) >= {"Odd table it's", "Peers of odd's"}
    moved(world, place)
    after = contents(world, world.tenant("initech").schema_name)
    assert guards(world) == stood
    assert {fires for _, name, fires, _ in stood[0] if name.startswith("daybook_")} == {"A"}
    old, new = before.pop("audit_log"), after.pop("audit_log")
    assert after == before
    assert set(old) < set(new)
    assert len(new) == len(old) + NEW
    again = export_tenant(world.tenant("initech"), tmp_path / "again")
    for file in manifest.read(place).tables:
        written, now = ((one / file.name).read_bytes() for one in (place, tmp_path / "again"))
        assert now == written or (file.table == "audit_log" and now.startswith(written)), file.table
    assert [file.name for file in again.files] == [file.name for file in manifest.read(place).files]


def test_nothing_that_was_loaded_is_told_and_the_next_write_is(world: World, place: Path) -> None:
    fill(world)
    imported = moved(world, place)
    trail = Trail(world, "initech")
    rows = world.sql(f"SELECT action, resource_type FROM {trail.table} ORDER BY id DESC LIMIT {NEW + 1}")
    assert rows[:NEW] == [("tenant.imported", "tenant"), ("created", "subscription")]
    assert rows[NEW] not in rows[:NEW]
    assert world.entries("initech") == imported.manifest.rows["audit_log"] + NEW
    with world.scope("initech", "mia"):
        host.Odd.objects.create(name="first")
        host.Organization.objects.filter(name="north").update(plan="pro")
    first, second = trail.told()
    assert (first.action, first.type, first.actor[2]) == ("created", "odd", address("mia"))
    assert second.changes == {"plan": {"old": "free", "new": "pro"}}


def test_what_fires_while_rows_are_loaded_would_be_told(
    world: World, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""
    fill(world)
    real = tables._triggers

    def trails(cursor: Any, schema: str) -> Any:
        return [row for row in real(cursor, schema) if not row[0].startswith("hostapp_")]

    monkeypatch.setattr(tables, "_triggers", trails)
    imported = moved(world, place)
    assert world.entries("initech") > imported.manifest.rows["audit_log"] + NEW + 20


def test_the_check_finds_nothing_afterwards(world: World, place: Path) -> None:
    fill(world)
    moved(world, place)
    out = io.StringIO()
    call_command("audit", "check", stdout=out)
    assert "Capture stands as declared" in out.getvalue()


# --- names


def test_a_table_of_any_name_has_a_file_in_the_directory(world: World, place: Path, wild: Any) -> None:
    names = {file.table: file.name for file in export_tenant(world.tenant("initech"), place).files}
    assert (names["abc"], names["hostapp_tag"]) == ("tables/abc.copy", "tables/hostapp_tag.copy")
    for table in ("Abc", WILD, "Odd table it's", "Peers of odd's"):
        assert names[table][:7] == "tables/"
        assert names[table][7:-5].isdigit()
    assert len({name.lower() for name in names.values()}) == len(names)
    assert {str(path.relative_to(place)) for path in place.rglob("*.copy")} == set(names.values()) - {"platform.json"}


def test_a_file_by_the_name_of_such_a_table_would_be_none(
    world: World, place: Path, wild: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""
    monkeypatch.setattr(manifest, "file_of", lambda table, _number: f"tables/{table}.copy")
    with pytest.raises(BadInput, match="could not be written"):
        export_tenant(world.tenant("initech"), place)


# --- references


def test_tables_no_model_makes_arrive_with_what_they_refer_to(world: World, place: Path, wild: Any) -> None:
    before, stood = contents(world, world.tenant("initech").schema_name), guards(world)
    moved(world, place)
    after = contents(world, world.tenant("initech").schema_name)
    assert after.pop("audit_log")[:-NEW] == before.pop("audit_log")
    assert after == before
    assert len(after["hostapp_tag"]) == 1
    assert guards(world) == stood
    with pytest.raises(Exception, match="violates foreign key"):
        wild("INSERT INTO abc (up) VALUES (99)")


@pytest.mark.parametrize(
    ("when", "error", "message"),
    [("IMMEDIATE", DatabaseError, "pending trigger events"), ("DEFERRED", BadExport, "violates foreign key")],
)
def test_references_that_are_not_checked_in_time_or_too_early_would_hinder_it(
    world: World, place: Path, monkeypatch: pytest.MonkeyPatch, when: str, error: type[Exception], message: str
) -> None:
    """The control: Django itself lets some wait for the end, and those of its later migrations not."""
    fill(world)
    real = tables._check_references
    monkeypatch.setattr(tables, "_check_references", lambda *told: None if told[-1] == when else real(*told))
    with pytest.raises(error, match=message):
        moved(world, place)


def test_rows_that_refer_to_none_are_refused_and_nothing_changes(world: World, place: Path) -> None:
    fill(world)
    export_tenant(world.tenant("initech"), place)
    drop(world.tenant("initech"))
    file = place / "tables/hostapp_member.copy"
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0])
    rewrite(place, lambda said: [one.update(rows=1) for one in said["files"] if one["table"] == "hostapp_member"])
    before = standing(world)
    with pytest.raises(BadExport, match=r'^The rows do not hold together here: .* violates foreign key .*"\.$'):
        import_tenant(place)
    assert standing(world) == before


def test_what_migrations_write_is_not_there_twice(
    world: World, place: Path, wild: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of what arrives above: the rows of a migration are in the new schema already."""
    monkeypatch.setattr(tables, "clear", lambda *_arguments: None)
    with pytest.raises(BadExport, match=r"duplicate key|not those of the manifest"):
        moved(world, place)


# --- people


def renewed(world: World, name: str) -> None:
    """Let a person be another one with the same address."""
    with world.platform():
        people.delete_user(User.objects.get(email=address(name)))
        people.create_user(email=address(name), name=name)


def test_a_row_that_is_somebodys_who_is_not_here_is_refused(world: World, place: Path) -> None:
    fill(world)
    export_tenant(world.tenant("initech"), place)
    drop(world.tenant("initech"))
    renewed(world, "alice")
    with pytest.raises(BadExport, match="authtoken_token"):
        import_tenant(place)


def test_columns_that_point_to_people_are_cleared_and_others_of_that_name_are_not(
    world: World, place: Path, wild: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    charlie, mia = world.person("charlie").pk, world.person("mia").pk
    wild(f"UPDATE abc SET person = CASE id WHEN 1 THEN '{charlie}'::uuid ELSE '{mia}' END")
    export_tenant(world.tenant("initech"), place)
    drop(world.tenant("initech"))
    renewed(world, "charlie")
    monkeypatch.setattr(arrival, "_shift", lambda *_arguments: 5)
    said = import_tenant(place)
    assert (said.adjusted.pointers_cleared, said.adjusted.transactions_shifted_by) == (1, 5)
    assert wild("SELECT id, person FROM abc ORDER BY id") == [(1, None), (2, mia)]
    assert wild('SELECT user_id, transaction_id FROM "Abc" ORDER BY id') == [(7, "tx_7"), (8, "tx_8")]


# --- what counts


def counted(world: World) -> tuple[int, int]:
    """Write the next tag and the next odd row; return their numbers."""
    with world.scope("initech"):
        return host.Tag.objects.create(name="next").pk, host.Odd.objects.create().pk


def test_numbers_go_on_after_the_last_one_given_though_its_row_is_gone(world: World, place: Path, wild: Any) -> None:
    fill(world)
    moved(world, place)
    # Two tags were made after that of the migration, of which the second was deleted: its number is in the trail.
    assert counted(world) == (4, 3)
    assert wild(f'INSERT INTO "{PLAIN}" VALUES (\'\', 0) RETURNING "n %s"') == [(4,)]
    assert wild('INSERT INTO "Abc" DEFAULT VALUES RETURNING id') == [(3,)]
    assert wild("INSERT INTO abc DEFAULT VALUES RETURNING id") == [(3,)]
    assert wild("INSERT INTO hostapp_letter (title, body, sender, note) VALUES ('', '', '', '') RETURNING id") == [(2,)]


def test_numbers_go_on_after_the_largest_key_which_nothing_had_given(world: World, place: Path) -> None:
    settle(world)
    with world.scope("initech"), connection.cursor() as cursor:
        cursor.execute("INSERT INTO hostapp_tag (id, name) VALUES (70, 'by itself')")
    moved(world, place)
    assert counted(world) == (71, 1)


def test_without_it_the_first_number_would_be_given_again(
    world: World, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""
    fill(world)
    monkeypatch.setattr(tables, "go_on", lambda *_arguments: None)
    moved(world, place)
    with pytest.raises(DatabaseError, match="duplicate key"):
        counted(world)


# --- the format before this one


def test_an_export_of_the_first_format_is_read(world: World, place: Path) -> None:
    """It named each file by its table, and did not say the last numbers given."""
    fill(world)
    before = contents(world, world.tenant("initech").schema_name)
    export_tenant(world.tenant("initech"), place)
    drop(world.tenant("initech"))

    def older(said: dict[str, Any]) -> None:
        said["format"] = 1
        for file in said["files"]:
            del file["last"]
            if file["table"]:
                name = f"tables/{file['table']}.copy"
                (place / file["name"]).rename(place / name)
                file["name"] = name

    rewrite(place, older)
    assert (place / "tables/Odd table it's.copy").exists()
    import_tenant(place)
    after = contents(world, world.tenant("initech").schema_name)
    assert {name: rows for name, rows in after.items() if rows != before[name]}.keys() == {"audit_log"}
    assert counted(world) == (2, 3)


@pytest.mark.parametrize("table", ["../../x", "a/b", "..", "/etc/passwd"])
def test_a_table_gives_no_file_a_name_outside_the_directory(world: World, place: Path, table: str) -> None:
    settle(world)
    export_tenant(world.tenant("initech"), place)

    def named(said: dict[str, Any]) -> None:
        said["files"][-1].update(table=table, name=f"tables/{table}.copy")

    rewrite(place, named)
    with pytest.raises(BadExport, match="names files that no export has" if "/" in table else "is missing"):
        import_tenant(place)
