"""Lines put aside on disk: in order of time, together with what belongs to them, in bounded memory."""

from __future__ import annotations

import random
import sqlite3
import tracemalloc
from contextlib import closing
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest

from audit.importers import read_events
from audit.importers.dumps import Beside, Dated, Row
from audit.importers.leaves import Unmappable
from audit.importers.reader import Mapped
from audit.importers.spill import Spill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from audit.importers.dumps import Told


@pytest.fixture
def spill() -> Iterator[Spill]:
    with closing(Spill()) as made:
        yield made


def row(number: int, model: str = "shop.order", pk: Any = None, **fields: Any) -> Row:
    return Row(number, {"model": model, "pk": number if pk is None else pk, "fields": fields})


def put(spill: Spill, number: int, identity: str | None, time: int, needs: str = "", model: str = "shop.order") -> None:
    spill.put(row(number, model), Dated(identity, f"2026-01-{time:02}", 0, number, needs))


def events(spill: Spill) -> list[Told]:
    spill.close_input()
    return list(spill.events())


def test_events_come_in_order_of_time_with_the_one_before_of_the_same_object(spill: Spill) -> None:
    for number, identity, time in [(1, "a", 9), (2, "b", 2), (3, "a", 3), (4, "a", 3), (5, "b", 1)]:
        put(spill, number, identity, time)
    told = [(one.row.number, one.before and one.before.number) for one in events(spill)]
    assert told == [(5, None), (2, 5), (3, None), (4, 3), (1, 4)]


def test_events_that_stand_alone_have_none_before_them(spill: Spill) -> None:
    put(spill, 1, None, 1)
    put(spill, 2, None, 2)
    assert [one.before for one in events(spill)] == [None, None]


def test_what_an_event_needs_is_found_before_it_and_after_it(spill: Spill) -> None:
    spill.put(row(1, "p.context", "x", a=1), Beside("x"))
    put(spill, 2, "a", 1, "x")
    put(spill, 3, "a", 2, "y")
    put(spill, 4, "a", 3)
    spill.put(row(5, "p.context", "y", a=2), Beside("y"))
    told = events(spill)
    assert [[beside.number for beside in one.beside] for one in told] == [[1], [5], []]
    assert [[beside.number for beside in one.beside_before] for one in told] == [[], [1], [5]]
    assert all(one.is_joined for one in told)


def test_rows_of_an_owner_belong_to_events_of_its_model_alone(spill: Spill) -> None:
    put(spill, 1, "a", 1, "7", "shop.order")
    put(spill, 2, "a", 2, "7", "shop.orderline")
    spill.put(row(3, "shop.order_tags"), Beside("7", "shop.order_tags"))
    spill.put(row(4, "shop.orderline_tags"), Beside("7", "shop.orderline_tags"))
    spill.put(row(5, "shop.order_tags"), Beside("8", "shop.order_tags"))
    told = events(spill)
    assert [[beside.number for beside in one.beside] for one in told] == [[3], [4]]
    assert [one.owners for one in told] == [["shop.order_tags"], ["shop.orderline_tags"]]
    assert (list(spill.attached()), list(spill.alone())) == ([3, 4], [5])


def test_it_tells_what_nothing_refers_to(spill: Spill) -> None:
    put(spill, 1, "a", 1, "x")
    for number, key in ((2, "x"), (3, "y")):
        spill.put(row(number, "p.context", key), Beside(key))
    spill.close_input()
    assert (list(spill.attached()), list(spill.alone())) == ([2], [3])


def test_the_same_row_twice_counts_once_and_another_of_the_same_key_is_refused(spill: Spill) -> None:
    put(spill, 1, "a", 1, "x")
    for number in (2, 3):
        spill.put(row(number, "p.context", "x", a=1), Beside("x"))
    with pytest.raises(Unmappable, match="line 2 says something else of the same `pk`"):
        spill.put(row(4, "p.context", "x", a=2), Beside("x"))
    spill.put(row(5, "q.context", "x", a=2), Beside("z"))
    (told,) = events(spill)
    assert [beside.number for beside in told.beside] == [2]
    assert list(spill.attached()) == [2, 3]


def test_a_file_without_rows_beside_events_says_so(spill: Spill) -> None:
    put(spill, 1, "a", 1)
    assert [one.is_joined for one in events(spill)] == [False]


def test_a_row_is_read_back_as_it_was(spill: Spill) -> None:
    fields: dict[str, Any] = {"n": 2**60, "f": 0.1, "t": 'é🌞"\\\u2028', "null": None, "deep": [{"a": [True]}], "": {}}
    spill.put(row(1, **fields), Dated("a", "2026", 0, 2**63 - 1, "ключ"))
    (told,) = events(spill)
    assert (told.row.line, told.row.number) == ({"model": "shop.order", "pk": 1, "fields": fields}, 1)


def test_a_full_disk_is_an_error_of_its_own(spill: Spill) -> None:
    spill._base.execute("PRAGMA max_page_count = 20")
    large = row(1, text="x" * 200_000)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        spill.put(large, Dated("a", "2026", 0, 1))


def dump(count: int) -> bytes:
    """Return rows of a history in no order."""
    generator = random.Random(7)
    lines = [
        f'{{"model": "shop.historicalorder", "pk": {number}, "fields": {{"id": {number % 97}, "total": "{number}", '
        f'"note": "{"x" * 200}", "history_date": "2026-01-01T00:{number // 60 % 60:02}:{number % 60:02}Z", '
        f'"history_type": "~", "history_user": null, "history_change_reason": null}}}}'
        for number in range(1, count + 1)
    ]
    generator.shuffle(lines)
    return "\n".join(lines).encode()


def peak(data: bytes) -> int:
    """Return how much of Python's memory reading took at most, without the file."""
    stream = BytesIO(data)
    tracemalloc.start()
    try:
        assert all(isinstance(found, Mapped) for found in read_events("simple-history", stream, {}))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_file() -> None:
    data = dump(2000)
    assert peak(data) < len(data)  # parsed it would be several times as large
