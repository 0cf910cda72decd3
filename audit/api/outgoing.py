"""Files on their way out: a process sends only some at a time, so that slow readers do not hold all of its threads."""

from __future__ import annotations

from collections.abc import Generator
from threading import Lock

from django.conf import settings

from tenants.errors import CannotServe


class TooManyFiles(CannotServe):
    """As many files as may be are being sent. Try again in a while, or ask for an export as a job."""

    headers = {"Retry-After": "30"}


_lock = Lock()
_out = 0


class Outgoing:
    """The parts of a file as a response sends them; when it is closed, at the end or before it, another may go out.

    Raises TooManyFiles.
    """

    _open = False

    def __init__(self, parts: Generator[bytes]) -> None:
        self._parts = parts
        _take()
        self._open = True

    def __iter__(self) -> Outgoing:
        return self

    def __next__(self) -> bytes:
        return next(self._parts)

    def close(self) -> None:
        """Close the parts. Whoever makes a response calls it, however that ended."""
        if self._open:
            self._open = False
            _give_back()
            self._parts.close()

    # A response that was never sent is closed by nobody.
    __del__ = close


def _take() -> None:
    global _out  # noqa: PLW0603 - one number of this process
    with _lock:
        if _out >= settings.EXPORTS_AT_A_TIME:
            raise TooManyFiles
        _out += 1


def _give_back() -> None:
    global _out  # noqa: PLW0603
    with _lock:
        _out -= 1
