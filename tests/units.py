"""Looking at units of work from below: statements, and the protocol messages that libpq traces."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import pq

from tenants.backend.connection import UnitConnection


def raw(login: str | None = None) -> UnitConnection:
    """Return psycopg's connection of this thread; logged in as `login`, if one is said.

    Units of one login follow each other on it.
    """
    from django.db import connection

    connection.ensure_connection()
    if login:
        connection._log_in(login)  # type: ignore[attr-defined]
    found: UnitConnection = connection.connection
    return found


def run(statement: str, *parameters: Any) -> Any:
    """Run a statement in the open unit, and return the first value of its first row, if any."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


@contextmanager
def traced(pgconn: Any) -> Iterator[list[str]]:
    """Collect libpq's trace of the block: one line for each protocol message."""
    lines: list[str] = []
    with tempfile.TemporaryFile(mode="w+") as file:
        pgconn.trace(file.fileno())
        pgconn.set_trace_flags(pq.Trace.SUPPRESS_TIMESTAMPS)
        try:
            yield lines
        finally:
            pgconn.untrace()
            file.seek(0)
            lines.extend(file.read().splitlines())


def sent(lines: list[str]) -> list[str]:
    """Return the names of the messages that the client sent."""
    return [line.split("\t")[2] for line in lines if line.startswith("F")]


def round_trips(lines: list[str]) -> int:
    """Return how often the client waited for the server."""
    return Counter(line.split("\t")[2] for line in lines if line.startswith("B"))["ReadyForQuery"]
