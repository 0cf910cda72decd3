"""Run the benchmarks that are named, or all: `python -m bench [size] [page] [tenants] [capture] ...`.

`tenants` is short unless it is told how many there are to be: `python -m bench tenants --tenants 5000`. `capture`
installs other audit packages in an environment of their own, so the first time it needs a package registry.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.base import FOLDER, Bench, prepared, report

NAMES = ("size", "activation", "log_action", "page", "start", "tenants", "load", "capture", "api")
PARTS = ("creation", "stall", "migration", "doctor", "export", "memory")
# Those of `capture`; reads are measured only when they are asked for.
CAPTURE = ("writes", "size", "reads")
# Those of `api`.
API = ("ingest", "reads", "export")
PARTED = ("tenants", "capture", "api")


def main(arguments: Sequence[str]) -> int:
    """Run benchmarks by name; return the exit code (2: there is no such benchmark)."""
    given = _parser().parse_args(arguments)
    if unknown := sorted(set(given.names) - set(NAMES)):
        print(f"There is no benchmark {', '.join(unknown)}. There are: {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    print("Making a server and two tenants", flush=True)
    with prepared(given.keep) as bench:
        asked = replace(
            bench,
            count=given.tenants,
            parts=tuple(given.part),
            peers=tuple(given.peer),
            events=given.events,
            durable=not given.asynchronous,
        )
        for name in given.names or NAMES:
            figures = importlib.import_module(f"bench.{name}").run(asked)
            report("-".join([name, *(given.part if name in PARTED else ())]), figures, _about(asked, name))
    print(f"\nThe same as JSON: {FOLDER}")
    return 0


def _about(bench: Bench, name: str) -> dict[str, str]:
    """Say on what was measured; `capture` may have had another setting meanwhile."""
    return bench.about() | ({} if bench.durable or name != "capture" else {"synchronous_commit": "off"})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(NAMES)} (all)")
    parser.add_argument("--tenants", type=int, default=200, metavar="N", help="how many `tenants` makes (200)")
    parser.add_argument(
        "--part", action="append", default=[], choices=PARTS + CAPTURE + API, help="this part of its benchmark alone"
    )
    parser.add_argument("--peer", action="append", default=[], metavar="NAME", help="this package of `capture` alone")
    parser.add_argument("--events", type=int, default=1_000_000, metavar="N", help="how many `capture` reads (1000000)")
    parser.add_argument("--asynchronous", action="store_true", help="`capture` with synchronous_commit off")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="use the server in this folder again, and leave it")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
