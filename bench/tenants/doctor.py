"""`manage.py tenants doctor`: the walls of all tenants examined, the whole process."""

from __future__ import annotations

from collections.abc import Iterator

from bench.base import Figure
from bench.tenants.commands import timed
from bench.tenants.stage import Stage

JOBS = 2


def run(stage: Stage) -> Iterator[Figure]:
    """Time it once; it must find nothing."""
    took = timed("tenants", "doctor", "--jobs", str(JOBS))
    yield Figure(stage.at(f"doctor, {JOBS} jobs"), took.clock, "s", None, f"{took.cpu:.1f} s of CPU; {took.said}")
