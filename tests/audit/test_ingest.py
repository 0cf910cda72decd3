"""Batches from outside: one entry for each key, whatever is repeated, concurrent or rolled back."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from django.db import connections
from world import World

from audit import ingest
from audit.events import Event, Party
from audit.models import AuditLog
from tenants.context import roll_back, tenant_scope
from tenants.errors import NoScope

DAY = timedelta(hours=24)


def event(name: str = "1") -> Event:
    return Event(action="invoice.paid", resource=Party("invoice", name))


def written_in(world: World, slug: str) -> int:
    """Count the entries of these tests' events, beyond all walls."""
    schema = world.tenant(slug).schema_name
    return int(world.sql(f"SELECT count(*) FROM {schema}.audit_log WHERE action = 'invoice.paid'")[0][0])


def key(name: str) -> bytes:
    return ingest.digest("test", name)


def keys(world: World) -> set[bytes]:
    return {bytes(row[0]) for row in world.sql(f"SELECT digest FROM {world.acme.schema_name}.audit_key")}


def age(world: World, interval: str) -> None:
    """Let all keys be as much older."""
    older = "created_at = created_at - %s::interval, expires_at = expires_at - %s::interval"
    world.sql(f"UPDATE {world.acme.schema_name}.audit_key SET {older}", interval, interval)


def test_events_are_written_in_the_order_given(world: World) -> None:
    with world.scope("acme"):
        written = ingest.write([(None, event(str(number))) for number in range(5)], keep_for=DAY)
        stored = {entry.id: entry.resource_id for entry in AuditLog.objects.all()}
    assert [stored[one.id] for one in written] == ["0", "1", "2", "3", "4"]
    assert all(one.created for one in written)


def test_nothing_is_written_for_nothing(world: World) -> None:
    with world.scope("acme"):
        assert ingest.write([], keep_for=DAY) == []
    assert written_in(world, "acme") == 0


def test_a_key_repeated_in_a_batch_is_one_entry(world: World) -> None:
    batch = [(key("a"), event("1")), (None, event("2")), (key("a"), event("3")), (key("b"), event("4"))]
    with world.scope("acme"):
        written = ingest.write(batch, keep_for=DAY)
    assert [one.created for one in written] == [True, True, False, True]
    assert written[2].id == written[0].id
    assert written_in(world, "acme") == 3


def test_a_key_repeated_later_answers_the_first_entry(world: World) -> None:
    with world.scope("acme"):
        first = ingest.write([(key("a"), event())], keep_for=DAY)
    with world.scope("acme"):
        again = ingest.write([(key("b"), event()), (key("a"), event("other"))], keep_for=DAY)
    assert [one.created for one in again] == [True, False]
    assert again[1].id == first[0].id
    assert written_in(world, "acme") == 2


def test_a_key_of_one_tenant_means_nothing_to_another(world: World) -> None:
    for slug in ("acme", "globex"):
        with world.scope(slug):
            assert ingest.write([(key("a"), event())], keep_for=DAY)[0].created
    assert (written_in(world, "acme"), written_in(world, "globex")) == (1, 1)


def test_a_key_is_free_again_after_its_day(world: World) -> None:
    with world.scope("acme"):
        first = ingest.write([(key("a"), event())], keep_for=DAY)
    age(world, "23 hours 59 minutes")
    with world.scope("acme"):
        assert not ingest.write([(key("a"), event())], keep_for=DAY)[0].created
    age(world, "2 minutes")
    with world.scope("acme"):
        anew = ingest.write([(key("a"), event())], keep_for=DAY)[0]
    with world.scope("acme"):
        later = ingest.write([(key("a"), event())], keep_for=DAY)[0]
    assert anew.created
    assert anew.id != first[0].id
    assert (later.created, later.id) == (False, anew.id)


def test_a_key_of_an_import_is_kept_for_ever(world: World) -> None:
    with world.scope("acme"):
        first = ingest.import_events([(key("a"), event())])
    age(world, "10 years")
    with world.scope("acme"):
        again = ingest.import_events([(key("a"), event())])
    assert (again[0].created, again[0].id) == (False, first[0].id)
    assert written_in(world, "acme") == 1


def test_keys_that_have_expired_are_forgotten_some_at_a_time(world: World) -> None:
    with world.scope("acme"):
        ingest.write([(key(str(number)), event()) for number in range(10)], keep_for=DAY)
        ingest.import_events([(key("for ever"), event())])
    age(world, "24 hours 1 minute")
    for left in (8, 6):
        with world.scope("acme"):
            ingest.write([(key(f"new {left}"), event())], keep_for=DAY)
        assert len(keys(world) & {key(str(number)) for number in range(10)}) == left
    with world.scope("acme"):
        ingest.write([(None, event())], keep_for=DAY)
        ingest.import_events([(key("another"), event())])
    assert keys(world) >= {key("for ever"), key("another"), key("new 8"), key("new 6")}
    assert len(keys(world)) == 6 + 4


def test_an_expired_key_that_another_is_at_is_left_to_it(world: World) -> None:
    with world.scope("acme"):
        first = ingest.write([(key("a"), event())], keep_for=DAY)
    age(world, "24 hours 1 minute")
    lock = f"SELECT 1 FROM {world.acme.schema_name}.audit_key FOR UPDATE"
    with psycopg.connect(world.superuser, dbname=world.database) as holder:
        holder.execute(lock)
        with world.scope("acme"):
            ingest.write([(key("b"), event())], keep_for=DAY)
        holder.rollback()
    assert keys(world) == {key("a"), key("b")}
    with world.scope("acme"):
        again = ingest.write([(key("a"), event())], keep_for=DAY)
    assert (again[0].created, again[0].id != first[0].id) == (True, True)


def test_more_events_than_a_statement_holds_are_written_once(world: World) -> None:
    pairs = [(key(str(number % 1500)), event(str(number))) for number in range(2200)]
    with world.scope("acme"):
        written = ingest.import_events(pairs)
    assert Counter(one.created for one in written) == {True: 1500, False: 700}
    assert written[1700].id == written[200].id
    assert written_in(world, "acme") == 1500


def test_a_rolled_back_batch_leaves_its_keys_free(world: World) -> None:
    def failing() -> None:
        with world.scope("acme"):
            ingest.write([(key("a"), event())], keep_for=DAY)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert written_in(world, "acme") == 0
    with world.scope("acme"):
        assert ingest.write([(key("a"), event())], keep_for=DAY)[0].created


def test_concurrent_batches_write_each_key_once_and_do_not_deadlock(world: World) -> None:
    tenant, actor = world.acme, world.actor("alice")
    names = sorted((str(number) for number in range(600)), key=key)
    start = threading.Barrier(4)

    def worker(number: int) -> list[tuple[str, ingest.Written]]:
        ordered = names if number % 2 else names[::-1]
        start.wait()
        try:
            with tenant_scope(tenant, actor=actor):
                return list(
                    zip(ordered, ingest.write([(key(n), event(n)) for n in ordered], keep_for=DAY), strict=True)
                )
        finally:
            connections["default"].close()

    with ThreadPoolExecutor(4) as pool:
        answers = [pair for answer in pool.map(worker, range(4)) for pair in answer]
    assert written_in(world, "acme") == len(names)
    assert Counter(name for name, one in answers if one.created) == dict.fromkeys(names, 1)
    assert len({(name, one.id) for name, one in answers}) == len(names)


@pytest.mark.parametrize("step", [1, -1])
def test_keys_are_claimed_in_one_order_so_that_batches_cannot_deadlock(world: World, step: int) -> None:
    tenant, actor = world.acme, world.actor("alice")
    low, high = sorted([key("a"), key("b")])
    claim = f"INSERT INTO {tenant.schema_name}.audit_key (digest, entry_id) VALUES (%s, gen_random_uuid())"

    def worker() -> list[ingest.Written]:
        try:
            with tenant_scope(tenant, actor=actor):
                return ingest.write([(one, event()) for one in (low, high)[::step]], keep_for=DAY)
        finally:
            connections["default"].close()

    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(world.superuser, dbname=world.database) as holder,
        psycopg.connect(world.superuser, dbname=world.database, options="-c lock_timeout=500ms") as other,
    ):
        holder.execute(claim, [low])
        writing = pool.submit(worker)
        until = time.monotonic() + 10
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        while not world.sql(waiting, world.database)[0][0] and time.monotonic() < until:
            time.sleep(0.01)
        other.execute(claim, [high])
        other.rollback()
        holder.rollback()
        assert [one.created for one in writing.result(10)] == [True, True]


def test_a_batch_waits_for_one_that_then_rolls_back_and_writes_the_event(world: World) -> None:
    tenant, actor = world.acme, world.actor("alice")
    claimed, finish = threading.Event(), threading.Event()

    def loser() -> None:
        try:
            with tenant_scope(tenant, actor=actor):
                ingest.write([(key("a"), event("lost"))], keep_for=DAY)
                claimed.set()
                finish.wait(5)
                roll_back()
        finally:
            connections["default"].close()

    thread = threading.Thread(target=loser)
    thread.start()
    claimed.wait(5)
    threading.Timer(0.2, finish.set).start()
    with world.scope("acme"):
        written = ingest.write([(key("a"), event("kept"))], keep_for=DAY)
        stored = AuditLog.objects.get(pk=written[0].id)
    thread.join()
    assert (written[0].created, stored.resource_id) == (True, "kept")
    assert written_in(world, "acme") == 1


def test_it_refuses_to_write_without_a_scope(world: World) -> None:
    with pytest.raises(NoScope):
        ingest.import_events([(key("a"), event())])
    assert written_in(world, "acme") == 0
