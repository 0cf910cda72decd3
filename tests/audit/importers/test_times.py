"""Times and addresses as vendors write them."""

from __future__ import annotations

from typing import Any

import pytest

from audit.importers.times import address, moment, rendered


@pytest.mark.parametrize(
    ("value", "time"),
    [
        (1621305118553, "2021-05-18T02:31:58.553000Z"),
        (1621305118553.0, "2021-05-18T02:31:58.553000Z"),
        (1621305118, "2021-05-18T02:31:58.000000Z"),
        ("2022-03-22 14:21:53.225", "2022-03-22T14:21:53.225000Z"),
        ("2020-11-25 21:27:03.496000000", "2020-11-25T21:27:03.496000Z"),
        ("2025-10-15T18:42:00Z", "2025-10-15T18:42:00.000000Z"),
        ("2025-10-15T18:42:00.123456789+05:30", "2025-10-15T13:12:00.123456Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_a_time_is_read_as_utc(value: Any, time: str) -> None:
    assert rendered(moment(value)) == time


@pytest.mark.parametrize(
    "value",
    [
        None, True, "", "redacted", "...", "2024-12-17 00:00:00000000", "2024-02-30T00:00:00Z", "2024-01-01",
        "2024-01-01T00:00:00+99:00", "0001-01-01T00:00:00+01:00", "٢٠٢٤-01-01T00:00:00Z", 10**30, 1e300, ["2024"],
    ],
)  # fmt: skip
def test_what_is_no_time_is_none(value: Any) -> None:
    assert moment(value) is None


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("06.237.252.245", None),
        ("AWS Internal", None),
        ("192.0.2.7:443", None),
        ("192.0.2.0/24", None),
        ("fe80::1%eth0", None),
        ("", None),
    ],
)
def test_an_address_is_plain_or_none(text: str, plain: str | None) -> None:
    assert address(text) == plain
