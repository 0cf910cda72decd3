"""The body of a request: unpacked, never more of it than the bound, never less than was sent."""

from __future__ import annotations

import gzip
import io
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tenants.bodies import MAX_BYTES, Body, BrokenBody, TooSlow, UnknownEncoding
from tenants.errors import TooLarge

DATA = b'{"action": "invoice.paid"}' * 20_000
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "X-GZIP": gzip.compress,
    "zstd": zstandard.compress,
    " ZSTD ": lambda data: zstandard.ZstdCompressor(level=19, write_checksum=True).compress(data),
}


class Wire(io.BytesIO):
    """What a server reads from a client, which may fail at the end."""

    error: Exception | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        if not piece and self.error:
            raise self.error
        return piece


def body(sent: bytes, encoding: str = "", length: int | None = None, error: Exception | None = None) -> Body:
    wire = Wire(sent)
    wire.error = error
    environ = {"wsgi.input": wire, "HTTP_CONTENT_ENCODING": encoding}
    return Body({**environ, "CONTENT_LENGTH": str(len(sent) if length is None else length)})


def chunked(sent: bytes, encoding: str = "", error: Exception | None = None) -> Body:
    wire = Wire(sent)
    wire.error = error
    return Body({"wsgi.input": wire, "wsgi.input_terminated": True, "HTTP_CONTENT_ENCODING": encoding})


@pytest.mark.parametrize("encoding", PACK)
@pytest.mark.parametrize("make", [body, chunked])
def test_it_reads_what_was_packed(make: Callable[..., Body], encoding: str) -> None:
    assert make(PACK[encoding](DATA), encoding).read() == DATA


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_parts_that_were_packed_one_by_one_are_one_body(encoding: str) -> None:
    assert body(PACK[encoding](b"a" * 99) + PACK[encoding](b"") + PACK[encoding](DATA), encoding).read() == (
        b"a" * 99 + DATA
    )


@given(st.binary(max_size=3000), st.sampled_from(["", "gzip", "zstd"]), st.integers(1, 500))
def test_it_is_read_piece_by_piece_as_it_is_as_a_whole(data: bytes, encoding: str, size: int) -> None:
    reading = body(PACK[encoding](data), encoding)
    pieces = list(iter(lambda: reading.read(size), b""))
    assert b"".join(pieces) == data
    assert {len(piece) for piece in pieces[:-1]} <= {size}
    assert list(body(PACK[encoding](data), encoding)) == data.splitlines(keepends=True) or b"\r" in data


def test_a_body_without_a_length_is_empty_where_the_server_does_not_know_its_end() -> None:
    assert Body({"wsgi.input": io.BytesIO(DATA)}).read() == b""


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd,gzip", "gzip, identity", "*", "utf-8"])
def test_an_encoding_that_is_not_known_is_refused_naming_those_that_are(encoding: str) -> None:
    with pytest.raises(UnknownEncoding, match="gzip or zstd") as refused:
        body(gzip.compress(DATA), encoding).read()
    assert (refused.value.status, refused.value.headers) == (415, {"Accept-Encoding": "gzip, zstd"})
    assert refused.value.errors[0]["parameter"] == "Content-Encoding"


def broken(data: bytes) -> dict[str, bytes]:
    middle = len(data) // 2
    return {
        "nothing": b"",
        "its beginning": data[:5],
        "its first half": data[:middle],
        "all but its end": data[:-1],
        "something before it": b"x" + data,
        "something after it": data + b"xyz",
        "other bytes in the middle": data[:middle] + bytes(64) + data[middle + 64 :],
        "another form": zlib.compress(DATA),
    }


@pytest.mark.parametrize("encoding", ["gzip", " ZSTD "])
@pytest.mark.parametrize("what", broken(b"").keys())
def test_what_is_no_whole_packed_body_is_refused(encoding: str, what: str) -> None:
    sent = broken(PACK[encoding](bytes(range(256)) * 300))[what]
    if what == "nothing" and encoding == "gzip":
        assert body(sent, encoding).read() == b""  # no part at all is no broken part
        return
    with pytest.raises(BrokenBody) as refused:
        body(sent, encoding).read()
    assert (refused.value.status, refused.value.errors[0]["pointer"]) == (400, "")


def bomb(encoding: str, megabytes: int) -> bytes:
    if encoding == "gzip":
        return gzip.compress(bytes(megabytes << 20))
    return zstandard.ZstdCompressor(level=19).compress(bytes(megabytes << 20))


@pytest.mark.parametrize("make", [body, chunked])
@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_is_refused_at_the_bound_and_takes_no_memory(make: Callable[..., Body], encoding: str) -> None:
    sent = bomb(encoding, 200)
    assert len(sent) < 250_000
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            make(sent, encoding).read()
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_a_bomb_within_a_bomb_is_one_packed_body_and_no_more_is_unpacked() -> None:
    inner = bomb("gzip", 20)
    assert body(zstandard.compress(inner), "zstd").read() == inner


def test_a_frame_that_wants_more_memory_than_the_bound_is_refused() -> None:
    wide = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    sent = zstandard.ZstdCompressor(compression_params=wide).compressobj().compress(bytes(1 << 20))
    with pytest.raises(BrokenBody):
        body(sent, "zstd").read()


@pytest.mark.parametrize("make", [body, chunked])
def test_the_bound_is_exact(make: Callable[..., Body]) -> None:
    assert len(make(bytes(MAX_BYTES)).read()) == MAX_BYTES
    with pytest.raises(TooLarge):
        make(bytes(MAX_BYTES + 1)).read()
    assert len(make(gzip.compress(bytes(MAX_BYTES)), "gzip").read()) == MAX_BYTES
    with pytest.raises(TooLarge):
        make(gzip.compress(bytes(MAX_BYTES + 1)), "gzip").read()


def test_a_body_that_says_that_it_is_too_large_is_not_read() -> None:
    class Untouched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise AssertionError("It was read.")

    with pytest.raises(TooLarge):
        Body({"wsgi.input": Untouched(), "CONTENT_LENGTH": str(100 << 20)}).read()


def test_a_body_without_a_bound_is_read_to_its_end() -> None:
    reading = chunked(bomb("gzip", 20), "gzip")
    reading.limit = None
    assert sum(len(piece) for piece in iter(lambda: reading.read(1 << 16), b"")) == 20 << 20


def test_a_body_that_is_shorter_than_its_length_breaks_off() -> None:
    with pytest.raises(BrokenBody, match="10 bytes less"):
        body(DATA, length=len(DATA) + 10).read()


def test_no_more_is_read_than_the_length() -> None:
    assert body(DATA, length=10).read() == DATA[:10]


@pytest.mark.parametrize("length", ["", "-1", "x", "\uff11"])
def test_a_length_that_is_none_is_no_body(length: str) -> None:
    assert Body({"wsgi.input": io.BytesIO(DATA), "CONTENT_LENGTH": length}).read() == b""


@pytest.mark.parametrize(
    ("error", "kind"), [(TimeoutError(), TooSlow), (ConnectionResetError(), BrokenBody), (ValueError(), BrokenBody)]
)
@pytest.mark.parametrize("encoding", ["", "gzip", "zstd"])
@pytest.mark.parametrize("make", [body, chunked])
def test_what_the_server_says_of_a_client_that_fails_is_told(
    make: Callable[..., Body], encoding: str, error: Exception, kind: type[Exception]
) -> None:
    sent: Any = PACK[encoding](DATA)[:-9]
    arguments = {"length": len(sent) + 9} if make is body else {}
    with pytest.raises(kind):
        make(sent, encoding, error=error, **arguments).read()
