"""Whatever fails while a unit of work is being bound, or in it: nothing of it runs on, and the next one is right.

At each statement of the first message: an error, a cancelled statement, a time-out, an interrupt, a dead connection.
"""

from __future__ import annotations

import _thread
import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection, connections, transaction
from psycopg.pq import TransactionStatus
from stock import no_walls, scope
from trying_urls import labels, read, write
from units import raw, run
from world import World

from tenants.backend.connection import UnitConnection
from tenants.backend.unit import UNLOCK, Binding, tenant_role
from tenants.context import enter_tenant, scope_or_none
from tenants.errors import DomainError
from tenants.models import Tenant

SLEEP = b"SELECT pg_sleep(30)"
_SLEEPING = """SELECT pid FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND wait_event = 'PgSleep'"""


def sleeper(world: World) -> int:
    """Wait until a connection sleeps; return its process."""
    for _attempt in range(2000):
        if found := world.sql(_SLEEPING):
            return int(found[0][0])
        time.sleep(0.005)
    raise AssertionError("nothing came to sleep")


@contextmanager
def meanwhile(act: Callable[[], object] | None) -> Iterator[None]:
    """Do something in another thread while the block runs."""
    thread = threading.Thread(target=act or (lambda: None))
    thread.start()
    try:
        yield
    finally:
        thread.join()


def interrupt(world: World) -> None:
    """Press Ctrl-C once the main thread waits for a statement."""
    sleeper(world)
    _thread.interrupt_main()


# What stands in the place of a statement, and what happens while it runs.
Fault = tuple[bytes, Callable[[World], object] | None]
FAULTS: dict[str, Fault] = {
    "error": (b"SELECT 1/0", None),
    "syntax": (b"SELEC 1", None),
    "cancelled": (SLEEP, lambda world: world.sql("SELECT pg_cancel_backend(%s)", sleeper(world))),
    "timed out": (b"SET statement_timeout = 20;" + SLEEP, None),
    "interrupted": (b"SELECT pg_sleep(0.7)", interrupt),
    "connection dead": (SLEEP, lambda world: world.sql("SELECT pg_terminate_backend(%s)", sleeper(world))),
}
STEPS = [
    "BEGIN", "RESET", "CLOSE", "UNLISTEN", "DEALLOCATE", "unlock", "SET LOCAL ROLE", "search_path", "context", "end",
]  # fmt: skip


def faulty(message: bytes, step: int, fault: bytes) -> bytes:
    """Return a first message in which one statement (or, at the end, one more) is another."""
    statements = message.rstrip(b";").split(b";")
    if UNLOCK.rstrip(b";") not in statements:  # a hardened server needs none
        statements.insert(STEPS.index("unlock"), b"SELECT 1")
    assert len(statements) == len(STEPS) - 1
    statements[step : step + 1] = [fault]
    return b";".join(statements) + b";"


def leave_behind(tenant: Any) -> None:
    """Leave a session in which the tenant's role and path stay, as the worst of its units could."""
    with scope(tenant):
        run(f"SET SESSION ROLE {tenant_role(tenant.id)}")
        run(f"SET SESSION search_path = {tenant.schema_name}, shared")
        assert labels() == [tenant.slug]


def unit_with_fault(
    world: World, pair: dict[str, Any], step: int, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> list[str] | None:
    """Leave a session to globex that acme was in, fail while globex is being bound, and return what it reads."""
    leave_behind(pair["acme"])
    statement, act = fault
    whole = Binding.first_message
    with monkeypatch.context() as patch, meanwhile(act and (lambda: act(world))):
        patch.setattr(Binding, "first_message", lambda *said: faulty(whole(*said), step, statement))
        with suppress(DatabaseError, KeyboardInterrupt), scope(pair["globex"]):
            return labels()
    return None


# The first message is sent by libpq's own loop, which Ctrl-C does not cut off: it comes after it, as in any code.
@pytest.mark.parametrize("name", [name for name in FAULTS if name != "interrupted"])
def test_after_a_fault_at_any_step_nothing_runs_and_the_next_unit_is_right(
    world: World, pair: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for step, said in enumerate(STEPS):
        assert unit_with_fault(world, pair, step, FAULTS[name], monkeypatch) is None, said
        assert scope_or_none() is None
        assert connection.connection is None or connection.connection.closed or is_idle()
        for slug in ("globex", "acme", "globex"):
            assert read(pair[slug]) == [slug], said


def is_idle() -> bool:
    return raw().pgconn.transaction_status == TransactionStatus.IDLE


def begin_anew(connection_: UnitConnection) -> Iterator[None]:
    """Bind as a driver that is content with a plain transaction when the first message fails."""
    pgconn = connection_.pgconn
    if pgconn.transaction_status == TransactionStatus.IDLE:
        pgconn.exec_(connection_.first_message or b"")
        if pgconn.transaction_status != TransactionStatus.INTRANS:
            pgconn.exec_(b"ROLLBACK")
            pgconn.exec_(b"BEGIN")
    yield from ()


@pytest.mark.parametrize("name", ["error", "syntax", "cancelled", "timed out"])
def test_control_a_driver_that_goes_on_after_a_fault_reads_the_last_tenants_rows(
    world: World, pair: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(UnitConnection, "_start_query", begin_anew)
    for step, said in enumerate(STEPS[1:], start=1):
        assert unit_with_fault(world, pair, step, FAULTS[name], monkeypatch) == ["acme"], said


# --- in the middle of a unit


def sleep_in_a_unit(tenant: Any) -> None:
    with scope(tenant):
        write("lost", "lost")
        run(SLEEP.decode())


@pytest.mark.parametrize("name", ["cancelled", "interrupted", "connection dead"])
def test_a_statement_that_is_cut_off_takes_its_unit_with_it(world: World, pair: dict[str, Any], name: str) -> None:
    before, act = world.entries("acme"), FAULTS[name][1]
    with meanwhile(act and (lambda: act(world))), pytest.raises((DatabaseError, KeyboardInterrupt)):
        sleep_in_a_unit(pair["acme"])
    assert world.entries("acme") == before
    assert (read(pair["globex"]), read(pair["acme"])) == (["globex"], ["acme"])


@pytest.mark.parametrize("inner", [True, False])
def test_a_unit_in_a_generator_that_is_closed_is_rolled_back(world: World, pair: dict[str, Any], inner: bool) -> None:
    def unit() -> Iterator[None]:
        with scope(pair["acme"]):
            write("lost", "lost")
            if inner:
                with scope(pair["acme"]):
                    yield
            yield

    before, begun = world.entries("acme"), unit()
    next(begun)
    begun.close()  # type: ignore[attr-defined]
    assert scope_or_none() is None
    assert world.entries("acme") == before
    assert read(pair["globex"]) == ["globex"]


def test_a_unit_in_a_generator_that_another_thread_closes_reads_nothing_foreign(pair: dict[str, Any]) -> None:
    """The other thread is in globex; a collector of garbage may close there what a dead request left."""
    found: dict[str, set[str]] = {}

    def unit() -> Iterator[None]:
        with scope(pair["acme"]):
            labels()
            yield

    def see(thread: str) -> None:
        with suppress(DomainError, DatabaseError):
            found.setdefault(thread, set()).update(labels())

    def other() -> None:
        with suppress(DomainError, DatabaseError), scope(pair["globex"]):
            see("other")
            begun.close()  # type: ignore[attr-defined]
            see("other")
        connections.close_all()

    def one() -> None:
        next(begun)
        with meanwhile(other):
            pass
        see("one")
        with suppress(DomainError, DatabaseError):
            read(pair["globex"])
        see("one")
        connections.close_all()

    begun = unit()
    with meanwhile(one):
        pass
    assert found["other"] <= {"globex"}
    assert found.get("one", set()) <= {"acme"}


def test_a_task_that_is_cancelled_leaves_the_next_unit_right(pair: dict[str, Any]) -> None:
    async def main() -> list[list[str]]:
        seen = []
        for turn in range(20):
            task = asyncio.ensure_future(sync_to_async(read)(pair["acme"]))
            await asyncio.sleep(turn / 5000)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            seen.append(await sync_to_async(read)(pair["globex"]))
        return seen

    assert asyncio.run(main()) == [["globex"]] * 20


# --- a connection that dies, at each place of a unit


def die(world: World) -> None:
    """End the connection's server process, and wait until it is gone."""
    process = raw().info.backend_pid
    world.sql("SELECT pg_terminate_backend(%s, 5000)", process)


def die_before_the_first_query(world: World, tenant: Any) -> None:
    with scope(tenant):
        die(world)
        write("lost", "lost")


def die_between_queries(world: World, tenant: Any) -> None:
    with scope(tenant):
        write("lost", "lost")
        die(world)
        write("lost", "again")


def die_before_the_commit(world: World, tenant: Any) -> None:
    with scope(tenant):
        write("lost", "lost")
        die(world)


def die_in_a_savepoint(world: World, tenant: Any) -> None:
    with scope(tenant):
        write("lost", "lost")
        with suppress(DatabaseError), transaction.atomic():
            die(world)
            write("lost", "again")
        write("lost", "at last")


def die_before_a_savepoint(world: World, tenant: Any) -> None:
    with scope(tenant):
        write("lost", "lost")
        die(world)
        with transaction.atomic():
            write("lost", "again")


def die_in_an_inner_unit(world: World, tenant: Any) -> None:
    with scope(tenant):
        write("lost", "lost")
        with suppress(DatabaseError), scope(tenant):
            die(world)
            write("lost", "again")
        write("lost", "at last")


def die_in_an_entered_tenant(world: World, tenant: Any) -> None:
    with world.platform():
        Tenant.objects.count()
        with suppress(DatabaseError), enter_tenant(tenant):
            write("lost", "lost")
            die(world)
            write("lost", "again")
        Tenant.objects.count()


def die_and_be_replaced(world: World, tenant: Any) -> None:
    """Somebody closes the dead connection and goes on, as is done between requests."""
    with scope(tenant):
        write("lost", "lost")
        die(world)
        with suppress(DatabaseError):
            write("lost", "again")
        connection.close()
        write("lost", "at last")


DEATHS = [
    die_before_the_first_query, die_between_queries, die_before_the_commit, die_before_a_savepoint, die_in_a_savepoint,
    die_in_an_inner_unit, die_in_an_entered_tenant, die_and_be_replaced,
]  # fmt: skip


@pytest.mark.parametrize("death", DEATHS)
def test_a_unit_whose_connection_dies_leaves_nothing_and_the_next_is_right(
    world: World, pair: dict[str, Any], death: Callable[[World, Any], None]
) -> None:
    before = world.entries("acme")
    with pytest.raises(DatabaseError):
        death(world, pair["acme"])
    assert scope_or_none() is None
    assert world.entries("acme") == before
    for slug in ("globex", "acme"):
        assert read(pair[slug]) == [slug]


def test_control_without_a_unit_of_work_half_of_it_is_kept(world: World, pair: dict[str, Any]) -> None:
    """A connection that is replaced goes on with what had not been done yet."""
    stock: Any = connection

    def note() -> None:
        run("INSERT INTO audit_key (digest, entry_id) VALUES (%s, %s)", uuid4().bytes, uuid4())

    with no_walls(world):
        stock.set_tenant(pair["acme"])
        note()
        world.sql("SELECT pg_terminate_backend(%s, 5000)", stock.connection.info.backend_pid)
        with suppress(DatabaseError):
            note()
        stock.close()
        note()
    assert world.sql(f"SELECT count(*) FROM {pair['acme'].schema_name}.audit_key") == [(2,)]
