"""A process sends only some files at a time."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from world import World

from audit.api import outgoing
from audit.api.outgoing import Outgoing, TooManyFiles

EXPORT = "/api/v1/audit-logs/export"


@pytest.fixture(autouse=True)
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.conf import settings

    monkeypatch.setattr(settings, "EXPORTS_AT_A_TIME", 2)
    assert outgoing._out == 0


def parts() -> Generator[bytes]:
    yield b"a"
    yield b"b"


def test_a_file_that_is_read_or_left_makes_room_for_another() -> None:
    first, second = Outgoing(parts()), Outgoing(parts())
    with pytest.raises(TooManyFiles):
        Outgoing(parts())
    assert list(first) == [b"a", b"b"]
    first.close()
    first.close()
    third = Outgoing(parts())
    assert next(third) == b"a"
    third.close()
    assert list(third) == []
    del second
    assert outgoing._out == 0


def test_one_file_too_many_is_refused_with_a_hint_and_nothing_is_recorded(world: World) -> None:
    api = world.api(key="acme.admin")
    held = [api.get(EXPORT, format="jsonl") for _ in range(2)]
    before = world.entries("acme")
    answer = api.get(EXPORT, format="jsonl")
    assert (answer.status_code, answer["Retry-After"]) == (503, "30")
    assert answer.json()["code"] == "too_many_files"
    assert world.entries("acme") == before
    assert b"".join(held.pop().streaming_content)
    after = api.get(EXPORT, format="jsonl")
    assert after.status_code == 200
    for one in (*held, after):
        one.close()
