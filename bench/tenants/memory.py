"""All tenants served in turn: units of work that read a page, by several threads, through the pools of the cells.

Each round serves every tenant once, in another order. Meanwhile the private memory of every connection of tenants'
logins (Private_* of /proc/<pid>/smaps_rollup) is read twice a second; what is told is of the second half, when
connections are as large as they get. Shared buffers that one process alone has touched so far count as its own.
"""

from __future__ import annotations

import random
import re
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.db import connections
from django.test import override_settings

from bench.base import Figure, percentile
from bench.tenants.stage import Stage, ask, crowded
from bench.tenants.stall import page, reference, unit
from tenants.backend import pool
from tenants.gate import TenantRef

THREADS, ROUNDS, AIM = 4, 5, 64.0
_PAUSE = 0.5
_NEVER = 1_000_000
_CONNECTIONS = "SELECT pid FROM pg_stat_activity WHERE usename LIKE %s"


@dataclass
class _Seen:
    """What was seen: MB of connections, tenants that each had served when it came back, how many were ended."""

    memory: list[float] = field(default_factory=list)
    served: int = 0
    recycled: int = 0
    seconds: float = 0.0


def run(stage: Stage) -> Iterator[Figure]:
    """Serve all with connections recycled, then without, then by one login of all tenants."""
    cells = [reference(tenant) for tenant in stage.tenants]
    logins = len({tenant.login for tenant in cells})
    limit = settings.CONNECTION_MAX_TENANTS
    for how, most, aim in ((f"ended after {limit} tenants", limit, AIM), ("never ended", _NEVER, None)):
        with override_settings(CONNECTION_MAX_TENANTS=most):
            seen = _serve(stage, cells, ROUNDS, THREADS)
        yield from _figures(stage, f"{logins} logins, connections {how}", seen, len(cells) * ROUNDS, aim)
    with crowded(stage) as login, override_settings(CONNECTION_MAX_TENANTS=_NEVER):
        seen = _serve(stage, [reference(tenant, login) for tenant in stage.tenants], 2, 1)
        yield from _figures(stage, "one login of all, connections never ended", seen, stage.count * 2)


def _figures(stage: Stage, how: str, seen: _Seen, units: int, aim: float | None = None) -> Iterator[Figure]:
    memory = seen.memory * 2  # a run that was short has seen one
    note = f"median {statistics.median(memory):.0f}, most {max(memory):.0f} MB; {seen.recycled} ended"
    told = f"{note}; up to {seen.served} tenants each; {units / seen.seconds:.0f} units/s"
    yield Figure(stage.at(f"memory, {how}: p95"), percentile(memory, 95), "MB", aim, told)


def _serve(stage: Stage, tenants: list[TenantRef], rounds: int, threads: int) -> _Seen:
    """Serve all tenants so many times, and look at the connections meanwhile."""
    order = [tenant for number in range(rounds) for tenant in random.Random(number).sample(tenants, len(tenants))]
    rest, left = iter(order), len(order)

    def work() -> None:
        nonlocal left
        try:
            for tenant in rest:
                assert unit(tenant, page) > 0
                # As at the end of a request: the connection goes back to its pool.
                connections["default"].close()
                left -= 1
        finally:
            connections.close_all()

    with _watched() as seen, ThreadPoolExecutor(threads) as workers:
        began = time.perf_counter()
        running = [workers.submit(work) for _ in range(threads)]
        _look(stage, seen, lambda: left, len(order) // 2, lambda: all(one.done() for one in running))
        for one in running:
            one.result()
        seen.seconds = time.perf_counter() - began
    return seen


def _look(stage: Stage, seen: _Seen, left: Callable[[], int], half: int, done: Callable[[], bool]) -> None:
    """Note the memory of all connections again and again, from the middle to the end."""
    while not done():
        if left() <= half:
            seen.memory += _memory(stage)
        time.sleep(_PAUSE)
    seen.memory += _memory(stage)


@contextmanager
def _watched() -> Iterator[_Seen]:
    """Count what comes back to the pools, which begin and end empty."""
    seen = _Seen()

    def returned(served: int, ended: bool) -> None:
        seen.served = max(seen.served, served)
        seen.recycled += ended

    _close()
    pool.on_return.append(returned)
    try:
        yield seen
    finally:
        pool.on_return.remove(returned)
        _close()


def _close() -> None:
    connections["default"].close()
    connections["default"].close_pool()  # type: ignore[attr-defined]


def _memory(stage: Stage) -> list[float]:
    """Return the private MB of each connection of tenants' logins."""
    prefix = settings.DATABASE_ROLE_PREFIX
    pids = [row[0] for name in ("cell", "bench") for row in ask(stage.bench, _CONNECTIONS, f"{prefix}\\_{name}\\_%")]
    return [size for pid in pids if (size := private(pid))]


def private(pid: int) -> float:
    """Return the private memory of a process in MB; 0 if it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, re.findall(r"^Private_\w+:\s+(\d+) kB$", text, re.MULTILINE))) / 1024
