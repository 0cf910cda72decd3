"""The cursor of units of work: parameters are merged here, statements always go by the extended protocol.

The simple protocol runs `SELECT ...; SET ROLE other` as it stands, so text injected into a query could end the query
and begin another. psycopg uses it for each query that has no parameters left to send. The server itself refuses a
second statement in a message of the extended protocol.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from django.db.backends.postgresql import base

if TYPE_CHECKING:
    from psycopg import ClientCursor, Copy
    from psycopg._queries import PostgresQuery

    from tenants.backend.connection import UnitConnection

    Cursor = ClientCursor[Any]
else:
    Cursor = base.Cursor

# What leaves role, path and context as they are; whatever else a statement was, they are said again after it.
_HARMLESS = frozenset(
    {
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "MERGE",
        "COPY",
        "DECLARE",
        "FETCH",
        "MOVE",
        "CLOSE",
        "SHOW",
        "EXPLAIN",
        "LOCK",
    }
)


class UnitCursor(Cursor):
    """Django's cursor, one statement at a time, each in the role that the unit of work was bound to."""

    connection: UnitConnection

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        """Run a statement. One that may have changed the role is followed by the unit's own settings.

        Raises ScopeConflict, with the connection closed, after one that has ended the transaction.
        """
        self._begin()
        try:
            super().execute(query, params, **options)
        except BaseException:
            self.connection.restore()
            raise
        if self.statusmessage and self.statusmessage.partition(" ")[0] not in _HARMLESS:
            self.connection.restore(self.statusmessage)
        return self

    def executemany(self, *args: Any, **options: Any) -> None:
        """Run a statement many times; then the unit's own settings."""
        self._begin()
        try:
            super().executemany(*args, **options)
        finally:
            self.connection.restore(self.statusmessage)

    def stream(self, *args: Any, **options: Any) -> Iterator[Any]:
        """Run a statement and return its rows one by one; then the unit's own settings."""
        self._begin()
        try:
            yield from super().stream(*args, **options)
        finally:
            self.connection.restore()

    @contextmanager
    def copy(self, *args: Any, **options: Any) -> Iterator[Copy]:
        """Run COPY, or what says that it is; then the unit's own settings."""
        self._begin()
        try:
            with super().copy(*args, **options) as copy:
                yield copy
        finally:
            self.connection.restore()

    def _begin(self) -> None:
        """Let the unit of work say what has changed since the last statement: who acts."""
        if self.connection.before_statement is not None:
            self.connection.before_statement()

    def _execute_send(self, query: PostgresQuery, *, force_extended: bool = True, binary: bool | None = None) -> None:
        del force_extended
        super()._execute_send(query, force_extended=True, binary=binary)
