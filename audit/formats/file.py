"""What a form of a whole trail offers, and gzip around those that are text."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

BROKEN = "export_interrupted"
_GZIP = 31  # zlib's word for a gzip header and trailer around a window of the greatest size
_LEVEL = 5


class Writer(Protocol):
    """One file in the making. What it returns are the next bytes of it; none of them is kept."""

    def begin(self) -> bytes:
        """Return what stands before all entries."""

    def page(self, lines: Sequence[str]) -> bytes:
        """Return some entries, each given as one line of JSON as the API shows it."""

    def end(self) -> bytes:
        """Return what stands after all entries."""

    def broken(self) -> bytes:
        """Return what shows, in place of `end`, that entries are missing here."""


@dataclass(frozen=True, slots=True)
class FileFormat:
    """One form of a file: how its name ends, its media type, and what writes it."""

    suffix: str
    media_type: str
    writer: Callable[[], Writer]
    compressible: bool = True


class Gzipped:
    """Another writer's file, compressed by gzip as it goes."""

    def __init__(self, inner: Writer) -> None:
        self._inner, self._stream = inner, zlib.compressobj(_LEVEL, wbits=_GZIP)

    def begin(self) -> bytes:
        """Return the header."""
        return self._stream.compress(self._inner.begin())

    def page(self, lines: Sequence[str]) -> bytes:
        """Return what is compressed so far."""
        return self._stream.compress(self._inner.page(lines))

    def end(self) -> bytes:
        """Return the rest, and gzip's checksum."""
        return self._stream.compress(self._inner.end()) + self._stream.flush()

    def broken(self) -> bytes:
        """Return the rest with the other writer's mark: what was compressed can be unpacked, and shows it."""
        return self._stream.compress(self._inner.broken()) + self._stream.flush()
