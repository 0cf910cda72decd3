"""Parts of a file over HTTP (RFC 9110, 14): which bytes a request asks for. Pure."""

from __future__ import annotations

import re

from tenants.errors import BadInput

# No file is as long as a number of more digits says.
_ONE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class RangeNotSatisfiable(BadInput):
    """The file has no such part; `Content-Range` says how long it is."""

    status = 416

    def __init__(self, size: int) -> None:
        self.headers = {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"}
        super().__init__()


def part_of(header: str | None, if_range: str | None, etag: str, size: int) -> range | None:
    """Return the bytes that a `Range` asks for; None: the whole file.

    What is no range of bytes, or several, is passed over, as the standard lets a server do, and so is a range of a file
    that `If-Range` does not name. Raises RangeNotSatisfiable.
    """
    asked = _ONE.fullmatch((header or "").replace(" ", ""))
    if asked is None or asked[0] == "bytes=-" or (if_range is not None and if_range != etag):
        return None
    first, last = asked.groups()
    if not first:
        found = range(max(0, size - int(last)), size)
    else:
        if last and int(last) < int(first):
            return None
        found = range(int(first), min(size, int(last) + 1) if last else size)
    if not found or found.start >= size:
        raise RangeNotSatisfiable(size)
    return found
