"""A corpus of bad bodies: each is refused with a 4xx that names the place, or is stored so that it reads back exactly.

Never a 5xx, and never half of it. Each is sent in five ways: as it is, packed with gzip and with zstd, in chunks
without a length, and without saying what it is.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from world import Api, World

LOGS = "/api/v1/audit-logs"
HEAD = b'{"action": "a", "resource": {"type": "t"}, '


def meta(value: bytes) -> bytes:
    """Return an event whose metadata say a value."""
    return HEAD + b'"metadata": {"x": ' + value + b"}}"


# What is sent, the status, and the place that the answer names.
REFUSED: dict[str, tuple[bytes, int, str]] = {
    "nothing but a space": (b" ", 400, ""),
    "half an object": (HEAD, 400, ""),
    "single quotes": (b"{'action': 'a'}", 400, ""),
    "a comma too many": (meta(b"1")[:-1] + b",}", 400, ""),
    "a comment": (b"/* */" + meta(b"1"), 400, ""),
    "two documents": (meta(b"1") * 2, 400, ""),
    "a byte order mark": (b"\xef\xbb\xbf" + meta(b"1"), 400, ""),
    "UTF-16": (meta(b"1").decode().encode("utf-16"), 400, ""),
    "UTF-16 without a mark": (meta(b"1").decode().encode("utf-16-le"), 400, ""),
    "UTF-32": (meta(b"1").decode().encode("utf-32"), 400, ""),
    "latin-1": (meta(b'"\xe9"'), 400, ""),
    "overlong UTF-8": (meta(b'"\xc0\x80"'), 400, ""),
    "a surrogate in UTF-8": (meta(b'"\xed\xa0\x80"'), 400, ""),
    "a raw control character": (meta(b'"\x01"'), 400, ""),
    "a raw U+0000": (meta(b'"\x00"'), 400, ""),
    "U+0000": (meta(b'"a\\u0000"'), 400, "/metadata/x"),
    "U+0000 in a key": (meta(b'{"\\u0000": 1}'), 400, "/metadata/x"),
    "a lone high surrogate": (meta(b'"\\ud834"'), 400, "/metadata/x"),
    "a lone low surrogate": (meta(b'["\\uDD1E"]'), 400, "/metadata/x/0"),
    "surrogates in the wrong order": (meta(b'"\\udd1e\\ud834"'), 400, "/metadata/x"),
    "a surrogate in a key": (meta(b'{"\\ud834": 1}'), 400, "/metadata/x"),
    "arrays, 100,000 deep": (meta(b"[" * 100_000 + b"]" * 100_000), 400, ""),
    "objects, 100,000 deep": (meta(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), 400, ""),
    "arrays, 33 deep": (meta(b"[" * 31 + b"]" * 31), 400, "/metadata/x" + "/0" * 30),
    "NaN": (meta(b"NaN"), 400, "/metadata/x"),
    "an infinity": (meta(b"[1, -Infinity]"), 400, "/metadata/x/1"),
    "1e400": (meta(b"1e400"), 400, "/metadata/x"),
    "1e-400": (meta(b"1e-400"), 400, "/metadata/x"),
    "an exponent of 20 digits": (meta(b"1e99999999999999999999"), 400, "/metadata/x"),
    "2^53 + 1": (meta(b"9007199254740993"), 400, "/metadata/x"),
    "2^53 + 1 as a decimal": (meta(b"9007199254740993.0"), 400, "/metadata/x"),
    "a million digits": (meta(b"9" * 1_000_000), 400, "/metadata/x"),
    "a decimal of a hundred digits": (meta(b"0." + b"3" * 100), 400, "/metadata/x"),
    "a number with a plus": (meta(b"+1"), 400, ""),
    "a number with a zero before": (meta(b"01"), 400, ""),
    "a hexadecimal number": (meta(b"0x1"), 400, ""),
    "a key twice": (HEAD + b'"action": "b"}', 400, "/action"),
    "a key twice, spelled in two ways": (HEAD + b'"\\u0061ction": "b"}', 400, "/action"),
    "a key twice, far down": (meta(b'[{"a": {"b": 1, "b": 1}}]'), 400, "/metadata/x/0/a/b"),
    "a text": (b'"action"', 422, ""),
    "a number": (b"7", 422, ""),
    "null": (b"null", 422, ""),
    "an array of events": (b"[" + meta(b"1") + b"]", 422, ""),
    "an unknown field": (HEAD + b'"__proto__": {}}', 422, "/__proto__"),
    "an astral field": (HEAD + '"𝄞/~": 1}'.encode(), 422, "/𝄞~1~0"),
    "a key of a megabyte": (HEAD + b'"' + b"k" * 1_000_000 + b'": 1}', 413, ""),
    "a text of a megabyte": (meta(b'"' + b"x" * 1_000_000 + b'"'), 413, ""),
    "100,000 keys": (meta(json.dumps(dict.fromkeys(map(str, range(100_000)))).encode()), 413, ""),
    "six megabytes of spaces": (b" " * 6_000_000 + meta(b"1"), 413, ""),
    "100 megabytes": (meta(b'"' + b"x" * 100_000_000 + b'"'), 413, ""),
    "a batch that is an object": (b'{"events": {"0": ' + meta(b"1") + b"}}", 400, "/events"),
    "a batch that is empty": (b'{"events": []}', 400, "/events"),
    "a batch and more": (b'{"events": [' + meta(b"1") + b'], "x": 1}', 400, "/x"),
    "a batch of 1,001": (b'{"events": [' + b",".join([meta(b"1")] * 1001) + b"]}", 413, "/events"),
    "a batch with one bad document": (
        b'{"events": [' + meta(b"1") + b"," + meta(b"1e400") + b"]}", 400, "/events/1/metadata/x",
    ),
}  # fmt: skip

# What is sent as a metadata value, and how it reads back.
STORED: dict[str, tuple[bytes, Any]] = {
    "2^53": (b"9007199254740992", 2**53),
    "-2^53": (b"-9007199254740992", -(2**53)),
    "-0": (b"-0", 0),
    "-0.0": (b"-0.0", 0.0),
    "0.1": (b"0.1", 0.1),
    "1E2": (b"1E2", 100.0),
    "1.0": (b"1.0", 1.0),
    "the least decimal": (b"5e-324", 5e-324),
    "a large decimal": (b"9007199254740991.0", 9007199254740991.0),
    "a decimal of 17 digits": (b"0.30000000000000004", 0.30000000000000004),
    "a number as a text": (b'"123456789012345678901234567890.10"', "123456789012345678901234567890.10"),
    "an astral text": ('"𝄞 😀"'.encode(), "𝄞 😀"),
    "an astral text in escapes": (b'"\\ud834\\udd1e"', "𝄞"),
    "an astral key": (b'{"\\ud83d\\ude00": {"\xf0\x9d\x84\x9e": 1}}', {"😀": {"𝄞": 1}}),
    "an empty key": (b'{"": {"": null}}', {"": {"": None}}),
    "keys of Object": (b'{"__proto__": 1, "constructor": 2}', {"__proto__": 1, "constructor": 2}),
    "right-to-left text": ('"\u202eexe.gpj\u202c \u05d0\u0627"'.encode(), "\u202eexe.gpj\u202c \u05d0\u0627"),
    "a formula": (b'"=HYPERLINK(\\"http://x\\")"', '=HYPERLINK("http://x")'),
    "other formulas": (b'["+1", "-1", "@SUM(A1)", "\\t=1", "\\r=1"]', ["+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]),
    "control characters": (b'"\\u0001\\u001f\\u007f\\u0085\\u2028\\u2029"', "\x01\x1f\x7f\x85\u2028\u2029"),
    "what is no character": (b'"\\ufffe\\uffff\\ufeff\\ufdd0"', "\ufffe\uffff\ufeff\ufdd0"),
    "text that is no normal form": (b'["e\\u0301", "\\u00e9", "\\u212b"]', ["e\u0301", "\u00e9", "\u212b"]),
    "a backslash before u0000": (b'"\\\\u0000 \\\\ud834"', "\\u0000 \\ud834"),
    "SQL": (b'"\'; DROP TABLE audit_log; -- %s $1 {0}"', "'; DROP TABLE audit_log; -- %s $1 {0}"),
    "HTML": (b'"<script>alert(1)</script>&amp;"', "<script>alert(1)</script>&amp;"),
    "29 levels": (b"[" * 29 + b"]" * 29, json.loads("[" * 29 + "]" * 29)),
    "the empty ones": (b'[{}, [], "", null, false]', [{}, [], "", None, False]),
}  # fmt: skip


def as_it_is(api: Api, body: bytes) -> Any:
    return api.post(LOGS, body)


def packed(encoding: str, pack: Callable[[bytes], bytes]) -> Callable[[Api, bytes], Any]:
    return lambda api, body: api.post(LOGS, pack(body), **{"content-encoding": encoding})


def in_chunks(api: Api, body: bytes) -> Any:
    from io import BytesIO

    api.client.defaults.pop("CONTENT_LENGTH", None)
    environ: dict[str, Any] = {
        "wsgi.input": BytesIO(body),
        "wsgi.input_terminated": True,
        "CONTENT_TYPE": "application/json",
    }
    return api.client.generic("POST", LOGS, headers=api.headers, **environ)


def without_a_type(api: Api, body: bytes) -> Any:
    return api.client.generic("POST", LOGS, body, content_type="", headers=api.headers)


WAYS: dict[str, Callable[[Api, bytes], Any]] = {
    "as it is": as_it_is,
    "gzip": packed("gzip", lambda body: gzip.compress(body, 1)),
    "zstd": packed("zstd", zstandard.compress),
    "in chunks": in_chunks,
    "without a type": without_a_type,
}


def written(world: World) -> int:
    """Count what these tests wrote."""
    return int(world.sql(f"SELECT count(*) FROM {world.acme.schema_name}.audit_log WHERE source = 'api'")[0][0])


@pytest.mark.parametrize("way", WAYS)
def test_every_bad_body_is_refused_by_its_place_and_nothing_is_written(world: World, way: str) -> None:
    api = world.api(key="acme.write")
    for name, (body, status, pointer) in REFUSED.items():
        answer = WAYS[way](api, body)
        assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json"), (
            name, answer.content[:300],
        )  # fmt: skip
        assert pointer in {fault["pointer"] for fault in answer.json()["errors"]}, (name, answer.content[:300])
    assert written(world) == 0


@pytest.mark.parametrize("way", WAYS)
def test_whatever_json_can_say_exactly_reads_back_as_it_was_sent(world: World, way: str) -> None:
    writer, reader = world.api(key="acme.write"), world.api(key="acme.read")
    for name, (value, expected) in STORED.items():
        answer = WAYS[way](writer, meta(value))
        assert answer.status_code == 201, (name, answer.content[:300])
        read = reader.get(f"{LOGS}/{answer.json()['id']}").json()["metadata"]["x"]
        assert (read, json.dumps(read)) == (expected, json.dumps(expected)) or read == expected == 0, name
    assert written(world) == len(STORED)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_is_413_also_where_it_is_a_bomb_of_bombs(world: World, encoding: str) -> None:
    packs: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstandard.compress}
    pack = packs[encoding]
    api = world.api(key="acme.write")
    zeros = bytes(300 << 20)
    bomb = pack(meta(b'"' + zeros + b'"'))
    answer = api.post(LOGS, bomb, **{"content-encoding": encoding})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (413, "too_large")
    nested = api.post(LOGS, pack(bomb), **{"content-encoding": encoding})
    assert (nested.status_code, nested.json()["errors"][0]["code"]) == (400, "not_utf8")
    stacked = api.post(LOGS, pack(bomb), **{"content-encoding": f"{encoding}, {encoding}"})
    assert (stacked.status_code, stacked["Accept-Encoding"]) == (415, "gzip, zstd")
    assert written(world) == 0


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "br", "deflate", "compress"])
def test_a_body_that_is_not_packed_as_it_says_is_refused(world: World, encoding: str) -> None:
    answer = world.api(key="acme.write").post(LOGS, meta(b"1"), **{"content-encoding": encoding})
    assert answer.status_code == (400 if encoding in {"gzip", "zstd"} else 415)
    assert written(world) == 0


# A line that is blank is none; those in other encodings hold line ends.
LINES = [name for name in REFUSED if name != "nothing but a space" and not name.startswith("UTF-")]


@pytest.mark.parametrize("name", LINES)
def test_a_line_that_is_bad_is_rejected_and_its_neighbours_are_written(world: World, name: str) -> None:
    body, _, _ = REFUSED[name]
    api, good = world.api(key="acme.write"), meta(b"1")
    answer = api.client.post(
        LOGS, b"\n".join([good, body, good]), content_type="application/x-ndjson", headers=api.headers
    )
    said = answer.json()
    assert (answer.status_code, said["lines"], said["created"]) == (201, 3, 2), answer.content[:300]
    assert [one["line"] for one in said["rejected"]] == [2]
    assert written(world) == 2
