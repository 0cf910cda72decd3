"""Gives entries their positions once they are committed, and indexes their words. Called by the schedule.

Any number of processes may call: one at a time does it, the others do nothing. What is done is one short transaction of
the gate, which works for all tenants of a database at once and shows nothing of them.
"""

from __future__ import annotations

from django.db import connections

from tenants.context import gate_scope

_STATEMENTS = 500
_ROWS = 50


def sequence(alias: str = "default") -> int:
    """Give positions to entries that wait for one; return how many got one, 0 if another process is at it."""
    return _call("SELECT gate.sequence(%s)", _STATEMENTS, alias)


def index_words(alias: str = "default") -> int:
    """Index words of entries for searching; return how many rows of positions were indexed, 0 if another is at it."""
    return _call("SELECT gate.index_words(%s)", _ROWS, alias)


def _call(query: str, most: int, alias: str) -> int:
    with gate_scope(alias), connections[alias].cursor() as cursor:
        cursor.execute(query, [most])
        return int(cursor.fetchone()[0] or 0)
