"""Run the benchmarks that are named, or all: `python -m bench [size] [activation] [log_action] [page]`."""

from __future__ import annotations

import importlib
import sys

from bench.base import FOLDER, prepared, report

NAMES = ("size", "activation", "log_action", "page")


def main(names: list[str]) -> int:
    """Run benchmarks by name; return the exit code (2: there is no such benchmark)."""
    if unknown := sorted(set(names) - set(NAMES)):
        print(f"There is no benchmark {', '.join(unknown)}. There are: {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    print("Making a server and two tenants", flush=True)
    with prepared() as bench:
        about = bench.about()
        for name in names or NAMES:
            report(name, importlib.import_module(f"bench.{name}").run(bench), about)
    print(f"\nThe same as JSON: {FOLDER}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
