"""Rows of a trail, written in one statement and answered by what the database made of them.

A few rows are VALUES, each value a parameter. Many are one JSON document, which PostgreSQL takes apart by itself: 500
typical rows cost a third of the client's time so, and half of the server's, while one row costs more.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

from pydantic_core import to_json

from audit.entry import LogEntry
from audit.events import MAX_ENTRY_BYTES
from tenants.errors import TooLarge

Row = dict[str, Any]

JSON_COLUMNS = ("targets", "changes", "metadata", "personal")
_FEW = 4
_MAX_UTF8 = 4  # bytes of one character
_TYPES = {
    **dict.fromkeys(JSON_COLUMNS, "jsonb"),
    **dict.fromkeys(("user_id", "tenant_id", "actor_uuid", "resource_uuid"), "uuid"),
    "version": "smallint",
    "occurred_at": "timestamptz",
    "ip": "inet",
    "user_agent": "integer",
}


class Made(NamedTuple):
    """What the database made of a row."""

    id: UUID
    transaction_id: int
    agent_id: int | None
    user_id: UUID | None


def insert(cursor: Any, model: type[LogEntry], rows: Sequence[Row], *, named: bool) -> list[Made]:
    """Write rows into `model`'s trail in their order; return what was made of each.

    All have the same keys, columns but for `user_agent`, which is a text. `named`: the caller names the person whom
    entries point to, not the scope. Raises TooLarge (an entry over 64 KiB).
    """
    _execute(cursor, model, rows, Made._fields, named=named)
    return [Made(*one) for one in cursor.fetchall()]


def insert_many(cursor: Any, model: type[LogEntry], rows: Sequence[Row]) -> list[UUID]:
    """Write rows as `insert` does; return their ids alone: nothing else is sent back."""
    _execute(cursor, model, rows, ("id",), named=False)
    return [key for (key,) in cursor.fetchall()]


def _execute(cursor: Any, model: type[LogEntry], rows: Sequence[Row], told: tuple[str, ...], *, named: bool) -> None:
    used = tuple(name for name in rows[0] if any(row[name] is not None for row in rows))
    if len(rows) <= _FEW:
        values = list(chain.from_iterable(_values(row, used) for row in rows))
        cursor.execute(_by_values(model, used, len(rows), named, told), values)
    else:
        agents: dict[str, int] = {}
        lines = [_line(row, used, agents) for row in rows]
        document = f"[{b','.join(lines).decode()}]"
        cursor.execute(_by_document(model, used, named, told), [list(agents), document] if agents else [document])


def _values(row: Row, used: tuple[str, ...]) -> list[Any]:
    """Return the parameters of a row, JSON encoded; refuse an entry that is too large."""
    values = [None if row[name] is None else _encode(row[name]) if name in JSON_COLUMNS else row[name] for name in used]
    _check_size(values)
    return values


def check(row: Row, pointer: str) -> None:
    """See that the entry which a row makes is not too large. Raises TooLarge, with the event's place."""
    try:
        _values(row, tuple(row))
    except TooLarge as error:
        raise TooLarge(
            error.detail, errors=[{"pointer": pointer, "code": error.code, "detail": error.detail}]
        ) from None


def _check_size(values: list[Any]) -> None:
    if sum(len(value.encode()) for value in values if isinstance(value, str)) > MAX_ENTRY_BYTES:
        raise TooLarge(f"The entry is larger than {MAX_ENTRY_BYTES // 1024} KiB.")


def _line(row: Row, used: tuple[str, ...], agents: dict[str, int]) -> bytes:
    """Return a row as a JSON object; a user agent is its number among those of this statement."""
    agent = row.get("user_agent")
    said = {name: row[name] for name in used if row[name] is not None}
    if agent is not None:
        said["user_agent"] = agents.setdefault(agent, len(agents) + 1)
    if (claimed := said.get("occurred_at")) is not None:
        # With the seconds of its offset, which those of the nineteenth century have.
        said["occurred_at"] = claimed.isoformat()
    line = to_json(said, bytes_mode="hex", fallback=str)
    # Every value stands in it, at most a quarter shorter than where its size is measured.
    if 2 * len(line) + _MAX_UTF8 * len(agent or "") > MAX_ENTRY_BYTES:
        _values(row, used)
    return line


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


@lru_cache(maxsize=256)
def _by_values(model: type[LogEntry], columns: tuple[str, ...], rows: int, named: bool, told: tuple[str, ...]) -> str:
    """Return the statement that has a parameter for each value. The dictionary of agents makes a text its number."""
    special = {"user_agent": f"guard.{model.agents}_id(%s)"} | ({"user_id": _person("%s")} if named else {})
    marks = f"({', '.join(special.get(column, '%s') for column in columns)})"
    return _into(model, columns, f"VALUES {', '.join([marks] * rows)}", told)


@lru_cache(maxsize=256)
def _by_document(model: type[LogEntry], columns: tuple[str, ...], named: bool, told: tuple[str, ...]) -> str:
    """Return the statement that takes the user agents, each of which is looked up once, and the rows as JSON."""
    special = {"user_agent": "agents.ids[t.user_agent]", "salt": "decode(t.salt, 'hex')"}
    special |= {"user_id": _person("t.user_id")} if named else {}
    numbered = f"SELECT array_agg(guard.{model.agents}_id(agent) ORDER BY n) AS ids"
    agents = f"({numbered} FROM unnest(%s::text[]) WITH ORDINALITY AS one (agent, n) OFFSET 0) AS agents, "
    typed = ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in columns)
    chosen = ", ".join(special.get(name, f"t.{name}") for name in columns)
    sources = f"{agents if 'user_agent' in columns else ''}json_to_recordset(%s::json) AS t ({typed})"
    return _into(model, columns, f"SELECT {chosen} FROM {sources}", told)  # noqa: S608


def _person(value: str) -> str:
    """Return who is pointed to: a tenant points to people that it can see, its members of today and of old.

    `people.delete_user` clears those pointers; nobody knows of pointers to others.
    """
    return f"(SELECT id FROM shared.tenants_user WHERE id = {value})"  # noqa: S608


def _into(model: type[LogEntry], columns: tuple[str, ...], source: str, told: tuple[str, ...]) -> str:
    names = ", ".join("agent_id" if column == "user_agent" else column for column in columns)
    table = model._meta.db_table  # noqa: SLF001
    return f"INSERT INTO {table} ({names}) {source} RETURNING {', '.join(told)}"
