"""psycopg's connection, which begins each transaction with the first message of the unit of work.

psycopg sends BEGIN lazily, before the first query, from `Connection._start_query`. Overriding that one
method binds the transaction at no extra round trip. (`_get_tx_start_command` alone does not do: it expects
one result, and the message has several.) A test counts the protocol messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
        if self._autocommit or self.pgconn.transaction_status != TransactionStatus.IDLE:
            return
        if self.first_message is None:
            raise NoScope
        self.pgconn.send_query(self.first_message)
        results = yield from generators.execute(self.pgconn)
        for result in results:
            if result.status not in {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK}:
                error = psycopg.errors.error_from_result(result, encoding=self.pgconn._encoding)  # noqa: SLF001
                # A half-bound transaction must not be continued by anyone.
                self.close()
                raise error

    @contextmanager
    def pipeline(self) -> Iterator[psycopg.Pipeline]:
        """Enter pipeline mode, in which several statements in one message are impossible: so bind before."""
        with self.lock:
            self.wait(self._start_query())
        with super().pipeline() as pipeline:
            yield pipeline
