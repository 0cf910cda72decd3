"""Reading JSON lines."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest

from audit.importers.reader import MAX_LINE_BYTES, BadLine, read_lines


def read(data: bytes) -> list[tuple[int, Any]]:
    return list(read_lines(BytesIO(data)))


def test_it_reads_lines_under_the_numbers_that_an_editor_shows_and_leaves_out_blank_ones() -> None:
    assert read(b'{"a":1}\r\n\n  \n{"b":2}') == [(1, {"a": 1}), (4, {"b": 2})]
    assert read(b"") == []


def test_only_a_line_feed_ends_a_line() -> None:
    assert read('{"a":"x\u2028y\u0085z"}\n'.encode()) == [(1, {"a": "x\u2028y\u0085z"})]


def test_integers_are_exact_and_so_are_floats_that_python_would_round() -> None:
    (_, line), *_ = read(
        b'{"i":9223372036854775807,"f":1.5,"g":0.1000000000000000000001,"z":-0.0,"e":1e300,"t":1e-400}'
    )
    assert line["i"] == 9223372036854775807
    assert (line["f"], line["g"]) == (1.5, "0.1000000000000000000001")
    assert (line["z"], line["e"], line["t"]) == ("-0.0", "1e300", "1e-400")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"[]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b'{"a":', "not JSON at character 7: Expecting value"),
        (b'{"a":1} {"b":2}', "not JSON at character 9: Extra data"),
        (b'\xef\xbb\xbf{"a":1}', "not JSON at character 1: Unexpected UTF-8 BOM (decode using utf-8-sig)"),
        (b'{"a":"\xff"}', "not UTF-8 at byte 7"),
        (b'{"a":"\xed\xa0\x80"}', "not UTF-8 at byte 7"),
        (b'{"x":{"a":1,"a":1}}', "the key `a` stands twice in one object"),
        (b'{"a":NaN}', "NaN is not JSON"),
        (b'{"a":-Infinity}', "-Infinity is not JSON"),
        (b'{"a":1e400}', "the number 1e400 is too large"),
        (b'{"a":' + b"1" * 5000 + b"}", "an integer of 5000 digits is too long"),
        (b'{"a":' + b"[" * 32 + b"]" * 32 + b"}", "nested deeper than 32 levels"),
        (b"[" * 500_000, "nested deeper than 32 levels"),
    ],
)
def test_a_line_that_is_no_object_has_a_reason(raw: bytes, reason: str) -> None:
    assert read(b'{"a":1}\n' + raw + b'\n{"b":2}\n') == [(1, {"a": 1}), (2, BadLine(2, reason)), (3, {"b": 2})]


def test_thirty_two_levels_are_read() -> None:
    (_, line), *_ = read(b'{"a":' + b"[" * 31 + b"]" * 31 + b"}")
    assert isinstance(line, dict)


def test_the_longest_line_is_read_and_a_longer_one_is_skipped() -> None:
    fits = b'{"a":"' + b"x" * (MAX_LINE_BYTES - 8) + b'"}'
    too_long = BadLine(2, f"longer than {MAX_LINE_BYTES} bytes")
    found = read(fits + b"\n" + fits + b" \n" + b'{"b":2}')
    assert [number for number, _ in found] == [1, 2, 3]
    assert (found[1][1], found[2][1]) == (too_long, {"b": 2})
    assert read(b'{"a":1}\n' + fits * 3) == [(1, {"a": 1}), (2, too_long)]


class Endless(BytesIO):
    """A line without end that says how much was asked of it at once."""

    asked = 0
    left = 64

    def readline(self, size: int | None = -1, /) -> bytes:
        self.asked = max(self.asked, size or 0)
        self.left -= 1
        return b"x" * (size or 0) if self.left > 0 else b""


def test_no_more_than_the_limit_is_held_of_a_line() -> None:
    stream = Endless()
    assert [number for number, _ in read_lines(stream)] == [1]
    assert 0 < stream.asked <= MAX_LINE_BYTES + 1
