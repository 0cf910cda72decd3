"""Positions: each committed entry gets one, once, in one line without a gap, whoever wrote it and however."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import connections
from trails import fill, generated
from world import World
from yard import Yard

from audit.entry import millis_of
from audit.events import Event, Party
from audit.integrity import sequencer
from audit.integrity.positions import BLOCK, Positions, locate
from audit.ledger import append
from audit.models import AuditLog
from subscriptions.models import PlatformLog
from tenants.context import SYSTEM, platform_scope, roll_back, tenant_scope

COLUMNS = """(version, actor_key, actor_type, action, operation, outcome, source, resource_type, resource_key, salt)"""
ROW = "(1, 'x', 'system', 'a', 'other', 'success', 'job', 't', '1', '\\x00')"


@pytest.fixture
def yard(world: World) -> Yard:
    return Yard(world)


def line(world: World, table: str = "audit_log") -> list[UUID]:
    """Return the ids of a trail by position."""
    place = f"{world.acme.schema_name}.{table}" if table == "audit_log" else f"shared.{table}"
    return [key for (ids,) in world.sql(f"SELECT ids FROM {place}_position ORDER BY number") for key in ids]


def trail(world: World) -> set[UUID]:
    return {key for (key,) in world.sql(f"SELECT id FROM {world.acme.schema_name}.audit_log")}


def write(world: World, number: int) -> list[UUID]:
    with world.scope("acme"):
        event = Event(action="a", resource=Party("t", "1"))
        return [entry.id for entry in append(AuditLog, [event] * number)]


def test_positions_are_one_line_over_all_that_is_committed(world: World) -> None:
    for number in (1, 2, 61, 64, 65, 200, 1):
        write(world, number)
        world.sequence()
        assert len(line(world)) == len(set(line(world)))
        assert set(line(world)) == trail(world)
    rows = world.sql(f"SELECT number, cardinality(ids) FROM {world.acme.schema_name}.audit_log_position ORDER BY 1")
    assert [number for number, _ in rows] == [*range(len(rows))]
    assert {size for _, size in rows[:-1]} == {BLOCK}


def test_what_came_first_is_sequenced_first_however_much_waits(world: World) -> None:
    world.sequence()
    waiting = [write(world, 1)[0] for _ in range(300)]
    assert world.sql("SELECT gate.sequence(100)") == [(100,)]
    # Now there is room before those that still wait.
    world.sql("VACUUM guard.outbox")
    late = [write(world, 1)[0] for _ in range(60)]
    assert world.sql("SELECT gate.sequence(60)") == [(60,)]
    assert line(world)[-160:] == waiting[:160]
    world.sequence()
    assert line(world)[-360:] == waiting + late


def test_the_row_of_a_time_is_that_of_most_of_its_entries(world: World) -> None:
    """An entry whose transaction took long stands among much later ones."""
    tenant, actor = world.acme, world.actor("alice")
    written, over = threading.Event(), threading.Event()

    def take_long() -> None:
        with tenant_scope(tenant, actor=actor):
            append(AuditLog, [Event(action="long", resource=Party("t", "1"))])
            written.set()
            over.wait(60)
        connections["default"].close()

    thread = threading.Thread(target=take_long)
    thread.start()
    written.wait(60)
    early = [write(world, 1)[0] for _ in range(3 * BLOCK)]
    world.sequence()
    time.sleep(3)
    over.set()
    thread.join()
    write(world, 2 * BLOCK)
    world.sequence()
    with world.scope("acme"):
        positions = Positions(AuditLog, "default")
        for key in early[BLOCK :: BLOCK // 2]:
            assert positions.row_at(millis_of(key)) in {(at := positions.of([key])[key] // BLOCK), at + 1, at - 1}


def test_each_id_is_found_at_its_position_and_back(world: World) -> None:
    write(world, 300)
    world.sequence()
    expected = line(world)
    with world.scope("acme"):
        positions = Positions(AuditLog, "default")
        assert positions.head() == len(expected)
        assert positions.of(expected) == {key: n for n, key in enumerate(expected)}
        assert positions.of([]) == {}
        for start, stop in ((0, 1), (0, 64), (63, 65), (100, 300), (64, 64), (0, 10_000)):
            assert positions.ids(start, stop) == expected[start:stop]
        entries = list(AuditLog.objects.all())
        locate(entries)
        assert {entry.position: entry.id for entry in entries} == dict(enumerate(expected))


def test_an_entry_has_no_position_before_it_is_sequenced(world: World) -> None:
    (key,) = write(world, 1)
    with world.scope("acme"):
        entry = AuditLog.objects.get(pk=key)
        locate([entry])
        assert entry.position is None


def test_what_is_rolled_back_gets_no_position(world: World) -> None:
    with world.scope("acme"):
        lost = append(AuditLog, [Event(action="a", resource=Party("t", "1"))])[0].id
        roll_back()
    kept = write(world, 1)[0]
    world.sequence()
    assert kept in line(world)
    assert lost not in line(world)


def test_a_savepoint_that_is_rolled_back_gets_none_either(world: World) -> None:
    from django.db import transaction

    with world.scope("acme"):
        with transaction.atomic():
            lost = append(AuditLog, [Event(action="a", resource=Party("t", "1"))])[0].id
            transaction.set_rollback(True)
        kept = append(AuditLog, [Event(action="a", resource=Party("t", "1"))])[0].id
    world.sequence()
    assert (kept in line(world), lost in line(world)) == (True, False)


@pytest.mark.parametrize("way", ["insert", "copy", "partition", "replica", "returning", "merge"])
def test_every_way_by_which_an_entry_comes_in_is_noted(world: World, way: str) -> None:
    place = f"{world.acme.schema_name}.audit_log"
    before = len(trail(world))
    with psycopg.connect(world.superuser, dbname=world.database) as connection:
        if way == "copy":
            with connection.cursor().copy(f"COPY {place} {COLUMNS} FROM STDIN") as copy:
                for _ in range(3):
                    copy.write_row((1, "x", "system", "a", "other", "success", "job", "t", "1", b"\0"))
        elif way == "partition":
            connection.execute(f"INSERT INTO {place}_default {COLUMNS} VALUES {ROW}, {ROW}, {ROW}")
        elif way == "replica":
            connection.execute("SET session_replication_role = replica")
            connection.execute(f"INSERT INTO {place} {COLUMNS} VALUES {ROW}, {ROW}, {ROW}")
        elif way == "merge":
            connection.execute(
                f"MERGE INTO {place} AS t USING generate_series(1, 3) AS n ON false "
                f"WHEN NOT MATCHED THEN INSERT {COLUMNS} VALUES {ROW}"
            )
        else:
            connection.execute(f"INSERT INTO {place} {COLUMNS} VALUES {ROW}, {ROW}, {ROW} RETURNING id")
    world.sequence()
    assert len(trail(world)) == before + 3
    assert set(line(world)) == trail(world)
    assert len(line(world)) == len(trail(world))


def test_the_platforms_own_trail_is_sequenced_as_well(world: World) -> None:
    with platform_scope(actor=SYSTEM):
        append(PlatformLog, [Event(action="a", resource=Party("t", "1"))] * 3)
    world.sequence()
    ids = {key for (key,) in world.sql("SELECT id FROM shared.platform_log")}
    assert set(line(world, "platform_log")) == ids


def test_a_partition_of_a_month_is_noted_too(yard: Yard) -> None:
    part = yard.name("audit_log") + "_default"
    found = yard.world.sql(
        "SELECT tgrelid::regclass::text FROM pg_trigger"
        " WHERE tgname = 'note_entries' AND tgrelid::regclass::text LIKE %s",
        f"{yard.name('audit_log')}%",
    )
    assert len(found) >= 3
    assert (part,) in found


def test_writers_that_commit_out_of_order_lose_and_repeat_nothing(world: World) -> None:
    tenant, actor = world.acme, world.actor("alice")
    over = threading.Event()

    def sequence() -> None:
        while not over.is_set():
            sequencer.sequence()
        connections["default"].close()

    def work(seed: int) -> None:
        pick = random.Random(seed)
        for _ in range(12):
            with tenant_scope(tenant, actor=actor):
                append(AuditLog, [Event(action="a", resource=Party("t", "1"))] * pick.randint(1, 5))
                time.sleep(pick.random() * 0.03)
                if pick.random() < 0.1:
                    roll_back()
        connections["default"].close()

    threads = [threading.Thread(target=sequence) for _ in range(2)]
    for thread in threads:
        thread.start()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    over.set()
    for thread in threads:
        thread.join()
    world.sequence()
    found = line(world)
    assert len(found) == len(set(found))
    assert set(found) == trail(world)


def test_one_sequences_at_a_time(world: World) -> None:
    write(world, 5)
    with psycopg.connect(world.superuser, dbname=world.database) as other:
        assert other.execute("SELECT gate.sequence(500)").fetchone() not in {None, (None,)}
        write(world, 1)
        assert sequencer.sequence() == 0
    assert sequencer.sequence() > 0


def test_a_sequencer_that_dies_leaves_all_for_the_next(world: World) -> None:
    world.sequence()
    before = line(world)
    new = write(world, 70)
    other = psycopg.connect(world.superuser, dbname=world.database)
    assert other.execute("SELECT gate.sequence(500)").fetchone() == (70,)
    world.sql("SELECT pg_terminate_backend(%s)", other.info.backend_pid)
    other.close()
    assert line(world) == before
    world.sequence()
    assert line(world) == [*before, *new]


def test_an_id_that_stands_in_no_trail_gets_no_position(world: World) -> None:
    world.sequence()
    before = line(world)
    place = f"{world.acme.schema_name}.audit_log"
    world.sql(f"INSERT INTO guard.outbox (trail, ids) VALUES ('{place}', ARRAY[gen_random_uuid()])")
    world.sequence()
    assert line(world) == before


def test_a_dropped_trail_holds_nobody_up(world: World) -> None:
    from tenants import provisioning

    tenant = provisioning.create_tenant(slug="initech", name="Initech", domain="initech.localhost")
    with tenant_scope(tenant, actor=SYSTEM):
        append(AuditLog, [Event(action="a", resource=Party("t", "1"))])
    provisioning.drop_tenant(tenant)
    new = write(world, 1)
    world.sequence()
    assert line(world)[-1:] == new
    assert world.sql("SELECT count(*) FROM guard.outbox") == [(0,)]


def test_a_trail_that_cannot_be_sequenced_holds_up_no_other(world: World) -> None:
    broken = world.globex.schema_name
    world.sql(f"ALTER TABLE {broken}.audit_log_position RENAME TO gone")
    with tenant_scope(world.globex, actor=SYSTEM):
        append(AuditLog, [Event(action="a", resource=Party("t", "1"))])
    new = write(world, 1)
    world.sequence()
    assert line(world)[-1:] == new
    world.sql(f"ALTER TABLE {broken}.gone RENAME TO audit_log_position")
    world.sequence()
    assert world.sql("SELECT count(*) FROM guard.outbox") == [(0,)]
    held = world.sql(
        f"SELECT count(*) FROM {broken}.audit_log WHERE id NOT IN (SELECT unnest(ids) FROM {broken}.audit_log_position)"
    )
    assert held == [(0,)]


def test_a_trail_that_could_not_be_sequenced_goes_on_in_its_order(world: World) -> None:
    world.sequence()
    schema = world.acme.schema_name
    world.sql(f"ALTER TABLE {schema}.audit_log_position RENAME TO gone")
    waiting = [write(world, 1)[0] for _ in range(10)]
    for _ in range(2):
        assert world.sql("SELECT gate.sequence(4)") == [(0,)]
    waiting += write(world, 1)
    world.sql(f"ALTER TABLE {schema}.gone RENAME TO audit_log_position")
    while world.sql("SELECT gate.sequence(1)") != [(0,)]:
        pass
    assert line(world)[-11:] == waiting


CHANGES = [
    "UPDATE {p} SET ids = ids[2:]",
    "UPDATE {p} SET ids = array_replace(ids, ids[1], gen_random_uuid())",
    "UPDATE {p} SET number = number + 1",
    "UPDATE {p} SET span = 'empty'",
    "DELETE FROM {p}",
    "TRUNCATE {p}",
]


@pytest.mark.parametrize("statement", CHANGES)
@pytest.mark.parametrize("role", ["owner", "tenant"])
def test_nobody_changes_a_position(yard: Yard, statement: str, role: str) -> None:
    place = f"{yard.name('audit_log')}_position"
    yard.world.sequence()
    before = yard.world.sql(f"SELECT * FROM {place}")
    assert before
    with yard.as_role(role) as connection, pytest.raises(psycopg.Error):
        connection.execute(statement.format(p=place))
    assert yard.world.sql(f"SELECT * FROM {place}") == before


@pytest.mark.parametrize("table", ["guard.outbox", "guard.unindexed", "{p}_position", "{p}_words"])
@pytest.mark.parametrize("role", ["tenant", "platform", "auditor", "login"])
def test_no_role_of_the_application_writes_what_is_sequenced(yard: Yard, table: str, role: str) -> None:
    place = table.format(p=yard.name("audit_log"))
    with yard.as_role(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(f"INSERT INTO {place} DEFAULT VALUES")


def test_no_role_but_the_login_may_sequence(yard: Yard) -> None:
    for role in ("tenant", "platform", "auditor"):
        with yard.as_role(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT gate.sequence(1)")


def test_an_entry_costs_at_most_24_bytes_of_positions(world: World) -> None:
    place = f"{world.acme.schema_name}.audit_log"
    world.sql(
        f"INSERT INTO {place} {COLUMNS} SELECT 1, 'x', 'system', 'a', 'other', 'success', 'job', 't', '1', '\\x00' "
        "FROM generate_series(1, 50000)"
    )
    world.sequence()
    place += "_position"
    world.sql(f"REINDEX TABLE {place}")
    size, entries = world.sql(f"SELECT pg_total_relation_size('{place}'), {len(line(world))}")[0]
    assert size / entries <= 24, size


def test_a_long_transaction_does_not_hide_where_its_ids_stand(world: World) -> None:
    tenant, actor = world.acme, world.actor("alice")
    wrote, commit, early = threading.Event(), threading.Event(), list[Any]()

    def slow() -> None:
        with tenant_scope(tenant, actor=actor):
            early.extend(append(AuditLog, [Event(action="slow", resource=Party("t", "1"))] * 3))
            wrote.set()
            commit.wait(10)
        connections["default"].close()

    thread = threading.Thread(target=slow)
    thread.start()
    wrote.wait(10)
    fill(world, generated(200))
    commit.set()
    thread.join()
    world.sequence()
    expected = line(world)
    assert expected[-3:] == [entry.id for entry in early]
    with world.scope("acme"):
        assert Positions(AuditLog, "default").of(expected) == {key: n for n, key in enumerate(expected)}
