"""No change without its entry: cases 26, 29, 32, 48 and 50. What cannot be told does not happen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from clones import copied
from django.core import serializers
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections, transaction
from hostapp.models import Counter, Organization, Place, Tag
from seen import Trail, session
from world import World

from audit.capture import capture_paused
from subscriptions.models import Plan
from tenants import provisioning
from tenants.context import enter_tenant
from tenants.errors import NoScope

Break = Callable[[World, str], None]


def constraint(world: World, trail: str) -> None:
    """A constraint that no entry about counters, places or plans meets."""
    world.sql(
        f"ALTER TABLE {trail} ADD CONSTRAINT broken CHECK (resource_type NOT IN ('counter', 'place', 'plan')) NOT VALID"
    )


def trigger(world: World, trail: str) -> None:
    """A trigger that fails for such an entry."""
    world.sql(
        "CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.resource_type IN ('counter',"
        " 'place', 'plan') THEN RAISE 'broken'; END IF; RETURN NEW; END $$;"
        f"CREATE TRIGGER broken BEFORE INSERT ON {trail} FOR EACH ROW EXECUTE FUNCTION public.fail();"
        f"ALTER TABLE {trail} ENABLE ALWAYS TRIGGER broken"
    )


def gone(world: World, trail: str) -> None:
    """A trail that has another name."""
    world.sql(f"ALTER TABLE {trail} RENAME TO elsewhere")


BROKEN = pytest.mark.parametrize("broken", [constraint, trigger, gone])


def values(world: World) -> list[tuple[int, int]]:
    return world.sql(f"SELECT id, value FROM {world.acme.schema_name}.hostapp_counter ORDER BY id")


@pytest.fixture
def counters(world: World) -> World:
    """Two counters."""
    with world.scope("acme"):
        Counter.objects.bulk_create([Counter(id=1, value=1), Counter(id=2, value=2)])
    return world


WRITES: list[Callable[[], object]] = [
    lambda: Counter.objects.create(id=3),
    lambda: Counter.objects.get(pk=1).delete(),
    lambda: Counter.objects.update(value=9),
    lambda: Counter.objects.all().delete(),
    lambda: Counter.objects.bulk_create([Counter(id=4), Counter(id=5)]),
    lambda: Counter.objects.bulk_update([Counter(id=1, value=7)], ["value"]),
]


@BROKEN
def test_a_write_whose_entry_fails_fails_with_it(counters: World, broken: Break) -> None:
    broken(counters, f"{counters.acme.schema_name}.audit_log")

    def attempt(write: Callable[[], object]) -> None:
        with counters.scope("acme"):
            write()

    for write in WRITES:
        with pytest.raises(DatabaseError):
            attempt(write)
        assert values(counters) == [(1, 1), (2, 2)]


@BROKEN
@pytest.mark.parametrize("who", ["tenant", "owner", "superuser"])
def test_a_single_statement_of_a_session_fails_with_its_entry(counters: World, broken: Break, who: str) -> None:
    broken(counters, f"{counters.acme.schema_name}.audit_log")
    statements = (
        "UPDATE hostapp_counter SET value = 9",
        "INSERT INTO hostapp_counter VALUES (3, 3)",
        "DELETE FROM hostapp_counter",
        "TRUNCATE hostapp_counter",
        "COPY hostapp_counter FROM PROGRAM 'echo 3,3' WITH (FORMAT csv)",
    )
    with session(counters, who) as psql:
        for statement in statements:
            with pytest.raises(psycopg.Error):
                psql.execute(statement.encode())
    assert values(counters) == [(1, 1), (2, 2)]


def test_a_savepoint_fails_with_its_entry_and_the_rest_goes_on(counters: World) -> None:
    constraint(counters, f"{counters.acme.schema_name}.audit_log")
    trail = Trail(counters)

    def attempt() -> None:
        with transaction.atomic():
            Tag.objects.create(name="blue")
            Counter.objects.update(value=9)

    with counters.scope("acme"):
        Tag.objects.create(name="red")
        with pytest.raises(DatabaseError, match="broken"):
            attempt()
        Tag.objects.create(name="green")
    assert [entry.changes["name"]["new"] for entry in trail.told()] == ["red", "green"]
    assert values(counters) == [(1, 1), (2, 2)]


def test_an_error_that_is_passed_over_commits_nothing(counters: World) -> None:
    constraint(counters, f"{counters.acme.schema_name}.audit_log")
    trail = Trail(counters)

    with counters.scope("acme"):
        Tag.objects.create(name="red")
        with pytest.raises(DatabaseError):
            Counter.objects.update(value=9)
    assert trail.rows() == []
    assert counters.sql(f"SELECT * FROM {trail.schema}.hostapp_tag") == []
    assert values(counters) == [(1, 1), (2, 2)]


def test_one_row_that_cannot_be_told_keeps_all_of_its_statement_back(counters: World) -> None:
    trail = f"{counters.acme.schema_name}.audit_log"
    counters.sql(f"ALTER TABLE {trail} ADD CONSTRAINT broken CHECK (resource_key IS DISTINCT FROM '77') NOT VALID")

    def attempt() -> None:
        with counters.scope("acme"):
            Counter.objects.bulk_create(Counter(id=key) for key in range(70, 80))

    with pytest.raises(DatabaseError, match="broken"):
        attempt()
    assert values(counters) == [(1, 1), (2, 2)]


@BROKEN
def test_a_shared_row_whose_entry_fails_stays_as_it_was(world: World, broken: Break) -> None:
    broken(world, "shared.platform_log")

    def attempt() -> None:
        with world.platform("sam"):
            Plan.objects.update(name="x")

    with pytest.raises(DatabaseError):
        attempt()
    assert world.sql("SELECT count(*) FROM shared.subscriptions_plan WHERE name = 'x'") == [(0,)]


def test_a_shared_row_whose_copy_fails_stays_as_it_was(world: World) -> None:
    """The tenant's own trail cannot be written, and so the platform log says nothing either."""
    trail = f"{world.acme.schema_name}.audit_log"
    world.sql(f"ALTER TABLE {trail} ADD CONSTRAINT broken CHECK (resource_type <> 'tenant') NOT VALID")
    platform = Trail(world, None)
    with pytest.raises(psycopg.errors.CheckViolation):
        world.sql("UPDATE shared.tenants_tenant SET name = 'x'")
    assert platform.rows() == []
    assert world.sql("SELECT count(*) FROM shared.tenants_tenant WHERE name = 'x'") == [(0,)]


def attempts() -> list[Callable[[], object]]:
    return [
        lambda: Organization.objects.create(name="North", slug="north"),
        lambda: Organization.objects.update(name="x"),
        lambda: Organization.objects.bulk_create([Organization(name="North", slug="north")]),
        lambda: Counter.objects.filter(id=1).delete(),
    ]


def test_a_write_without_a_tenant_is_refused_with_a_clear_error_and_nothing_is_written(counters: World) -> None:
    trails = [Trail(counters, slug) for slug in ("acme", "globex", None)]
    for attempt in attempts():
        with pytest.raises(NoScope, match="tenant_scope"):
            attempt()
    assert [trail.rows() for trail in trails] == [[], [], []]
    assert values(counters) == [(1, 1), (2, 2)]


def test_a_write_of_the_platform_outside_of_tenants_is_refused(counters: World) -> None:
    trails = [Trail(counters, slug) for slug in ("acme", "globex", None)]

    def in_platform(attempt: Callable[[], object]) -> None:
        with counters.platform("sam"):
            attempt()

    for attempt in attempts():
        with pytest.raises(DatabaseError, match="does not exist"):
            in_platform(attempt)
    assert [trail.rows() for trail in trails] == [[], [], []]


def test_a_write_of_the_platform_within_a_tenant_is_refused(counters: World) -> None:
    trails = [Trail(counters, slug) for slug in ("acme", "globex", None)]
    acme = counters.acme

    def within(attempt: Callable[[], object]) -> None:
        with counters.platform("sam"), enter_tenant(acme):
            attempt()

    for attempt in attempts():
        with pytest.raises(DatabaseError, match="permission denied"):
            within(attempt)
    assert [trail.rows() for trail in trails] == [[], [], []]
    assert values(counters) == [(1, 1), (2, 2)]


_TRIGGERS = """
SELECT c.relname, t.tgname, t.tgenabled::text FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
 WHERE c.relnamespace = %s::regnamespace AND t.tgname ~ '^daybook_' ORDER BY 1, 2
"""


def test_a_new_tenant_captures_before_its_first_row(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hook is the first that sees the new schema: what it writes there, from outside, is told already."""

    def first(tenant: Any) -> None:
        world.sql(f"INSERT INTO {tenant.schema_name}.hostapp_counter VALUES (1, 1)")

    monkeypatch.setattr(provisioning, "on_created", [first])
    tenant = provisioning.create_tenant(slug="hooli", name="Hooli", domain="hooli.localhost")
    rows = world.sql(f"SELECT action, resource_key FROM {tenant.schema_name}.audit_log WHERE captured")
    assert rows == [("created", "1")]
    triggers = world.sql(_TRIGGERS, tenant.schema_name)
    assert triggers == world.sql(_TRIGGERS, world.acme.schema_name)
    assert {enabled for _, _, enabled in triggers} == {"A"}
    with world.scope("hooli"):
        Organization.objects.create(name="North", slug="north").tags.add(Tag.objects.create(name="red"))
    told = world.sql(f"SELECT action FROM {tenant.schema_name}.audit_log WHERE captured ORDER BY id")
    assert told == [("created",), ("created",), ("created",), ("linked",)]
    provisioning.drop_tenant(tenant)


@pytest.fixture
def other(world: World, superuser: psycopg.Connection[Any]) -> Iterator[World]:
    """A second database with the same world, where acme's data is from now on."""
    with copied(superuser, "world") as there:
        connections.settings["other"] = {**deepcopy(connections.settings["default"]), "NAME": there.database}
        world.sql("UPDATE shared.tenants_tenant SET shard = 'other' WHERE slug = 'acme'")
        yield there
        connections["other"].close()
        connections["other"].close_pool()  # type: ignore[attr-defined]
        del connections["other"], connections.settings["other"]


def test_an_entry_is_in_the_database_that_its_row_is_in(world: World, other: World) -> None:
    here, there, globex = Trail(world), Trail(other), Trail(world, "globex")
    with world.scope("acme", "alice"):
        Counter.objects.create(id=1, value=1)
        Counter.objects.using("other").update(value=2)
    with world.scope("globex"):
        Counter.objects.create(id=9)
    assert here.rows() == []
    assert [(entry.action, entry.id) for entry in there.told()] == [("created", "1"), ("updated", "1")]
    assert [entry.id for entry in globex.told()] == ["9"]


def test_a_row_that_the_owners_alias_writes_is_told_as_well(counters: World) -> None:
    """Django's second alias of the same database, which has no scope: its login is named."""
    trail = Trail(counters)
    schema = counters.acme.schema_name
    with transaction.atomic(using="owner"), connections["owner"].cursor() as cursor:
        cursor.execute(f"SET LOCAL search_path = {schema}")
        Counter.objects.using("owner").filter(id=1).update(value=5)
    (entry,) = trail.told()
    assert (entry.actor[1], entry.source, entry.changes) == (
        "daybook_owner",
        "database",
        {"value": {"old": 1, "new": 5}},
    )


COUNTER = {"model": "hostapp.counter", "pk": 1, "fields": {"value": 3}}


def fixture(path: Path, *rows: dict[str, Any]) -> str:
    file = path / "rows.json"
    file.write_text(json.dumps(rows))
    return str(file)


def test_a_fixture_that_is_loaded_is_told_row_by_row_with_its_source(world: World, tmp_path: Path) -> None:
    trail = Trail(world)
    key = uuid4()
    north = {"model": "hostapp.organization", "pk": str(key), "fields": {"name": "North", "slug": "north", "tags": [1]}}
    file = fixture(tmp_path, COUNTER, {"model": "hostapp.tag", "fields": {"name": "red"}}, north)
    call_command("loaddata", file, tenant="acme", actor="alice@acme.example", verbosity=0)
    entries = trail.told()
    assert [(entry.action, entry.type, entry.id) for entry in entries] == [
        ("created", "counter", "1"),
        ("created", "tag", "1"),
        ("created", "organization", str(key)),
        ("linked", "organization", str(key)),
    ]
    assert {(entry.source, entry.actor[2]) for entry in entries} == {("fixture", "alice@acme.example")}
    assert len({entry.transaction for entry in entries}) == 1
    # Again, nothing changes.
    call_command("loaddata", fixture(tmp_path, COUNTER, north), tenant="acme", verbosity=0)
    assert trail.told() == []


def test_a_fixture_with_keys_that_the_database_counts_is_refused(world: World, tmp_path: Path) -> None:
    """A tenant cannot set the count, so that a later row would be refused for its key."""
    trail = Trail(world)
    file = fixture(tmp_path, COUNTER, {"model": "hostapp.tag", "pk": 7, "fields": {"name": "red"}})
    with pytest.raises(CommandError, match=r"hostapp.Tag 7: .* Leave `pk` out"):
        call_command("loaddata", file, tenant="acme", verbosity=0)
    assert (trail.rows(), values(world)) == ([], [])


def test_a_fixture_without_a_tenant_is_refused(world: World, tmp_path: Path) -> None:
    file = fixture(tmp_path, COUNTER)
    with pytest.raises(CommandError, match="Say where"):
        call_command("loaddata", file, verbosity=0)
    assert values(world) == []


def test_a_fixture_that_fails_leaves_nothing(world: World, tmp_path: Path) -> None:
    trail = Trail(world)
    file = fixture(tmp_path, COUNTER, {"model": "hostapp.counter", "pk": "x", "fields": {}})
    with pytest.raises(serializers.base.DeserializationError):
        call_command("loaddata", file, tenant="acme", verbosity=0)
    assert (trail.rows(), values(world)) == ([], [])


def test_a_fixture_may_be_loaded_without_an_entry_for_each_row(world: World, tmp_path: Path) -> None:
    trail = Trail(world)
    file = fixture(tmp_path, COUNTER)
    with world.scope("acme"), capture_paused(reason="The rows of the demo"):
        for row in serializers.deserialize("json", Path(file).read_text()):
            row.save()
    assert [row["action"] for row in trail.rows()] == ["capture.paused"]
    assert values(world) == [(1, 3)]


def test_rows_that_are_saved_raw_are_told(world: World) -> None:
    trail = Trail(world)
    with world.scope("acme", source="fixture"):
        Place(pk=1, name="Inn").save_base(raw=True)
        Place(pk=1, name="Pub").save_base(raw=True)
    assert [(entry.action, entry.source) for entry in trail.told()] == [("created", "fixture"), ("updated", "fixture")]
    assert connection.vendor == "postgresql"
