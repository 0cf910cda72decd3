"""An entry in the forms that other programs read, one pure module each: no framework, no database.

`render` makes one entry (a dict, as the API shows it) another JSON object; `FILES` are the forms of a whole trail,
which come from entries as lines of JSON and go out as bytes, a page at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from audit.formats import cloudevents, csv_file, ecs, jsonl, native, ocsf, parquet
from audit.formats.file import FileFormat

Entry = dict[str, Any]

_RENDERERS: dict[str, Callable[[Entry], Entry]] = {
    "native": native.render,
    "ocsf": ocsf.render,
    "cloudevents": cloudevents.render,
    "ecs": ecs.render,
}
# What `format=` may say on a read; the first is what it says by itself.
NAMES = tuple(_RENDERERS)

FILES: dict[str, FileFormat] = {
    "csv": FileFormat(".csv", "text/csv; charset=utf-8", csv_file.CsvWriter),
    "jsonl": FileFormat(".jsonl", "application/x-ndjson", jsonl.LinesWriter),
    "parquet": FileFormat(".parquet", "application/vnd.apache.parquet", parquet.ParquetWriter, compressible=False),
    "ocsf": FileFormat(".ocsf.jsonl", "application/x-ndjson", lambda: jsonl.RenderedWriter(ocsf.render)),
    "cloudevents": FileFormat(
        ".cloudevents.jsonl", "application/x-ndjson", lambda: jsonl.RenderedWriter(cloudevents.render)
    ),
    "ecs": FileFormat(".ecs.jsonl", "application/x-ndjson", lambda: jsonl.RenderedWriter(ecs.render)),
}


def render(name: str, entry: Entry) -> Entry:
    """Return an entry, as the API shows it, in the format of that name (one of NAMES)."""
    return _RENDERERS[name](entry)
