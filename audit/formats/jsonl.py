"""JSON lines: the entries as they come, or each of them in another format."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from audit.formats.file import BROKEN

_MARK = json.dumps({BROKEN: True}).encode() + b"\n"


class LinesWriter:
    """Entries as the API shows them, one a line."""

    def begin(self) -> bytes:
        """Return nothing."""
        return b""

    def page(self, lines: Sequence[str]) -> bytes:
        """Return the lines as they are: nothing is parsed, which is why this is the quickest of all forms."""
        return ("\n".join(lines) + "\n").encode() if lines else b""

    def end(self) -> bytes:
        """Return nothing."""
        return b""

    def broken(self) -> bytes:
        """Return a last line that is no entry: `{"export_interrupted": true}`."""
        return _MARK


class RenderedWriter(LinesWriter):
    """Entries in another format, one a line."""

    def __init__(self, render: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._render = render

    def page(self, lines: Sequence[str]) -> bytes:
        """Return each entry in the format."""
        return super().page([self._line(line) for line in lines])

    def _line(self, line: str) -> str:
        return json.dumps(self._render(json.loads(line)), ensure_ascii=False, separators=(",", ":"))
