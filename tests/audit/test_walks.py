"""Walks through a trail neither skip nor repeat, both ways, while others write and in whatever order they commit."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID, uuid4

import pytest
from django.db import connections
from trails import fill, generated, oracle
from world import World

from audit import query
from audit.integrity import sequencer
from audit.models import AuditLog
from audit.query import Filter, Order, Place
from tenants.context import tenant_scope

DEADLINE = 30.0


@contextmanager
def own_connection() -> Iterator[None]:
    """Give a thread's connection back when it ends."""
    try:
        yield
    finally:
        connections["default"].close()


class Reader:
    """Walks through the trail of acme page by page, each in a unit of work of its own."""

    def __init__(self, world: World, order: Order, wanted: Filter | None = None) -> None:
        self.tenant, self.actor = world.acme, world.actor("alice")
        self.order, self.wanted = order, wanted or Filter()

    def page(self, place: Place | None, limit: int) -> query.Page:
        with tenant_scope(self.tenant, actor=self.actor):
            return query.page(AuditLog.objects.all(), self.wanted, self.order, place, limit)

    def walk(
        self, direction: str, place: Place | None, limits: Iterator[int], between: Callable[[], object] = int
    ) -> list[UUID]:
        """Return the ids of all pages from a place on, in the order of the whole walk."""
        ids: list[UUID] = []
        for _ in range(10_000):
            page = self.page(place, next(limits))
            found = [entry.id for entry in page.entries]
            ids = ids + found if direction == "following" else found + ids
            place = getattr(page, direction)
            if place is None:
                return ids
            between()
        raise AssertionError("the walk does not end")


def limits(*numbers: int) -> Iterator[int]:
    return itertools.cycle(numbers)


@contextmanager
def sequencing() -> Iterator[None]:
    """Sequence in a thread of its own, as the schedule does beside writers and readers."""
    over = threading.Event()

    def work() -> None:
        with own_connection():
            while not over.is_set():
                sequencer.sequence()
                time.sleep(0.005)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("order", [*Order])
@pytest.mark.parametrize("wanted", [Filter(), Filter(action=("invoice.*",)), Filter(actor=("u-1",))])
def test_a_walk_forth_and_back_shows_each_entry_once_in_order(world: World, order: Order, wanted: Filter) -> None:
    entries = fill(world, generated(90))
    expected = [entry["id"] for entry in entries if oracle(entry, wanted)]
    if order is Order.ASC:
        expected.reverse()
    reader = Reader(world, order, wanted)
    for size in (1, 2, 7, len(expected), len(expected) + 1, 1000):
        assert reader.walk("following", None, limits(size)) == expected
        last = reader.page(None, 1000).resume
        assert reader.page(last, size).entries == []
        assert reader.walk("preceding", last, limits(size)) == expected
        assert reader.page(None, size).preceding is None


@pytest.mark.parametrize("order", [*Order])
def test_one_step_forth_and_one_back_is_the_page_before(world: World, order: Order) -> None:
    fill(world, generated(30))
    reader = Reader(world, order)
    first = reader.page(None, 10)
    assert first.following
    second = reader.page(first.following, 10)
    assert second.preceding
    back = reader.page(second.preceding, 10)
    assert back.entries == first.entries
    assert back.following
    assert reader.page(back.following, 10).entries == second.entries


def test_an_empty_trail_has_one_empty_page_and_a_place_to_resume(world: World) -> None:
    for order in Order:
        page = Reader(world, order, Filter(actor=("nobody",))).page(None, 10)
        assert (page.entries, page.following, page.preceding) == ([], None, None)
        assert Reader(world, order, Filter(actor=("nobody",))).page(page.resume, 10).entries == []


class Writer:
    """Writes entries from several threads until it is told to stop; a third of the transactions roll back."""

    def __init__(self, world: World, threads: int = 3) -> None:
        self.tenant, self.actor = world.acme, world.actor("alice")
        self.stop, self.committed = threading.Event(), list[UUID]()
        self.pool = ThreadPoolExecutor(threads)
        self.running = [self.pool.submit(self._write, seed) for seed in range(threads)]

    def _write(self, seed: int) -> None:
        pick = random.Random(seed)
        with own_connection():
            while not self.stop.is_set():
                ids = self._transaction(pick)
                self.committed += ids
                time.sleep(pick.random() * 0.01)

    def _transaction(self, pick: random.Random) -> list[UUID]:
        ids: list[UUID] = []
        keeps = pick.random() > 1 / 3
        with tenant_scope(self.tenant, actor=self.actor):
            for _ in range(pick.randint(1, 4)):
                ids.append(AuditLog.log_action(None, "invoice.paid", "invoice", str(uuid4())).id)
                time.sleep(pick.random() * 0.03)
            if not keeps:
                from tenants.context import roll_back

                roll_back()
        return ids if keeps else []

    def finish(self) -> list[UUID]:
        self.stop.set()
        self.pool.shutdown()
        for one in self.running:
            one.result()
        return self.committed


def test_browsing_under_concurrent_inserts_neither_skips_nor_repeats(world: World) -> None:
    before = [entry["id"] for entry in fill(world, generated(60))]
    reader = Reader(world, Order.DESC)
    writer = Writer(world)
    try:
        pause = lambda: time.sleep(0.02)  # noqa: E731 - one word for each step
        forth = [reader.walk("following", None, limits(3, 5, 8), pause) for _ in range(2)]
        place = reader.page(None, 1000).resume
        back = reader.walk("preceding", place, limits(7, 11), pause)
    finally:
        written = writer.finish()
    assert len(written) > 20
    for walk in (*forth, back):
        assert len(walk) == len(set(walk))
        assert walk == sorted(walk, reverse=True)
        assert [key for key in walk if key in set(before)] == before
        assert set(walk) <= set(before) | set(written)


def test_a_poller_sees_each_entry_exactly_once_whatever_the_order_of_commits(world: World) -> None:
    before = {entry["id"] for entry in fill(world, generated(20))}
    reader, pick, seen, place = Reader(world, Order.ASC), random.Random(7), Counter[UUID](), None
    writer = Writer(world, threads=8)
    began, stopped, written = time.monotonic(), False, list[UUID]()
    with sequencing():
        while not stopped or set(written) - set(seen):
            page = reader.page(place, pick.choice([1, 2, 5, 50]))
            seen.update(entry.id for entry in page.entries)
            place = page.resume
            if not stopped and time.monotonic() - began > 2.5:
                written, stopped = writer.finish(), True
            assert time.monotonic() - began < DEADLINE, "entries do not get their positions"
    for _ in range(3):
        page = reader.page(place, 50)
        seen.update(entry.id for entry in page.entries)
        place = page.resume
    assert len(written) > 40
    assert set(seen) == before | set(written)
    assert set(seen.values()) == {1}


def test_a_walk_back_from_where_a_poller_stands_shows_each_entry_once(world: World) -> None:
    expected = set[UUID]()
    reader, place = Reader(world, Order.ASC), None
    for seed in range(4):
        expected = {entry["id"] for entry in fill(world, generated(9, seed))}
        place = reader.page(place, 1000).resume
    for size in (1, 4, 1000):
        back = reader.walk("preceding", place, limits(size))
        assert (len(back), set(back)) == (len(expected), expected)


def test_an_open_transaction_holds_nobody_back_and_comes_later(world: World) -> None:
    world.sequence()
    reader = Reader(world, Order.ASC)
    place = reader.page(None, 1000).resume
    tenant, actor = world.acme, world.actor("alice")
    wrote, commit, early = threading.Event(), threading.Event(), list[UUID]()

    def slow() -> None:
        with own_connection(), tenant_scope(tenant, actor=actor):
            early.append(AuditLog.log_action(None, "slow", "invoice", "1").id)
            wrote.set()
            commit.wait(10)

    thread = threading.Thread(target=slow)
    thread.start()
    wrote.wait(10)
    with world.scope("acme"):
        late = AuditLog.log_action(None, "fast", "invoice", "2").id
    world.sequence()
    first = reader.page(place, 10)
    commit.set()
    thread.join()
    assert [entry.id for entry in first.entries] == [late]
    assert reader.page(first.resume, 10).entries == []
    world.sequence()
    assert [entry.id for entry in reader.page(first.resume, 10).entries] == early
    assert early[0] < late


def test_a_walk_from_the_end_shows_what_is_written_from_now_on(world: World) -> None:
    fill(world, generated(20))
    with world.scope("acme"):
        place = query.end(AuditLog.objects.all())
    reader = Reader(world, Order.ASC)
    assert reader.page(place, 10).entries == []
    with world.scope("acme"):
        new = AuditLog.log_action(None, "created", "invoice", "1").id
    assert reader.page(place, 10).entries == []
    world.sequence()
    assert [entry.id for entry in reader.page(place, 10).entries] == [new]
