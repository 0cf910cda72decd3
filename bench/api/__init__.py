"""The API as it is served: gunicorn in a process of its own, keep-alive clients on loopback, durable commits.

Parts: `ingest`, `reads`, `export`. Server, database and clients share the machine's cores, as the figures say.
"""

from __future__ import annotations

import importlib

from bench.base import Bench, Figure

PARTS = ("ingest", "reads", "export")


def run(bench: Bench) -> list[Figure]:
    """Run the parts that were asked for (none: all)."""
    chosen = [name for name in PARTS if name in bench.parts] or PARTS
    return [figure for name in chosen for figure in importlib.import_module(f"bench.api.{name}").run(bench)]
