"""Two tenants under load: many threads through the pool, many async requests at once, and no wrong row.

DAYBOOK_LONG=1 runs the long form of the same tests.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from asgi import ask_at_once
from django.db import connections
from django.test import override_settings
from django_tenants.utils import tenant_context
from stock import REFUSALS, no_walls
from trying_urls import labels
from world import World

from tenants import callers, middleware
from tenants.context import SYSTEM, tenant_scope

SLUGS = ("acme", "globex")


@dataclass(frozen=True)
class Load:
    """How many threads, how many reads of each tenant by each thread, how many requests at once."""

    threads: int = 8
    reads: int = 10_000
    requests: int = 200


LOAD = Load() if os.environ.get("DAYBOOK_LONG") == "1" else Load(reads=300, requests=40)
# Each thread gives its connection back now and then, so that connections change hands.
_KEEPS = 20


def hammer(readers: dict[str, Callable[[], list[str]]], load: Load, *, until_wrong: bool = False) -> Counter[str]:
    """Read both tenants in turn in each of many threads; return how many reads were right, wrong and refused."""
    found: Counter[str] = Counter()
    begin = threading.Barrier(load.threads)

    def read(slug: str) -> str:
        try:
            return "right" if readers[slug]() == [slug] else "wrong"
        except REFUSALS:
            return "refused"

    def work(number: int) -> None:
        begin.wait()
        mine: Counter[str] = Counter()
        turns = iter(range(2 * load.reads))
        while (turn := next(turns, None)) is not None and not (until_wrong and mine["wrong"]):
            mine[read(SLUGS[(number + turn) % 2])] += 1
            if turn % _KEEPS == number:
                connections.close_all()
        connections.close_all()
        found.update(mine)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(load.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_many_threads_read_no_wrong_row(pair: dict[str, Any]) -> None:
    """They share one decorated function for each tenant, and the connections of the pool."""
    readers = {slug: tenant_scope(pair[slug], actor=SYSTEM)(labels) for slug in SLUGS}
    assert hammer(readers, LOAD) == {"right": LOAD.threads * len(SLUGS) * LOAD.reads}


def test_control_without_the_walls_many_threads_read_wrong_rows(world: World, pair: dict[str, Any]) -> None:
    with no_walls(world):
        readers = {slug: tenant_context(pair[slug])(labels) for slug in SLUGS}
        assert hammer(readers, LOAD, until_wrong=True)["wrong"] > 0


def headers_of(world: World) -> list[dict[str, str]]:
    """Return the headers of as many callers as the load says, of both tenants in turn."""
    return [
        {"host": f"{slug}.localhost", "authorization": f"Bearer {world.keys[f'{slug}.read']}"}
        for slug in SLUGS * (LOAD.requests // 2)
    ]


EXPECTED = [(200, {"tenant": slug, "first": [slug], "second": [slug], "count": 1}) for slug in SLUGS]


@pytest.fixture
def patient(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let more requests wait for a connection than the pool has, and long."""
    monkeypatch.setitem(connections["default"].settings_dict["OPTIONS"]["pool"], "timeout", 60.0)


@pytest.mark.usefixtures("patient")
def test_many_async_requests_at_once_read_no_wrong_row(world: World, pair: dict[str, Any]) -> None:
    with override_settings(TENANT_URLCONF="trying_urls"):
        assert ask_at_once("/slow", headers_of(world)) == EXPECTED * (LOAD.requests // 2)


@pytest.mark.usefixtures("patient")
def test_control_with_one_caller_for_all_requests_they_read_wrong_rows(
    world: World, pair: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where somebody keeps the request in a variable of the process."""
    own, last = callers.caller_of, list[Any]()

    class OneForAll:
        def __getattr__(self, name: str) -> Any:
            return getattr(last[-1], name)

    def remember(*arguments: Any) -> Any:
        last.append(own(*arguments))
        time.sleep(0.01)  # as long as another request takes to come
        return OneForAll()

    monkeypatch.setattr(middleware, "caller_of", remember)
    with override_settings(TENANT_URLCONF="trying_urls"):
        answers = ask_at_once("/slow", headers_of(world))
    assert len(answers) == LOAD.requests
    assert any(answer != wanted for answer, wanted in zip(answers, EXPECTED * LOAD.requests, strict=False))
