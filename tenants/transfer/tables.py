"""The tables of a tenant's schema as the catalogs describe them, read and written by COPY. As the owner.

Rows go out in the order of their primary key, under settings that write a value in one way only: what is read back
after a load has the same bytes, if it has the same rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.conf import settings
from psycopg import errors, sql

from tenants import template
from tenants.transfer.manifest import BadExport

# Each schema has this one: the schema version stands in the manifest instead.
_BOOKKEEPING = "django_migrations"
_ONE_WAY = """
SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL IntervalStyle = 'iso_8601'; SET LOCAL TimeZone = 'UTC';
SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1; SET LOCAL lc_monetary = 'C';
SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0
"""
_TABLES = """
SELECT c.relname::text,
       array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attgenerated = ''),
       (SELECT array_agg(k.attname::text || CASE WHEN k.attcollation <> 0 THEN '!' ELSE '' END ORDER BY p.place)
          FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS p (attnum, place)
          JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = p.attnum
         WHERE i.indrelid = c.oid AND i.indisprimary),
       (SELECT s.attname::text FROM pg_attribute s WHERE s.attrelid = c.oid AND s.attidentity <> '')
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE n.nspname = %s AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> %s
 GROUP BY c.oid, c.relname ORDER BY c.relname
"""
_TRIGGERS = """
SELECT c.relname::text, t.tgname::text, t.tgenabled::text, t.tgparentid = 0
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = %s AND NOT t.tgisinternal ORDER BY 1, 2
"""
_FIRES = {"O": "ENABLE TRIGGER", "A": "ENABLE ALWAYS TRIGGER", "R": "ENABLE REPLICA TRIGGER", "D": "DISABLE TRIGGER"}


class Read(NamedTuple):
    """What a COPY gave: how many rows, how many bytes, and their hash."""

    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its columns that are stored, in order, its primary key, its identity column if it has one."""

    schema: str
    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    identity: str | None

    @property
    def place(self) -> sql.Identifier:
        """The table's name, with the schema's."""
        return sql.Identifier(self.schema, self.name)


def write_one_way(cursor: Any) -> None:
    """Make this transaction write each value in one way, whatever the session's settings are."""
    cursor.execute(_ONE_WAY)


def tables_of(cursor: Any, schema: str) -> list[Table]:
    """Return the tables of a tenant's schema, by name."""
    cursor.execute(_TABLES, [schema, _BOOKKEEPING])
    rows = cursor.fetchall()
    return [Table(schema, name, tuple(columns), tuple(key or columns), own) for name, columns, key, own in rows]


def read(cursor: Any, table: Table, sink: Callable[[bytes], object] | None = None) -> Read:
    """Read all rows of a table in the order of its key, piece by piece; return what they were."""
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    order = sql.SQL(", ").join(map(_ordered, table.key))
    query = sql.SQL("COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT (ENCODING 'UTF8')")
    size, found = 0, hashlib.sha256()
    with cursor.copy(query.format(columns, table.place, order).as_string()) as rows:
        for piece in rows:
            found.update(piece)
            size += len(piece)
            if sink:
                sink(piece)
    return Read(cursor.rowcount, size, found.hexdigest())


def load(cursor: Any, table: Table, columns: Iterable[str], pieces: Iterator[bytes]) -> int:
    """Write rows as `read` gave them, and return how many they were; an identity goes on after the last.

    Raises BadExport for rows that the table does not take.
    """
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    copy = sql.SQL("COPY {} ({}) FROM STDIN (ENCODING 'UTF8')").format(table.place, names).as_string()
    try:
        with cursor.copy(copy) as to:
            for piece in pieces:
                to.write(piece)
    except (errors.DataError, errors.IntegrityError) as error:
        raise BadExport(f"The rows of {table.name} cannot be loaded: {error.diag.message_primary}.") from error
    rows = int(cursor.rowcount)
    if table.identity:
        column = sql.Identifier(table.identity)
        cursor.execute(sql.SQL("SELECT coalesce(max({}), 0) + 1 FROM {}").format(column, table.place).as_string())
        after = sql.Literal(cursor.fetchone()[0])
        go_on = sql.SQL("ALTER TABLE {} ALTER COLUMN {} RESTART WITH {}").format(table.place, column, after)
        cursor.execute(go_on.as_string())
    return rows


@contextmanager
def guards_off(cursor: Any, schema: str) -> Iterator[None]:
    """Let rows of long ago in: the triggers of a schema that no other transaction can see yet do not fire.

    At the end they stand as before. Raises RuntimeError if they do not, which rolls all of it back.
    """
    before = _triggers(cursor, schema)
    for table in sorted({table for table, _, _, _ in before}):
        _alter(cursor, schema, table, sql.SQL("DISABLE TRIGGER USER"))
    yield
    for table, trigger, fires, own in before:
        if own:
            _alter(cursor, schema, table, sql.SQL(_FIRES[fires] + " {}").format(sql.Identifier(trigger)))
    if _triggers(cursor, schema) != before:
        raise RuntimeError(f"The guards of {schema} do not stand as before; nothing was imported.")


def schema_version(cursor: Any, schema: str) -> tuple[str, ...]:
    """Return the migrations that a tenant's schema has."""
    table = sql.Identifier(schema, _BOOKKEEPING)
    cursor.execute(sql.SQL("SELECT app || '.' || name FROM {}").format(table).as_string())
    applied = {row[0] for row in cursor.fetchall()}
    return tuple(sorted(name for name in applied if name.partition(".")[0] in _labels()))


def own_version() -> tuple[str, ...]:
    """Return the migrations that a tenant's schema has by this release."""
    return tuple(sorted(".".join(key) for key in template.wanted()))


def _labels() -> set[str]:
    return {app.rpartition(".")[2] for app in settings.TENANT_APPS}


def _ordered(column: str) -> sql.Composable:
    """Return a column of a key to order by: text by its bytes, so that two servers agree."""
    if column.endswith("!"):
        return sql.SQL('{} COLLATE "C"').format(sql.Identifier(column[:-1]))
    return sql.Identifier(column)


def _triggers(cursor: Any, schema: str) -> list[tuple[str, str, str, bool]]:
    cursor.execute(_TRIGGERS, [schema])
    return [tuple(row) for row in cursor.fetchall()]


def _alter(cursor: Any, schema: str, table: str, what: sql.Composable) -> None:
    cursor.execute(sql.SQL("ALTER TABLE {} {}").format(sql.Identifier(schema, table), what).as_string())
