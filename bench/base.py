"""What the benchmarks share: a server, two tenants and people of their own, and figures shown beside aims."""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

if TYPE_CHECKING:
    from tenants.context import Actor
    from tenants.models import Tenant

FOLDER = Path(__file__).resolve().parent.parent / "var" / "bench"
DATABASE = "bench"
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{0}.0.0.0 Safari/537.36"


Measure = TypeVar("Measure")


@dataclass(frozen=True)
class Cost:
    """Seconds: on the clock, of this process's CPU, of the CPU of the database's process."""

    clock: float
    here: float
    there: float

    @property
    def cpu(self) -> float:
        """CPU of both processes: what a busy machine disturbs least."""
        return self.here + self.there


@dataclass(frozen=True)
class Figure:
    """One measurement: `aim` is the most it should be, `least` the least, `note` how to read it.

    Without either it is shown for comparison.
    """

    name: str
    value: float
    unit: str
    aim: float | None = None
    note: str = ""
    least: float | None = None

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or nothing when there is no aim."""
        if self.aim is None and self.least is None:
            return ""
        low = -math.inf if self.least is None else self.least
        high = math.inf if self.aim is None else self.aim
        return "met" if low <= self.value <= high else "missed"

    @property
    def bound(self) -> str:
        """What it is held to, as the table shows it."""
        if self.least is not None:
            return f">= {self.least:g}"
        return "" if self.aim is None else f"{self.aim:g}"


@dataclass(frozen=True)
class Bench:
    """The database of a run: `superuser` is its address beyond all walls; alice is an admin of acme."""

    superuser: str
    acme: Tenant
    globex: Tenant
    alice: Actor
    key: str
    # What `bench.tenants` is asked for: how many tenants in all. Parts are its own or `bench.capture`'s (none: all).
    count: int = 200
    parts: tuple[str, ...] = ()
    # What `bench.capture` is asked for: packages (none: all), events to read, whether commits wait for the disk.
    peers: tuple[str, ...] = ()
    events: int = 1_000_000
    durable: bool = True

    @contextmanager
    def admin(self) -> Iterator[psycopg.Connection[Any]]:
        """Open a connection of the superuser, in autocommit."""
        with psycopg.connect(self.superuser, autocommit=True) as connection:
            yield connection

    def about(self) -> dict[str, str]:
        """Say on what the figures were measured."""
        with self.admin() as connection:
            settings = ("server_version", "synchronous_commit", "fsync", "shared_buffers")
            found = {name: str(connection.execute(f"SHOW {name}").fetchone()[0]) for name in settings}  # type: ignore[index]
        return {
            "machine": f"{os.cpu_count()} cores, {_processor()}, {platform.system()}",
            "load": "{:.1f}, {:.1f}, {:.1f}".format(*os.getloadavg()),
            "python": platform.python_version(),
            **found,
        }


def _processor() -> str:
    """Return the processor's name, as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


@contextmanager
def prepared(keep: Path | None = None) -> Iterator[Bench]:
    """Make a hardened server with its default settings and two tenants under `var/bench`; remove it at the end.

    The one in the folder `keep` is used again if it is there, and stays.
    """
    from config import embedded  # noqa: PLC0415 - reads no settings
    from config.local import prepare  # noqa: PLC0415

    for name in ("DATABASE_URL", "MIGRATION_DATABASE_URL", "SECRET_KEY", "ALLOWED_HOSTS"):
        os.environ.pop(name, None)
    os.environ.update(DJANGO_SETTINGS_MODULE="config.settings", LOG_LEVEL="CRITICAL")
    FOLDER.mkdir(parents=True, exist_ok=True)
    _tidy()
    folder = keep or FOLDER / f"server-{os.getpid()}"
    server = prepare(folder, database=DATABASE)
    try:
        yield _provisioned(server.dsn(database=DATABASE))
    finally:
        _disconnect()
        embedded.stop(server)
        if not keep:
            shutil.rmtree(server.data.parent, ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)


def _tidy() -> None:
    """Remove the servers of runs that were killed."""
    for stale in FOLDER.glob("server-*"):
        if not Path(f"/proc/{stale.name.rpartition('-')[2]}").exists():
            shutil.rmtree(stale, ignore_errors=True)


def _disconnect() -> None:
    from django.db import connections  # noqa: PLC0415 - Django is set up by now

    connections.close_all()
    connections["default"].close_pool()  # type: ignore[attr-defined]


def _provisioned(superuser: str) -> Bench:
    """Migrate and harden; make acme and globex, alice and a key of acme that may read, unless they are there."""
    import django  # noqa: PLC0415 - the settings need the database's address

    django.setup()
    from django.test.utils import setup_test_environment  # noqa: PLC0415

    from config import local  # noqa: PLC0415
    from tenants import apikeys, people  # noqa: PLC0415
    from tenants.context import SYSTEM, Actor, platform_scope  # noqa: PLC0415
    from tenants.models import User  # noqa: PLC0415

    setup_test_environment()
    local.migrate()
    acme, globex = (_tenant(slug) for slug in ("acme", "globex"))
    with platform_scope(actor=SYSTEM):
        user = User.objects.filter(email="alice@acme.example").first()
        if user is None:
            user = people.create_user(email="alice@acme.example", name="Alice")
            people.set_role(user, acme, "admin")
        key = apikeys.issue(name="bench", tenant=acme, scopes=["audit:read"])[1]
    return Bench(superuser, acme, globex, Actor("user", str(user.pk), user.email, user.pk), key)


def _tenant(slug: str) -> Tenant:
    from tenants import provisioning  # noqa: PLC0415
    from tenants.context import SYSTEM, platform_scope  # noqa: PLC0415
    from tenants.models import Tenant  # noqa: PLC0415

    with platform_scope(actor=SYSTEM):
        found = Tenant.objects.filter(slug=slug).first()
    return found or provisioning.create_tenant(slug=slug, name=slug.title(), domain=f"{slug}.localhost")


def report(name: str, figures: Sequence[Figure], about: dict[str, str]) -> None:
    """Print the figures of one benchmark as a table and write them to `var/bench/<name>.json`."""
    width = max(len(figure.name) for figure in figures)
    print(f"\n{name}: {', '.join(f'{key} {value}' for key, value in about.items())}")
    print(f"  {'':{width}} {'measured':>12} {'at most':>10}")
    for figure in figures:
        print(f"  {line(figure, width)}")
    content = {"about": about, "figures": [{**asdict(figure), "verdict": figure.verdict} for figure in figures]}
    (FOLDER / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def line(figure: Figure, width: int = 0) -> str:
    """Return a figure as a row of the table."""
    note = "  ".join(part for part in (figure.verdict, figure.note) if part)
    return f"{figure.name:{width}} {figure.value:12.4g} {figure.bound:>10} {figure.unit:<6} {note}".rstrip()


def interleaved(rounds: int, *runs: Callable[[], Measure]) -> list[list[Measure]]:
    """Run each of `runs` in turn, `rounds` times, after one round to warm up; return what each measured."""
    for run in runs:
        run()
    measured: list[list[Measure]] = [[] for _ in runs]
    for number in range(rounds):
        # Every other round goes backwards, so that none always follows the same neighbour.
        turn = list(zip(measured, runs, strict=True))
        for series, run in turn if number % 2 else reversed(turn):
            series.append(run())
    return measured


def cost(work: Callable[[], object], times: int, backend: int) -> Cost:
    """Return what one `work()` costs, over `times` of them; `backend` is the database's process."""
    began, here, there = perf_counter(), process_time(), _cpu_of(backend)
    for _ in range(times):
        work()
    ended, here_then, there_then = perf_counter(), process_time(), _cpu_of(backend)
    return Cost((ended - began) / times, (here_then - here) / times, (there_then - there) / times)


def _cpu_of(process: int) -> float:
    """Return the CPU seconds of a process of one thread, to the nanosecond."""
    return int(Path(f"/proc/{process}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9


def percentile(values: Sequence[float], part: int) -> float:
    """Return a percentile (1 to 99) of the values."""
    return statistics.quantiles(values, n=100, method="inclusive")[part - 1]
