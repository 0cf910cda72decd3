"""Times and addresses as vendors write them, read strictly or not at all."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import IPv6Address, ip_address
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_BELOW = 10**11  # as seconds this is the year 5138, as milliseconds March 1973
_TEXT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:[.,]([0-9]{1,9}))?\s?(Z|z|[+-][0-9]{2}:?[0-9]{2})?"
)


def moment(value: Any) -> datetime | None:
    """Return the time that a JSON value means, aware and in UTC, or None when it means none.

    A number counts milliseconds since 1970 (seconds when it is too small for milliseconds). A text is ISO
    8601 to the second or finer, with `T` or a blank; without a zone it is UTC; what is finer than a
    microsecond is cut off.
    """
    try:
        if isinstance(value, str):
            return _from_text(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _from_number(value)
    except (ValueError, OverflowError):  # the 31st of June, the year 300000
        return None
    return None


def rendered(time: datetime | None) -> str | None:
    """Return a time as an entry shows it: RFC 3339, UTC, microseconds."""
    return None if time is None else time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def address(text: str) -> str | None:
    """Return the canonical form of a plain IP address, or None for anything else (names, zones, leading zeros)."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return None if isinstance(found, IPv6Address) and found.scope_id else str(found)


def is_steady_address(text: str) -> bool:
    """Tell whether an address reads the same wherever it is stored.

    The low IPv6 addresses (`::ffff:192.0.2.1`, `::1`) are written in several ways by different software.
    """
    return address(text) == text and (":" not in text or int(ip_address(text)) >> 48 != 0)


def _from_number(value: float) -> datetime:
    return _EPOCH + (timedelta(seconds=value) if abs(value) < _SECONDS_BELOW else timedelta(milliseconds=value))


def _from_text(text: str) -> datetime | None:
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    *numbers, fraction, zone = match.groups()
    year, month, day, hour, minute, second = (int(number) for number in numbers)
    micro = int((fraction or "0").ljust(6, "0")[:6])
    return datetime(year, month, day, hour, minute, second, micro, tzinfo=_zone(zone)).astimezone(UTC)


def _zone(text: str | None) -> timezone:
    if text is None or text in "Zz":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)
