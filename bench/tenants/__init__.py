"""Thousands of tenants on one server: made, migrated, examined, exported and served.

Measured at a fifth of the tenants asked for, and at all of them, so that one run tells how a cost grows. Parts:

stage       the tenants that stand, made as needed: seconds, disk and catalogs for each
creation    a tenant from the template beside one by Django's migrations, in turns
stall       what a creation costs the next unit of work on connections that were there before
migration   nothing to do; a column and an index in each schema, killed half-way and resumed
doctor      the walls of all tenants examined
export      one tenant of 100,000 entries
memory      private memory of the connections that serve all tenants in turn
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter

from bench.__main__ import PARTS
from bench.base import Bench, Figure, line
from bench.tenants import migration
from bench.tenants.stage import Stage, populate, standing


def run(bench: Bench) -> list[Figure]:
    """Run the parts that are asked for, at a fifth of the tenants first unless there are more by now."""
    figures: list[Figure] = []
    for count in (bench.count // 5, bench.count):
        if standing(bench) > max(count, 2) and count < bench.count:
            print(f"  more than {count:,} tenants stand: what is measured at so many is left out", flush=True)
            continue
        stage, made = populate(bench, count)
        figures += [*_shown(iter(made)), *_measured(stage)]
    return [*figures, *_shown(migration.growth(figures))]


def _measured(stage: Stage) -> Iterator[Figure]:
    for part in PARTS:
        if part in (stage.bench.parts or PARTS):
            print(f"  {part} at {stage.count:,} tenants", flush=True)
            began = perf_counter()
            yield from _shown(importlib.import_module(f"bench.tenants.{part}").run(stage))
            print(f"    ({perf_counter() - began:.0f} s)", flush=True)


def _shown(figures: Iterator[Figure]) -> Iterator[Figure]:
    """Print figures as they come, each with the load of the machine in that minute: a long run may be killed."""
    for figure in figures:
        load = f"load {os.getloadavg()[0]:.1f}"
        noted = replace(figure, note="; ".join(part for part in (figure.note, load) if part))
        print(f"    {line(noted)}", flush=True)
        yield noted
