"""Parquet with a fixed schema: what is text in an entry is text, times are timestamps, JSON of any shape is JSON text.

The library is loaded with the first file that is written: it takes more memory than all other forms together.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from audit.formats.csv_file import COLUMNS, row

if TYPE_CHECKING:
    import pyarrow as pa

# A row group is written when it has one of these: as many rows, or as many characters of JSON.
_GROUP_ROWS, _GROUP_SIZE = 50_000, 16 * 1024 * 1024
_TIMES = {"created_at", "occurred_at"}
_JSON = {"changes", "metadata"}


def schema() -> pa.Schema:
    """Return the columns of every file: the names are those of CSV."""
    import pyarrow as pa  # noqa: PLC0415 - see above

    party = pa.struct([("type", pa.string()), ("id", pa.string()), ("label", pa.string())])
    special = {
        "position": pa.int64(),
        "targets": pa.list_(party),
        "version": pa.int16(),
        "captured": pa.bool_(),
        **dict.fromkeys(_TIMES, pa.timestamp("us", tz="UTC")),
    }
    return pa.schema([(name, special.get(name, pa.string())) for name in COLUMNS])


class ParquetWriter:
    """Entries in row groups. A file that breaks off has no footer, and every reader refuses it."""

    def __init__(self) -> None:
        import pyarrow.parquet as pq  # noqa: PLC0415 - see above

        self._sink, self._schema = _Sink(), schema()
        self._file = pq.ParquetWriter(self._sink, self._schema, compression="zstd")
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._size = 0

    def begin(self) -> bytes:
        """Return the file's first bytes."""
        return self._sink.take()

    def page(self, lines: Sequence[str]) -> bytes:
        """Keep entries until they are a row group; return that, or nothing yet."""
        import pyarrow as pa  # noqa: PLC0415 - see above

        columns = zip(*(_values(json.loads(line)) for line in lines), strict=True)
        if lines:
            arrays = [pa.array(list(column), field.type) for column, field in zip(columns, self._schema, strict=True)]
            self._batches.append(pa.record_batch(arrays, schema=self._schema))
        self._rows, self._size = self._rows + len(lines), self._size + sum(map(len, lines))
        if self._rows >= _GROUP_ROWS or self._size >= _GROUP_SIZE:
            self._group()
        return self._sink.take()

    def end(self) -> bytes:
        """Return the last row group, if there is one, and the footer."""
        self._group()
        self._file.close()
        return self._sink.take()

    def broken(self) -> bytes:
        """Return nothing: what is there is no file without its footer."""
        return b""

    def _group(self) -> None:
        import pyarrow as pa  # noqa: PLC0415 - see above

        if self._batches:
            table = pa.Table.from_batches(self._batches, self._schema)
            self._file.write_table(table, row_group_size=max(1, self._rows))
        self._batches, self._rows, self._size = [], 0, 0


class _Sink(io.RawIOBase):
    """Takes what the library writes, until it is fetched."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(self._parts[-1])

    def take(self) -> bytes:
        """Return what came since the last time."""
        taken, self._parts = b"".join(self._parts), []
        return taken


def _values(entry: dict[str, Any]) -> list[Any]:
    return [_value(name, value) for name, value in zip(COLUMNS, row(entry), strict=True)]


def _value(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _TIMES:
        return datetime.fromisoformat(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if name in _JSON else value
