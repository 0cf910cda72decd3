"""What Prometheus reads at /metrics. No tenant, host, person or id is in any label: those would have no bound.

Workers are processes, so each writes its figures into files of its own, in a folder that `server.serve` opens with
`shared_by_workers`, and whichever of them is asked adds them up. Without that folder (commands, tests) the figures
are those of this process alone.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from django.conf import settings
from django.core.signals import request_finished
from django.db import connections
from django.http import HttpRequest
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from tenants.backend import pool

CONTENT_TYPE = CONTENT_TYPE_LATEST
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
_TENANTS = (1, 2, 5, 10, 25, 50, 100, 200, 300, 500, 1000)


class Meters:
    """All metrics of this process. Names end in their unit."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.requests = Counter(
            "daybook_requests", "Requests answered.", ["route", "method", "status"], registry=own
        )  # fmt: skip
        self.seconds = Histogram(
            "daybook_request_seconds", "Time to the first byte.", ["route", "method"], buckets=_SECONDS, registry=own
        )
        self.problems = Counter(
            "daybook_problems", "Errors and refusals answered, by their code.", ["code"], registry=own
        )  # fmt: skip
        self.units = Counter(
            "daybook_units", "Units of work, by realm and how they ended.", ["realm", "outcome"], registry=own
        )
        self.connections = Gauge(
            "daybook_pool_connections", "Database connections of the web processes, by kind of login.",
            ["login", "state"], multiprocess_mode="livesum", registry=own,
        )  # fmt: skip
        self.waiting = Gauge(
            "daybook_pool_waiting", "Requests that wait for a database connection.",
            ["login"], multiprocess_mode="livesum", registry=own,
        )  # fmt: skip
        self.tenants = Histogram(
            "daybook_connection_tenants", "Tenants that a connection had served when it came back to its pool.",
            buckets=_TENANTS, registry=own,
        )  # fmt: skip
        self.recycled = Counter(
            "daybook_connections_recycled", "Connections ended because they had served enough tenants.", registry=own
        )


@cache
def meters() -> Meters:
    """Return this process's metrics."""
    return Meters()


@contextmanager
def shared_by_workers() -> Iterator[None]:
    """Within the block, keep figures where all workers forked in it write, and count what the database does."""
    folder, process = tempfile.mkdtemp(prefix="daybook-metrics-"), os.getpid()
    _keep_in(folder)
    pool.on_return.append(returned)
    pool.on_end.append(ended)
    request_finished.connect(measure_pools)
    try:
        yield
    finally:
        if os.getpid() == process:  # not a worker, on its way out
            request_finished.disconnect(measure_pools)
            pool.on_return.remove(returned)
            pool.on_end.remove(ended)
            _keep_in(None)
            shutil.rmtree(folder, ignore_errors=True)


def _keep_in(folder: str | None) -> None:
    """Keep figures in files of a folder, or (None) in memory. The client library chooses when it is imported."""
    os.environ.pop(_FOLDER, None)
    if folder:
        os.environ[_FOLDER] = folder
    values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]
    meters.cache_clear()


def forget_worker(pid: int) -> None:
    """Take a worker that has ended out of the figures of the moment; what it counted stays."""
    if _FOLDER in os.environ:
        mark_process_dead(pid)  # type: ignore[no-untyped-call]


def text() -> bytes:
    """Return all figures in Prometheus' text format."""
    if _FOLDER not in os.environ:
        return generate_latest(meters().registry)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def answered(request: HttpRequest, status: int, seconds: float) -> None:
    """Count a request that was answered."""
    match = getattr(request, "resolver_match", None)
    route = "/" + match.route.rstrip("/") if match else "none"
    method = request.method if request.method in _METHODS else "other"
    meters().requests.labels(route, method, str(status)).inc()
    meters().seconds.labels(route, method).observe(seconds)


def refused(code: str) -> None:
    """Count an error or a refusal."""
    meters().problems.labels(code).inc()


def ended(scope: Any, committed: bool) -> None:
    """Count a unit of work that has ended."""
    meters().units.labels(str(scope.realm), "committed" if committed else "rolled_back").inc()


def returned(tenants: int, recycled: bool) -> None:
    """Count a connection that came back to its pool, with the number of tenants it has served."""
    meters().tenants.observe(tenants)
    if recycled:
        meters().recycled.inc()


def measure_pools(**_signal: Any) -> None:
    """Look at the pools of this process."""
    found: dict[str, Tally[str]] = {"app": Tally(), "cell": Tally(), "sealed": Tally()}
    pools: dict[tuple[str, str | None], Any] = connections["default"]._connection_pools  # type: ignore[attr-defined]  # noqa: SLF001
    for (_alias, login), one in list(pools.items()):
        found[_kind(login)].update(one.get_stats())
    for kind, sums in found.items():
        idle = sums["pool_available"]
        meters().connections.labels(kind, "idle").set(idle)
        meters().connections.labels(kind, "used").set(sums["pool_size"] - idle)
        meters().waiting.labels(kind).set(sums["requests_waiting"])


def _kind(login: str | None) -> str:
    """Return the kind of a login: the application's own, one of many tenants, or one of a single tenant."""
    if login is None:
        return "app"
    return "sealed" if login.startswith(f"{settings.DATABASE_ROLE_PREFIX}_sealed_") else "cell"
