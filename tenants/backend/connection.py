"""psycopg's connection, which begins each transaction with the first message of the unit of work.

psycopg sends BEGIN lazily, before the first query, from `Connection._start_query`. Overriding that one
method binds the transaction at no extra round trip. (`_get_tx_start_command` alone does not do: it expects
one result, and the message has several.) A test counts the protocol messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus, TransactionStatus

from tenants.errors import NoScope


class UnitConnection(psycopg.Connection[Any]):
    """A connection whose transactions begin bound, or not at all."""

    first_message: bytes | None = None

    def _start_query(self) -> PQGen[None]:
        if self.pgconn.transaction_status != TransactionStatus.IDLE:
            return
        # In autocommit mode a statement would run unbound, as whatever role the session was left with.
        if self._autocommit or self.first_message is None:
            raise NoScope
        self.pgconn.send_query(self.first_message)
        results = yield from generators.execute(self.pgconn)
        # The server stops at the first error, so an error can only be the last result.
        if results[-1].status != ExecStatus.COMMAND_OK:
            error = psycopg.errors.error_from_result(results[-1], encoding=self.pgconn._encoding)  # noqa: SLF001
            # A half-bound transaction must not be continued by anyone.
            self.close()
            raise error
        # The message has deallocated what the unit before had prepared.
        if self._prepared.clear():
            self._prepared._to_flush.clear()  # noqa: SLF001

    def _get_tx_start_command(self) -> bytes:
        """Refuse psycopg's own ways to begin (`transaction()`, `tpc_begin()`): they bind nothing."""
        raise NoScope

    def answers(self) -> bool:
        """Tell whether the server is still there, by an empty statement: it needs no unit of work."""
        with self.lock, suppress(psycopg.OperationalError):
            return self.pgconn.exec_(b"").status == ExecStatus.EMPTY_QUERY
        return False

    @contextmanager
    def pipeline(self) -> Iterator[psycopg.Pipeline]:
        """Enter pipeline mode, in which several statements in one message are impossible: so bind before."""
        with self.lock:
            self.wait(self._start_query())
        with super().pipeline() as pipeline:
            yield pipeline

    @contextmanager
    def _pipeline_nolock(self) -> Iterator[psycopg.Pipeline]:
        """The same for `executemany`, which holds the lock."""
        self.wait(self._start_query())
        with super()._pipeline_nolock() as pipeline:
            yield pipeline
