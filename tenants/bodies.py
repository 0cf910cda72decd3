"""A request's body as it is read by whatever view: unpacked, with a bound on what comes out, and never half of it.

`Bodies` puts a `Body` under each request, so Django's forms, DRF's parsers and views that read piece by piece all read
from the same. Nothing is read, and nothing refused, before somebody reads.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from typing import Any, cast

import zstandard
from django.http import HttpRequest, HttpResponseBase

from tenants.errors import BadInput, CannotServe, TooLarge, parameter_fault

MAX_BYTES = 5 * 1024 * 1024
_PIECE = 64 * 1024
# The most that one call of the decompressor may be fed: four bytes may say 128 KiB, so 8 MiB come out at most.
_ZSTD_PIECE = 256
_ZSTD_WINDOW = 8 * 1024 * 1024


class UnknownEncoding(BadInput):
    """A body may be sent as it is, or with one Content-Encoding: gzip or zstd."""

    status = 415
    headers = {"Accept-Encoding": "gzip, zstd"}


class BrokenBody(BadInput):
    """The body cannot be read to its end."""


class TooSlow(BadInput):
    """The body came too slowly. Send it at once, in smaller parts if need be."""

    status = 408


class Overloaded(CannotServe):
    """More requests arrive at once than can be taken in. Try again in a few seconds."""


class Bodies:
    """Middleware: lets the body of a request be read through `Body`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Put a `Body` under the request."""
        stream = getattr(request, "_stream", None)
        if stream is not None:
            environ = getattr(request, "environ", None) or {**request.META, "wsgi.input": stream}
            request._stream = Body(environ)  # type: ignore[assignment]  # noqa: SLF001
            if _chunked(environ):
                # Frameworks take a length that is missing for none.
                request.META["CONTENT_LENGTH"] = "-1"
        return self.get_response(request)


def _chunked(environ: dict[str, Any]) -> bool:
    """Tell whether a body's end is known to the server alone."""
    return "CONTENT_LENGTH" not in environ and bool(environ.get("wsgi.input_terminated"))


def body_of(request: HttpRequest) -> Body:
    """Return the body of a request, to be read piece by piece."""
    return cast("Body", request._stream)  # noqa: SLF001


class Body(io.RawIOBase):
    """What a request's body says, unpacked. `limit` is how many bytes it may say (None: as many as it likes).

    Reading raises UnknownEncoding, TooLarge, TooSlow, and BrokenBody for one that ends early, or is not what
    its Content-Encoding says.
    """

    def __init__(self, environ: dict[str, Any], limit: int | None = MAX_BYTES) -> None:
        super().__init__()
        self.limit = limit
        self._sent = _Sent(environ)
        self._encoding = str(environ.get("HTTP_CONTENT_ENCODING", "")).strip().lower()
        self._source: io.RawIOBase | io.BufferedIOBase | None = None
        self._said = 0

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes, fewer only at the end; without a size all that is left."""
        size = -1 if size is None else size
        pieces, left = [], size
        while left and (piece := self._piece(_PIECE if left < 0 else min(left, _PIECE))):
            pieces.append(piece)
            left -= len(piece) if left > 0 else 0
        return b"".join(pieces)

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; `readline` and iteration are made of this."""
        piece = self._piece(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def _piece(self, size: int) -> bytes:
        """Return some of the next bytes, none at the end."""
        if self._source is None:
            self._source = self._open()
        try:
            piece = self._source.read(size) or b""
        except (EOFError, OSError, zlib.error, zstandard.ZstdError) as error:
            raise _broken(f"The body is no whole {self._encoding}: {error}") from error
        self._said += len(piece)
        if self.limit is not None and self._said > self.limit:
            raise _too_large(self.limit)
        return piece

    def _open(self) -> io.RawIOBase | io.BufferedIOBase:
        if self.limit is not None and (self._sent.left or 0) > self.limit:
            raise _too_large(self.limit)
        if self._encoding in {"", "identity"}:
            return self._sent
        if self._encoding in {"gzip", "x-gzip"}:
            return gzip.GzipFile(fileobj=io.BufferedReader(self._sent, _PIECE), mode="rb")
        if self._encoding == "zstd":
            return _Unzstd(self._sent)
        fault = parameter_fault("Content-Encoding", "It is gzip, zstd or identity, one of them.", "unknown_word")
        raise UnknownEncoding(errors=[fault])


class _Sent(io.RawIOBase):
    """The body as it was sent. `left` is how many bytes are to come, None where nobody knows (chunked)."""

    def __init__(self, environ: dict[str, Any]) -> None:
        super().__init__()
        self._input = environ["wsgi.input"]
        said = str(environ.get("CONTENT_LENGTH") or "0")
        self.left: int | None = None if _chunked(environ) else int(said) if said.isascii() and said.isdecimal() else 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def read(self, size: int = -1) -> bytes:
        """Return some of the next bytes. Raises BrokenBody, TooSlow."""
        size = size if self.left is None else min(size, self.left)
        if size == 0:
            return b""
        try:
            piece: bytes = self._input.read(size)
        except TimeoutError as error:
            raise TooSlow from error
        except Exception as error:  # each server has its own, for a chunk without an end or a client that is gone
            raise _broken("The body breaks off.") from error
        if self.left is not None:
            if not piece:
                raise _broken(f"The body breaks off: {self.left} bytes less than its Content-Length came.")
            self.left -= len(piece)
        return piece


class _Unzstd(io.RawIOBase):
    """What zstd frames say. The library's own reader takes a frame that breaks off for one that ends."""

    def __init__(self, sent: _Sent) -> None:
        super().__init__()
        self._unpacked = self._unpack(sent)
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        if not self._rest:
            self._rest = next(self._unpacked, b"")
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    @staticmethod
    def _unpack(sent: _Sent) -> Iterator[bytes]:
        library = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        frame, packed = library.decompressobj(), b""
        while packed or (packed := sent.read(_PIECE)):
            if frame.eof:
                frame = library.decompressobj()
            if said := frame.decompress(packed[:_ZSTD_PIECE]):
                yield said
            packed = frame.unused_data + packed[_ZSTD_PIECE:]
        if not frame.eof:
            raise EOFError("it breaks off")


def _broken(detail: str) -> BrokenBody:
    return BrokenBody(detail, errors=[{"pointer": "", "code": "broken_body", "detail": detail}])


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"The body is larger than {limit // 1024 // 1024} MB. Send fewer events at a time.",
        errors=[{"pointer": "", "code": "too_large", "detail": f"At most {limit} bytes are allowed, unpacked."}],
    )
