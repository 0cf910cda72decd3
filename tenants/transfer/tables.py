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
from django.db import IntegrityError
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
# Text is ordered by its bytes, so that two servers agree.
_TABLES = """
SELECT c.relname::text,
       array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attgenerated = ''),
       coalesce(
         (SELECT array_agg(quote_ident(k.attname) || CASE WHEN k.attcollation <> 0 THEN ' COLLATE "C"' ELSE '' END
                           ORDER BY p.place)
            FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS p (attnum, place)
            JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = p.attnum
           WHERE i.indrelid = c.oid AND i.indisprimary AND p.place <= i.indnkeyatts),
         array_agg(quote_ident(a.attname) || '::text COLLATE "C"' ORDER BY a.attnum)
           FILTER (WHERE a.attgenerated = '')),
       (SELECT array_agg(ARRAY[k.attname::text, s.oid::text] ORDER BY k.attnum, s.oid)
          FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
          JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = d.refobjsubid
         WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
           AND d.deptype IN ('a', 'i') AND k.atttypid = ANY ('{int2,int4,int8}'::regtype[])),
       (SELECT array_agg(DISTINCT k.attname::text)
          FROM pg_constraint f JOIN pg_attribute k ON k.attrelid = c.oid AND f.conkey = ARRAY[k.attnum]
         WHERE f.conrelid = c.oid AND f.contype = 'f' AND f.confrelid = 'shared.tenants_user'::regclass
           AND NOT k.attnotnull),
       coalesce(bool_or(a.attname = 'transaction_id' AND a.atttypid = 'int8'::regtype
                        AND pg_get_expr(e.adbin, e.adrelid) LIKE '%%pg_current_xact_id()%%'), false)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef e ON e.adrelid = c.oid AND e.adnum = a.attnum
 WHERE n.nspname = %s AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> %s
 GROUP BY c.oid, c.relname ORDER BY c.relname
"""
_GO_ON = """
SELECT setval(q.seqrelid, least(k.last, q.seqmax))
  FROM pg_sequence q, (SELECT greatest(max({}), {}::bigint) AS last FROM {}) k
 WHERE q.seqrelid = {}::oid AND k.last >= q.seqstart
"""
_TRIGGERS = """
SELECT c.relname::text, t.tgname::text, t.tgenabled::text, t.tgparentid = 0
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = %s AND NOT t.tgisinternal ORDER BY 1, 2
"""
# What may wait for the end of a transaction, or could be made to.
_CONSTRAINTS = """
SELECT c.relname::text, k.conname::text, k.condeferrable, k.condeferred
  FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = k.connamespace
 WHERE n.nspname = %s AND (k.condeferrable OR k.contype = 'f' AND k.conparentid = 0 AND k.conenforced) ORDER BY 1, 2
"""
_FIRES = {"O": "ENABLE TRIGGER", "A": "ENABLE ALWAYS TRIGGER", "R": "ENABLE REPLICA TRIGGER", "D": "DISABLE TRIGGER"}


class Read(NamedTuple):
    """What a COPY gave: how many rows, how many bytes, and their hash."""

    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its columns that are stored, in order, and what its rows are ordered by, as SQL.

    `sequences`: columns that count, and what they count by. `pointers`: columns that may point to a person or to
    nobody. `numbered`: its rows say the transaction that wrote them.
    """

    schema: str
    name: str
    columns: tuple[str, ...]
    order: tuple[str, ...]
    sequences: tuple[tuple[str, str], ...]
    pointers: tuple[str, ...]
    numbered: bool

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
    return [
        Table(
            schema, name, tuple(columns), tuple(order), tuple(map(tuple, counted or ())), tuple(people or ()), numbered
        )
        for name, columns, order, counted, people, numbered in cursor.fetchall()
    ]


def clear(cursor: Any, own: Iterable[Table]) -> None:
    """Take away what migrations wrote in a new schema, and the entries of it: all rows are those of the export."""
    places = sql.SQL(", ").join(table.place for table in own)
    cursor.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(places).as_string())


def read(cursor: Any, table: Table, sink: Callable[[bytes], object] | None = None) -> Read:
    """Read all rows of a table in the order of its key, piece by piece; return what they were."""
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    order = sql.SQL(", ").join(map(_term, table.order))
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
    """Write rows as `read` gave them, and return how many they were.

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
    return int(cursor.rowcount)


def last_numbers(cursor: Any, table: Table) -> dict[str, int]:
    """Return the last number that each column which counts has given, but for those that have given none."""
    last = dict[str, int]()
    for column, sequence in table.sequences:
        cursor.execute("SELECT pg_sequence_last_value(%s::oid)", [sequence])
        (number,) = cursor.fetchone()
        if number is not None:
            last[column] = max(number, last.get(column, number))
    return last


def go_on(cursor: Any, table: Table, last: dict[str, int]) -> None:
    """Let the columns which count go on after the last number that they gave, and after the largest there is."""
    for column, sequence in table.sequences:
        told = (sql.Identifier(column), sql.Literal(last.get(column)), table.place, sql.Literal(sequence))
        cursor.execute(sql.SQL(_GO_ON).format(*told).as_string())


@contextmanager
def guards_off(cursor: Any, schema: str) -> Iterator[None]:
    """Let rows of long ago in: the triggers of a schema that no other transaction can see yet do not fire.

    Its foreign keys wait until the end, so that tables can be loaded in any order. Then all stands as before. Raises
    RuntimeError if it does not, which rolls all of it back; BadExport if a row refers to one that is not there.
    """
    before, waiting = _triggers(cursor, schema), _constraints(cursor, schema)
    guarded = sorted({table for table, _, _, _ in before})
    stiff = [(table, sql.Identifier(name)) for table, name, can_wait, _ in waiting if not can_wait]
    # No table can be altered while a check of its rows is still to come.
    _check_references(cursor, schema, "IMMEDIATE")
    for table in guarded:
        _alter(cursor, schema, table, sql.SQL("DISABLE TRIGGER USER"))
    for table, name in stiff:
        _alter(cursor, schema, table, sql.SQL("ALTER CONSTRAINT {} DEFERRABLE").format(name))
    _check_references(cursor, schema, "DEFERRED")
    yield
    _check_references(cursor, schema, "IMMEDIATE")
    for table, name in stiff:
        _alter(cursor, schema, table, sql.SQL("ALTER CONSTRAINT {} NOT DEFERRABLE").format(name))
    for table, trigger, fires, own in before:
        if own:
            _alter(cursor, schema, table, sql.SQL(_FIRES[fires] + " {}").format(sql.Identifier(trigger)))
    if (_triggers(cursor, schema), _constraints(cursor, schema)) != (before, waiting):
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


def _term(term: str) -> sql.Composable:
    """Return what the catalogs gave as SQL, quoted by the database itself."""
    return sql.SQL(term)


def _check_references(cursor: Any, schema: str, when: str) -> None:
    """Let what may wait in a schema be checked now and from now on, or wait for the end."""
    names = {name for _, name, can_wait, _ in _constraints(cursor, schema) if can_wait}
    if not names:
        return
    places = sql.SQL(", ").join(sql.Identifier(schema, name) for name in sorted(names))
    try:
        cursor.execute(sql.SQL("SET CONSTRAINTS {} {}").format(places, sql.SQL(when)).as_string())
    except IntegrityError as error:
        # The first line names table and constraint; the next would show a row's values.
        raise BadExport(f"The rows do not hold together here: {str(error).partition(chr(10))[0]}.") from error


def _triggers(cursor: Any, schema: str) -> list[tuple[str, str, str, bool]]:
    cursor.execute(_TRIGGERS, [schema])
    return [tuple(row) for row in cursor.fetchall()]


def _constraints(cursor: Any, schema: str) -> list[tuple[str, str, bool, bool]]:
    cursor.execute(_CONSTRAINTS, [schema])
    return [tuple(row) for row in cursor.fetchall()]


def _alter(cursor: Any, schema: str, table: str, what: sql.Composable) -> None:
    cursor.execute(sql.SQL("ALTER TABLE {} {}").format(sql.Identifier(schema, table), what).as_string())
