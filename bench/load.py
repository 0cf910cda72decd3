"""The long form of the hostile load: 8 threads x 2 tenants x 10,000 reads, and 200 concurrent async requests.

The tests are those of `make test` (tests/isolation/test_load.py), with larger numbers and a server of their own; some
minutes. They fail at the first row of another tenant.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

from bench.base import Bench, Figure

ROOT = Path(__file__).resolve().parent.parent
LOAD = "tests/isolation/test_load.py"


def run(_bench: Bench) -> list[Figure]:
    """Run the tests; each that fails found a wrong row, or an error."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("DATABASE_URL")}
    began = perf_counter()
    command = [sys.executable, "-m", "pytest", LOAD, "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, env={**kept, "DAYBOOK_LONG": "1"}, check=False)
    return [
        Figure("runs that found a wrong row or failed", int(done.returncode != 0), "", 0),
        Figure("all of them took", perf_counter() - began, "s"),
    ]
