"""Files of a whole trail: each read back by another program's reader, and what shows that one broke off."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from entries import corpus, made, party
from hypothesis import given
from hypothesis import strategies as st

from audit.formats import FILES, NAMES, render
from audit.formats.csv_file import COLUMNS, row
from audit.formats.file import Gzipped, Writer
from audit.formats.parquet import schema

NASTY = ["=1+1", "+1", "-1", "@a", "\tx", "\rx", "\nx", "'quoted", "''", 'a"b', "a,b", "a\r\nb", "ü😀", "\u202eabc", ""]


def written(writer: Writer, pages: Sequence[Sequence[dict[str, Any]]], *, whole: bool = True) -> bytes:
    """Return the file that a writer makes of pages of entries."""
    parts = [writer.begin(), *(writer.page([json.dumps(entry) for entry in page]) for page in pages)]
    return b"".join([*parts, writer.end() if whole else writer.broken()])


def nasty() -> list[dict[str, Any]]:
    """Return entries with each nasty text in each place, and some that say little."""
    entries = [
        made(text, resource=party(text, text, text), description=text, actor=party("user", text, text))
        for text in NASTY
    ]
    bare = made(position=None, occurred_at=None, changes=None, metadata={}, tenant=None, captured=True)
    return [*entries, bare, made(targets=[party("role", "=1", "ü")], impersonator=party("staff", "s", "-x"))]


def test_the_formats_of_a_read_are_these_and_the_native_one_changes_nothing() -> None:
    assert NAMES == ("native", "ocsf", "cloudevents", "ecs")
    entry = made()
    assert render("native", entry) is entry


@pytest.mark.parametrize("name", ["jsonl", "ocsf", "cloudevents", "ecs"])
def test_lines_of_json_are_the_entries_in_that_format(name: str) -> None:
    entries = nasty()
    text = written(FILES[name].writer(), [entries[:1], [], entries[1:]]).decode()
    assert text.endswith("\n")
    expected = [render("native" if name == "jsonl" else name, entry) for entry in entries]
    assert [json.loads(line) for line in text.split("\n")[:-1]] == expected


def test_a_line_of_an_entry_is_passed_on_as_it_is() -> None:
    line = '{"a": 1.50, "b":"ü"}'
    assert FILES["jsonl"].writer().page([line]) == f"{line}\n".encode()


def cells(data: bytes) -> list[dict[str, str]]:
    """Return the rows of a CSV file as a spreadsheet's reader sees them."""
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def as_text(value: Any) -> str:
    """Return what a cell holds of a value, before it is made safe."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def test_csv_read_by_pythons_reader_has_all_values_and_no_cell_is_a_formula() -> None:
    entries = nasty()
    rows = cells(written(FILES["csv"].writer(), [entries[:3], entries[3:]]))
    assert len(rows) == len(entries)
    for entry, found in zip(entries, rows, strict=True):
        assert tuple(found) == COLUMNS
        for name, value in zip(COLUMNS, row(entry), strict=True):
            cell = found[name]
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")), (name, cell)
            assert cell.removeprefix("'") == as_text(value)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), min_size=1, max_size=3))
def test_any_text_can_be_had_back_from_csv(texts: list[str]) -> None:
    entries = [made(description=text) for text in texts]
    found = [row["description"] for row in cells(written(FILES["csv"].writer(), [entries]))]
    assert [cell.removeprefix("'") for cell in found] == texts
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in found)


def test_parquet_read_by_pyarrow_equals_the_entries() -> None:
    entries = nasty()
    table = pq.read_table(io.BytesIO(written(FILES["parquet"].writer(), [entries[:2], [], entries[2:]])))
    assert table.schema.equals(schema())
    for entry, found in zip(entries, table.to_pylist(), strict=True):
        assert tuple(found) == COLUMNS
        for name, value in zip(COLUMNS, row(entry), strict=True):
            cell = found[name]
            if name in {"created_at", "occurred_at"} and value is not None:
                assert cell == datetime.fromisoformat(value)
                assert cell.utcoffset() == timedelta(0)
            elif name in {"changes", "metadata"}:
                assert value == (None if cell is None else json.loads(cell))
            else:
                assert cell == value


def test_parquet_goes_out_in_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.formats.parquet._GROUP_ROWS", 10)
    writer = FILES["parquet"].writer()
    parts = [writer.begin()] + [writer.page([json.dumps(made())] * 5) for _ in range(5)]
    assert [bool(part) for part in parts] == [True, False, True, False, True, False]
    found = pq.ParquetFile(io.BytesIO(b"".join([*parts, writer.end()])))
    assert [found.metadata.row_group(number).num_rows for number in range(found.num_row_groups)] == [10, 10, 5]


@pytest.mark.parametrize("name", sorted(FILES))
def test_an_empty_trail_is_a_file_of_its_format(name: str) -> None:
    data = written(FILES[name].writer(), [])
    if name == "parquet":
        assert pq.read_table(io.BytesIO(data)).num_rows == 0
    elif name == "csv":
        assert list(csv.reader(io.StringIO(data.decode()))) == [list(COLUMNS)]
    else:
        assert data == b""


@pytest.mark.parametrize("name", ["jsonl", "ocsf", "cloudevents", "ecs"])
def test_lines_that_break_off_end_with_a_mark_that_is_no_entry(name: str) -> None:
    lines = written(FILES[name].writer(), [[made()]], whole=False).splitlines()
    assert json.loads(lines[-1]) == {"export_interrupted": True}
    assert len(lines) == 2


def test_csv_that_breaks_off_ends_with_a_row_of_one_cell() -> None:
    data = written(FILES["csv"].writer(), [[made()]], whole=False)
    assert list(csv.reader(io.StringIO(data.decode(), newline="")))[-1] == ["#export_interrupted"]


def test_parquet_that_breaks_off_is_refused_by_its_readers() -> None:
    data = written(FILES["parquet"].writer(), [[made()]], whole=False)
    with pytest.raises(pa.ArrowInvalid):
        pq.read_table(io.BytesIO(data))


@pytest.mark.parametrize("name", sorted(name for name, it in FILES.items() if it.compressible))
@pytest.mark.parametrize("whole", [True, False])
def test_gzip_unpacks_to_the_same_file(name: str, whole: bool) -> None:
    pages = [nasty(), [made()]]
    plain = written(FILES[name].writer(), pages, whole=whole)
    assert gzip.decompress(written(Gzipped(FILES[name].writer()), pages, whole=whole)) == plain


def test_all_events_of_the_corpus_go_through_every_form() -> None:
    entries = list(corpus())
    for name, form in FILES.items():
        data = written(form.writer(), [entries])
        count = pq.read_table(io.BytesIO(data)).num_rows if name == "parquet" else len(cells(data))
        assert count == len(entries) - (name not in {"csv", "parquet"})
