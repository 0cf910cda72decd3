"""What it costs to open a unit of work, beside a transaction that binds nothing.

Messages are what libpq's trace shows this process send, for a unit of one query and for psycopg's own BEGIN,
query, COMMIT. Times are of the same pooled connection, in turns: a unit of work; Django's `atomic` with a bare
BEGIN; and the message alone, whole and with a part left out, to see what each part costs. They are CPU of this
process and of the database's, which wait for each other: on an idle machine their sum is the time on the clock.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from typing import Any, TextIO

import psycopg
from django.conf import settings
from django.db import connections, transaction
from psycopg.pq import Trace

from bench.base import AGENT, Bench, Cost, Figure, cost, interleaved
from tenants.backend.cursor import UnitCursor
from tenants.backend.unit import UNLOCK
from tenants.context import Origin, tenant_scope

ROUNDS, TIMES = 40, 100
ORIGIN = Origin(ip="203.0.113.7", user_agent=AGENT.format(140), request_id="0" * 32, source="api")
PARTS = (b"RESET ALL;", b"CLOSE ALL;UNLISTEN *;DEALLOCATE ALL;", UNLOCK)


class _Extended(UnitCursor):
    """The same cursor on a plain connection, which has no unit of work to tell of."""

    def _begin(self) -> None:
        """Do nothing."""


def run(bench: Bench) -> list[Figure]:
    """Count the messages, then take the times."""
    wrapper: Any = connections["default"]
    with tenant_scope(bench.acme, actor=bench.alice):  # from here on the connection is that of the tenant's login
        pass
    work = _work(bench, wrapper.connection)
    with psycopg.connect(_address(), cursor_factory=_Extended) as plain:
        asked = _messages(plain, lambda: _plain(plain))
    sent = _messages(wrapper.connection, work["unit of work"])
    figures = [Figure("messages over BEGIN, query, COMMIT", sent - asked, "", 0, f"{sent} beside {asked}")]
    print(f"  {ROUNDS} rounds of {TIMES} transactions of each of {len(work)} kinds", flush=True)
    backend = wrapper.connection.info.backend_pid
    measured = interleaved(ROUNDS, *[_timer(one, backend) for one in work.values()])
    return figures + _figures(dict(zip(work, measured, strict=True)))


def _address() -> str:
    """Return the application's login as libpq takes it."""
    login = settings.DATABASES["default"]
    names = {"host": "HOST", "port": "PORT", "dbname": "NAME", "user": "USER", "password": "PASSWORD"}
    return psycopg.conninfo.make_conninfo(**{name: str(login[key]) for name, key in names.items()})


def _plain(connection: psycopg.Connection[Any]) -> None:
    connection.execute("SELECT 1")
    connection.commit()


def _messages(connection: psycopg.Connection[Any], work: Callable[[], None]) -> int:
    """Return how many messages `work` sends; once is for what only the first time needs."""
    work()
    with tempfile.TemporaryFile("w+") as trace:
        _traced(connection, trace, work)
        trace.seek(0)
        return sum(line.startswith("F\t") for line in trace)


def _traced(connection: psycopg.Connection[Any], trace: TextIO, work: Callable[[], None]) -> None:
    connection.pgconn.trace(trace.fileno())
    connection.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
    try:
        work()
    finally:
        connection.pgconn.untrace()


def _work(bench: Bench, connection: Any) -> dict[str, Callable[[], None]]:
    """Return the kinds of transaction that are measured, each of one query."""

    def opened() -> None:
        with tenant_scope(bench.acme, actor=bench.alice, origin=ORIGIN):
            connection.execute("SELECT 1")

    def atomic() -> None:
        connection.first_message = b"BEGIN"
        with transaction.atomic():
            connection.execute("SELECT 1")
        connection.first_message = None

    with tenant_scope(bench.acme, actor=bench.alice, origin=ORIGIN) as scope:
        message = scope.binding().first_message(connection.quote)

    def sent(first: bytes) -> Callable[[], None]:
        def send() -> None:
            for text in (first, b"SELECT 1", b"COMMIT"):
                connection.pgconn.exec_(text)

        return send

    without = {f"message without {part.decode()}": sent(message.replace(part, b"")) for part in PARTS}
    return {
        "unit of work": opened,
        "atomic": atomic,
        "message": sent(message),
        "BEGIN": sent(b"BEGIN"),
        **without,
    }


def _timer(work: Callable[[], None], backend: int) -> Callable[[], Cost]:
    return lambda: cost(work, TIMES, backend)


def _figures(measured: dict[str, list[Cost]]) -> list[Figure]:
    """Return the differences within each round, whose parts a busy machine disturbs alike."""

    def over(name: str, base: str, aim: float | None = None) -> Figure:
        pairs = list(zip(measured[name], measured[base], strict=True))
        cpu = statistics.median(one.cpu - other.cpu for one, other in pairs) * 1e6
        here = statistics.median(one.here - other.here for one, other in pairs) * 1e6
        quiet = (min(one.clock for one in measured[name]) - min(one.clock for one in measured[base])) * 1e6
        return Figure(f"{name}, over {base}", cpu, "us", aim, f"{here:.0f} of it here; {quiet:.0f} on a quiet clock")

    parts = [name for name in measured if name.startswith("message without")]
    figures = [over("unit of work", "atomic", 50), over("message", "BEGIN"), *(over(name, "BEGIN") for name in parts)]
    alone = ("unit of work", "atomic", "BEGIN")
    return [
        *figures,
        *(Figure(name, statistics.median(one.cpu for one in measured[name]) * 1e6, "us") for name in alone),
    ]
