"""Changes that no Django makes: raw SQL, COPY, MERGE, TRUNCATE, sessions without any context. Case 10."""

from __future__ import annotations

import psycopg
import pytest
from django.db import connection
from hostapp.models import Counter, Organization, Sample, Seat, Tag
from psycopg import errors, sql
from seen import Session, Told, Trail, done, session
from world import World

from tenants.backend.unit import tenant_role

EVERYONE = pytest.mark.parametrize("who", ["tenant", "owner", "superuser"])


def counters(world: World, *keys: int) -> None:
    with world.scope("acme"):
        Counter.objects.bulk_create(Counter(id=key, value=key) for key in keys)


def login(world: World, who: str) -> str:
    """Return the name under which somebody signs in to the database."""
    return {"tenant": str(world.acme.login), "owner": "daybook_owner", "superuser": "postgres"}[who]


def said(entries: list[Told]) -> list[tuple[str, str, object]]:
    return sorted((entry.action, entry.id, entry.changes.get("value")) for entry in entries)


@EVERYONE
def test_a_session_without_a_context_is_told_by_its_role_in_the_database(world: World, who: str) -> None:
    counters(world, 1, 2)
    trail, globex, platform = Trail(world), Trail(world, "globex"), Trail(world, None)
    with session(world, who) as psql:
        psql.execute("UPDATE hostapp_counter SET value = 5 WHERE id = 1")
        psql.execute("INSERT INTO hostapp_counter VALUES (3, 3)")
        psql.execute("DELETE FROM hostapp_counter WHERE id = 2")
    entries = trail.told()
    assert [(entry.action, entry.id, entry.changes["value"]) for entry in entries] == [
        ("updated", "1", {"old": 1, "new": 5}),
        ("created", "3", {"new": 3}),
        ("deleted", "2", {"old": 2}),
    ]
    name = login(world, who)
    for entry in entries:
        assert (entry.source, entry.actor) == ("database", ("system", name, name))
        nobody = ("user_id", "actor_uuid", "impersonator_id", "request_id", "ip", "agent_id")
        assert [entry.row[column] for column in nobody] == [None] * 6
    assert len({entry.transaction for entry in entries}) == 3
    assert (globex.rows(), platform.rows()) == ([], [])


@EVERYONE
def test_several_statements_of_a_session_in_one_transaction_stand_under_it(world: World, who: str) -> None:
    counters(world, 1)
    trail = Trail(world)
    with session(world, who) as psql, psql.transaction():
        psql.execute("UPDATE hostapp_counter SET value = 5")
        psql.execute("UPDATE hostapp_counter SET value = 6")
    assert len({entry.transaction for entry in trail.told()}) == 1


@EVERYONE
def test_what_copy_loads_is_told_row_by_row(world: World, who: str) -> None:
    trail = Trail(world)
    with session(world, who) as psql, psql.cursor().copy("COPY hostapp_counter (id, value) FROM STDIN") as copy:
        for number in range(500):
            copy.write_row((number, number * 2))
    told = {int(entry.id): entry.changes for entry in trail.told()}
    assert told == {number: {"value": {"new": number * 2}} for number in range(500)}


def test_copy_in_a_unit_of_work_names_who_acts(world: World) -> None:
    def load() -> None:
        with connection.cursor() as cursor, cursor.copy("COPY hostapp_counter (id, value) FROM STDIN") as copy:
            copy.write_row((1, 2))

    (entry,) = done(world, load)
    assert (entry.actor[2], entry.changes) == ("alice@acme.example", {"value": {"new": 2}})


def test_raw_sql_in_a_unit_of_work_names_who_acts(world: World) -> None:
    counters(world, 1)

    def raw() -> None:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE hostapp_counter SET value = value + %s", [1])
            cursor.executemany("INSERT INTO hostapp_counter VALUES (%s, %s)", [(7, 7), (8, 8)])

    entries = done(world, raw)
    assert said(entries) == [("created", "7", {"new": 7}), ("created", "8", {"new": 8}),
                             ("updated", "1", {"old": 1, "new": 2})]  # fmt: skip
    assert {entry.actor[2] for entry in entries} == {"alice@acme.example"}


@EVERYONE
def test_merge_tells_what_it_did_with_each_row(world: World, who: str) -> None:
    counters(world, 1, 2, 3)
    trail = Trail(world)
    with session(world, who) as psql:
        psql.execute(
            "MERGE INTO hostapp_counter AS c USING (VALUES (1, 10), (2, 0), (3, 3), (4, 40)) AS v (id, value)"
            " ON c.id = v.id WHEN MATCHED AND v.value = 0 THEN DELETE"
            " WHEN MATCHED THEN UPDATE SET value = v.value WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.value)"
        )
    assert said(trail.told()) == [
        ("created", "4", {"new": 40}),
        ("deleted", "2", {"old": 2}),
        ("updated", "1", {"old": 1, "new": 10}),
    ]


@EVERYONE
def test_on_conflict_tells_new_rows_and_changed_ones_apart(world: World, who: str) -> None:
    counters(world, 1, 2)
    trail = Trail(world)
    insert = "INSERT INTO hostapp_counter VALUES (1, 10), (2, 2), (3, 3) ON CONFLICT (id) DO "
    with session(world, who) as psql:
        psql.execute(f"{insert} UPDATE SET value = excluded.value".encode())
        psql.execute(f"{insert} NOTHING".encode())
    assert said(trail.told()) == [("created", "3", {"new": 3}), ("updated", "1", {"old": 1, "new": 10})]


def test_a_statement_that_writes_in_several_parts_tells_all_of_them(world: World) -> None:
    counters(world, 1, 2, 3)
    trail = Trail(world)
    with session(world, "tenant") as psql:
        psql.execute(
            "WITH gone AS (DELETE FROM hostapp_counter WHERE id = 3 RETURNING *),"
            " more AS (UPDATE hostapp_counter SET value = 20 WHERE id = 2 RETURNING *),"
            " made AS (INSERT INTO hostapp_counter SELECT id + 1, value FROM gone RETURNING *)"
            " UPDATE hostapp_counter SET value = (SELECT count(*) FROM made) * 100 WHERE id = 1"
        )
    assert said(trail.told()) == [
        ("created", "4", {"new": 3}),
        ("deleted", "3", {"old": 3}),
        ("updated", "1", {"old": 1, "new": 100}),
        ("updated", "2", {"old": 2, "new": 20}),
    ]


@pytest.mark.parametrize("who", ["owner", "superuser"])
def test_truncate_tells_each_row_that_goes(world: World, who: str) -> None:
    counters(world, 1, 2, 3)
    trail = Trail(world)
    with session(world, who) as psql:
        psql.execute("TRUNCATE hostapp_counter")
        assert psql.execute("SELECT count(*) FROM hostapp_counter").fetchone() == (0,)
        psql.execute("TRUNCATE hostapp_counter")
    entries = trail.told()
    assert said(entries) == [("deleted", str(key), {"old": key}) for key in (1, 2, 3)]
    assert {(entry.operation, entry.source) for entry in entries} == {("delete", "database")}


def test_truncate_that_cascades_tells_the_rows_of_each_table(world: World) -> None:
    with world.scope("acme"):
        Organization.objects.create(name="North", slug="north").tags.add(Tag.objects.create(name="red"))
    trail = Trail(world)
    with session(world, "superuser") as psql:
        psql.execute("TRUNCATE hostapp_tag CASCADE")
    assert [(entry.action, entry.type) for entry in trail.told()] == [("deleted", "tag"), ("unlinked", "organization")]


def test_a_tenant_may_not_truncate(world: World) -> None:
    counters(world, 1)
    trail = Trail(world)
    with session(world, "tenant") as psql, pytest.raises(errors.InsufficientPrivilege):
        psql.execute("TRUNCATE hostapp_counter")
    assert trail.rows() == []


def test_a_session_that_plays_a_replica_is_captured(world: World) -> None:
    counters(world, 1)
    trail = Trail(world)
    with session(world, "superuser") as psql:
        psql.execute("SET session_replication_role = replica")
        psql.execute("UPDATE hostapp_counter SET value = 5")
        psql.execute("INSERT INTO hostapp_counter VALUES (2, 2)")
        psql.execute("DELETE FROM hostapp_counter WHERE id = 1")
        psql.execute("TRUNCATE hostapp_counter")
    assert [entry.action for entry in trail.told()] == ["updated", "created", "deleted", "deleted"]


def test_a_session_cannot_put_functions_of_its_own_in_the_way(world: World) -> None:
    """Neither a path nor an operator that comes first in it changes what an entry says."""
    counters(world, 1)
    trail = Trail(world)
    with session(world, "superuser") as psql:
        psql.execute("CREATE SCHEMA mine; GRANT USAGE ON SCHEMA mine TO PUBLIC")
        psql.execute("CREATE FUNCTION mine.to_json(integer) RETURNS json LANGUAGE sql AS $$SELECT '0'::json$$")
        psql.execute("CREATE FUNCTION mine.differs(integer, integer) RETURNS boolean LANGUAGE sql AS 'SELECT true'")
        psql.execute("CREATE OPERATOR mine.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = mine.differs)")
        place = sql.Identifier(world.acme.schema_name)
        psql.execute(sql.SQL("SET search_path = mine, {}, pg_catalog").format(place))
        psql.execute("UPDATE hostapp_counter SET value = 5")
    (entry,) = trail.told()
    assert entry.changes == {"value": {"old": 1, "new": 5}}


def test_values_are_told_alike_whatever_the_sessions_settings(world: World) -> None:
    with world.scope("acme"):
        Sample.objects.create(real=0.1, day="2026-01-02", moment="2026-01-02T03:04:05Z", span="1 03:00:00", bytes=b"\\")
    odd = (
        "SET timezone = 'Asia/Tokyo'; SET datestyle = 'SQL, DMY'; SET extra_float_digits = -5;"
        "SET bytea_output = escape; SET intervalstyle = sql_standard;"
    )
    there = (
        "UPDATE hostapp_sample SET real = 0.1::float8 + 0.2, day = '2027-03-04'::date, span = interval '2 days',"
        " moment = '2027-03-04T00:00:00.5Z', bytes = '\\x5c00'"
    )
    back = (
        "UPDATE hostapp_sample SET real = 0.1, day = '2026-01-02'::date, span = interval '1 day 3 hours',"
        " moment = '2026-01-02T03:04:05Z', bytes = '\\x5c'"
    )
    told = []
    for settings in ("", odd):
        trail = Trail(world)
        with session(world, "superuser") as psql:
            psql.execute(f"{settings}{there};{back}".encode())
        told.append([entry.changes for entry in trail.told()])
    assert told[0] == told[1]
    assert told[0][0] == {
        "real": {"old": 0.1, "new": 0.30000000000000004},
        "day": {"old": "2026-01-02", "new": "2027-03-04"},
        "moment": {"old": "2026-01-02T03:04:05.000000Z", "new": "2027-03-04T00:00:00.500000Z"},
        "span": {"old": "P1DT03H00M00S", "new": "P2DT00H00M00S"},
        "bytes": {"old": "XA==", "new": "XAA="},
    }


def test_keys_that_are_swapped_by_one_statement_are_told_each_with_its_former_one(world: World) -> None:
    counters(world, 1, 2)
    world.sql(
        f"ALTER TABLE {world.acme.schema_name}.hostapp_counter DROP CONSTRAINT hostapp_counter_pkey,"
        " ADD PRIMARY KEY (id) DEFERRABLE"
    )
    trail = Trail(world)
    with session(world, "tenant") as psql:
        psql.execute("UPDATE hostapp_counter SET id = 3 - id")
    told = sorted((entry.id, entry.changes["id"], entry.targets) for entry in trail.told())
    assert told == [
        ("1", {"old": 2, "new": 1}, [{"type": "counter", "id": "2", "label": ""}]),
        ("2", {"old": 1, "new": 2}, [{"type": "counter", "id": "1", "label": ""}]),
    ]


def test_keys_that_move_up_by_one_are_told_each_with_its_own_values(world: World) -> None:
    with world.scope("acme"):
        Counter.objects.bulk_create(Counter(id=key, value=key * 10) for key in range(50))
    trail = Trail(world)
    with session(world, "tenant") as psql:
        psql.execute("UPDATE hostapp_counter SET id = id + 1000, value = value + 1")
    told = {entry.id: entry.changes for entry in trail.told()}
    assert told == {
        str(key + 1000): {"id": {"old": key, "new": key + 1000}, "value": {"old": key * 10, "new": key * 10 + 1}}
        for key in range(50)
    }


def test_one_part_of_a_key_of_two_that_changes_names_the_whole_former_one(world: World) -> None:
    with world.scope("acme"):
        Seat.objects.create(row="A", number=1)
    trail = Trail(world)
    with session(world, "tenant") as psql:
        psql.execute("UPDATE hostapp_seat SET number = 2")
    (entry,) = trail.told()
    assert (entry.id, entry.changes) == ('["A", 2]', {"number": {"old": 1, "new": 2}})
    assert entry.targets == [{"type": "seat", "id": '["A", 1]', "label": ""}]


def test_a_context_that_a_session_forges_as_no_json_makes_its_writes_fail(world: World) -> None:
    counters(world, 1)
    trail = Trail(world)
    with session(world, "tenant") as psql:
        psql.execute("SET daybook.context = 'nothing that JSON knows'")
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            psql.execute("UPDATE hostapp_counter SET value = 5")
        assert value(psql) == 1
    assert trail.rows() == []


def value(psql: Session) -> int:
    row = psql.execute("SELECT value FROM hostapp_counter").fetchone()
    assert row
    return int(row[0])


def test_the_function_of_a_table_can_be_called_by_nobody(world: World) -> None:
    with session(world, "tenant") as psql:
        for routine in (
            f"{world.acme.schema_name}.daybook_capture_hostapp_counter()",
            "guard.capture(text, text, text)",
            "guard.release(text, text)",
        ):
            found = psql.execute("SELECT has_function_privilege(%s, 'EXECUTE')", [routine]).fetchone()
            assert found == (False,), routine
        with pytest.raises(errors.InsufficientPrivilege):
            psql.execute("CALL guard.capture('hostapp_counter', 'mine', 'BEGIN RETURN NULL; END')")
        with pytest.raises(errors.InsufficientPrivilege):
            psql.execute("CALL guard.release('hostapp_counter', 'daybook_capture_hostapp_counter')")
        with pytest.raises(errors.InsufficientPrivilege):
            psql.execute("ALTER TABLE hostapp_counter DISABLE TRIGGER daybook_update")


def test_rows_that_another_trigger_changes_are_told_as_they_are_stored(world: World) -> None:
    """A host's own triggers: one that alters the row before it is stored, one that drops it."""
    schema = world.acme.schema_name
    world.sql(
        f"CREATE FUNCTION {schema}.alter() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.value = 0 THEN"
        " RETURN NULL; END IF; NEW.value := NEW.value * 2; RETURN NEW; END $$;"
        f"CREATE TRIGGER alter BEFORE INSERT OR UPDATE ON {schema}.hostapp_counter FOR EACH ROW"
        f" EXECUTE FUNCTION {schema}.alter()"
    )
    trail = Trail(world)
    with session(world, "superuser") as psql:
        psql.execute("INSERT INTO hostapp_counter VALUES (1, 1), (2, 0), (3, 3)")
        psql.execute("UPDATE hostapp_counter SET value = CASE id WHEN 1 THEN 0 ELSE 4 END")
    assert said(trail.told()) == [
        ("created", "1", {"new": 2}),
        ("created", "3", {"new": 6}),
        ("updated", "3", {"old": 6, "new": 8}),
    ]


def test_the_login_of_a_tenant_is_named_and_not_the_role_that_it_took_on(world: World) -> None:
    trail = Trail(world)
    with session(world, "superuser") as psql:
        psql.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(tenant_role(world.acme.id))))
        psql.execute("INSERT INTO hostapp_place (name) VALUES ('Inn')")
    (entry,) = trail.told()
    assert entry.actor == ("system", "postgres", "postgres")
