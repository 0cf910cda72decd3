"""One tenant of 100,000 entries exported while all the others are there."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from bench import fill
from bench.base import Figure
from bench.tenants.stage import Stage, ask
from tenants import transfer

ENTRIES, ROUNDS, AIM = 100_000, 5, 5.0


def run(stage: Stage) -> Iterator[Figure]:
    """Fill acme's trail unless it is full, then export it several times."""
    there = int(ask(stage.bench, f"SELECT count(*) FROM {stage.bench.acme.schema_name}.audit_log")[0][0])
    if there < ENTRIES:
        fill.fill(stage.bench, ENTRIES)
    folder = Path(tempfile.mkdtemp(prefix="daybook-bench-"))
    try:
        times = [_export(stage, folder / str(number)) for number in range(ROUNDS)]
        size = sum(path.stat().st_size for path in (folder / "0").rglob("*") if path.is_file())
    finally:
        shutil.rmtree(folder)
    note = f"quickest {min(times):.1f}, slowest {max(times):.1f} s, {size / 1e6:.0f} MB"
    yield Figure(stage.at("export of 100,000 entries"), statistics.median(times), "s", AIM, note)


def _export(stage: Stage, folder: Path) -> float:
    began = perf_counter()
    transfer.export_tenant(stage.bench.acme, folder)
    return perf_counter() - began
