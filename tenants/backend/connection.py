"""psycopg's connection, which begins each transaction with the first message of the unit of work.

psycopg sends BEGIN lazily, before the first query, from `Connection._start_query`. Overriding that one
method binds the transaction at no extra round trip. (`_get_tx_start_command` alone does not do: it expects
one result, and the message has several.) A test counts the protocol messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import ConnStatus, Escaping, ExecStatus, TransactionStatus

from tenants.backend.unit import CLEAN, UNLOCK, Binding
from tenants.errors import NoScope, ScopeConflict

_ENDINGS = frozenset({"COMMIT", "ROLLBACK", "BEGIN", "START TRANSACTION", "PREPARE TRANSACTION"})


class UnitConnection(psycopg.Connection[Any]):
    """A connection whose transactions begin bound, or not at all."""

    first_message: bytes | None = None
    # Called before each statement of a cursor.
    before_statement: Callable[[], object] | None = None
    binding: Binding | None = None
    clean = CLEAN + UNLOCK

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The schemas of the tenants that it has served: see `tenants.backend.pool`.
        self.tenants: set[str] = set()
        self.quote = Escaping(self.pgconn).escape_literal

    def _start_query(self) -> PQGen[None]:
        if self.pgconn.transaction_status != TransactionStatus.IDLE:
            return
        # In autocommit mode a statement would run unbound, as whatever role the session was left with.
        if self._autocommit or self.first_message is None:
            raise NoScope
        try:
            self._together(self.first_message)
        except psycopg.Error:
            # A half-bound transaction must not be continued by anyone.
            self.close()
            raise
        # The message has deallocated what the unit before had prepared.
        if self._prepared.clear():
            self._prepared._to_flush.clear()  # noqa: SLF001
        yield from ()

    def _together(self, statements: bytes) -> None:
        """Run several statements in one message of the simple protocol. They are this room's own, nobody else's.

        By libpq's own loop: psycopg's would make an object of each result, which costs as much as three statements.
        """
        result = self.pgconn.exec_(statements)
        # The server stops at the first error, so an error can only be the last result.
        if result.status != ExecStatus.COMMAND_OK:
            error = psycopg.errors.error_from_result(result, encoding=self.pgconn._encoding)  # noqa: SLF001
            # libpq has no code for a server that is gone, so it would pass for an error of the statement.
            raise psycopg.OperationalError(*error.args) if self.pgconn.status == ConnStatus.BAD else error

    def learn(self) -> None:
        """Ask once whether a hardened server refuses locks that outlive a transaction: then none need be released."""
        result = self.pgconn.exec_(b"SELECT has_function_privilege('pg_advisory_lock(bigint)', 'EXECUTE')")
        if result.status == ExecStatus.TUPLES_OK and result.get_value(0, 0) == b"f":
            self.clean = CLEAN

    def bind_again(self, binding: Binding) -> None:
        """Change role, path and context within the transaction, which is begun if it is not yet."""
        self.control(binding.settings(self.quote))
        self.binding = binding

    def control(self, statement: bytes) -> None:
        """Run a statement of the backend's own that steers the transaction, which is begun if it is not yet."""
        with self.lock:
            self.wait(self._start_query())
            self._together(statement)

    def restore(self, tag: str | None = None) -> None:
        """Say role, path and context again within the transaction: a statement may have changed them.

        `tag` is what the server said of it. One that ended the transaction leaves nothing to go on with, since it may
        also have begun another (AND CHAIN): the connection is closed. Raises ScopeConflict.
        """
        if tag in _ENDINGS:
            self.close()
            raise ScopeConflict("A statement ended the transaction of the unit of work, which ends by itself.")
        alive = self.pgconn.transaction_status == TransactionStatus.INTRANS
        if self.binding and alive and not self.pgconn.pipeline_status:
            with self.lock:
                self._together(self.binding.settings(self.quote))

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
        try:
            with super().pipeline() as pipeline:
                yield pipeline
        finally:
            self.restore()

    @contextmanager
    def _pipeline_nolock(self) -> Iterator[psycopg.Pipeline]:
        """The same for `executemany`, which holds the lock."""
        self.wait(self._start_query())
        with super()._pipeline_nolock() as pipeline:
            yield pipeline
