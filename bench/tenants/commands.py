"""`manage.py` as an operator runs it: a process of its own on the server of the run, Python's start included."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import audit.migrations

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Scratch:
    """One more migration of the tenants' application, and settings under which Django finds it."""

    folder: Path
    name: str

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to see it."""
        return {"PYTHONPATH": str(self.folder), "DJANGO_SETTINGS_MODULE": "scratch_settings"}


@contextmanager
def scratch(name: str, statements: str) -> Iterator[Scratch]:
    """Add a migration of SQL statements after the real ones for the time of the block, for other processes alone."""
    real = Path(audit.migrations.__path__[0])
    last = max(path.stem for path in real.glob("0*.py"))
    with tempfile.TemporaryDirectory(prefix="daybook-bench-") as place:
        folder, package = Path(place), Path(place) / "scratch_migrations"
        package.mkdir()
        (package / "__init__.py").write_text(f"__path__ = [*__path__, {str(real)!r}]\n")
        (package / f"{name}.py").write_text(
            "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n"
            f'    dependencies = [("audit", "{last}")]\n    operations = [migrations.RunSQL({statements!r})]\n'
        )
        (folder / "scratch_settings.py").write_text(
            "from config.settings import *\n\n"
            'MIGRATION_MODULES = {**MIGRATION_MODULES, "audit": "scratch_migrations"}\n'
        )
        yield Scratch(folder, name)


def start(*arguments: str, scratch: Scratch | None = None) -> subprocess.Popen[str]:
    """Start a command; what it says, errors too, can be read from `stdout`."""
    environment = {**os.environ, **(scratch.environment if scratch else {})}
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@dataclass(frozen=True)
class Took:
    """What a command took: seconds on the clock, and of CPU in its own process; its last line."""

    clock: float
    cpu: float
    said: str


def timed(*arguments: str, scratch: Scratch | None = None) -> Took:
    """Run a command to its end. Raises AssertionError if it failed."""
    began, before = perf_counter(), _children()
    process = start(*arguments, scratch=scratch)
    said, _ = process.communicate()
    took = perf_counter() - began
    assert process.returncode == 0, said
    return Took(took, _children() - before, said.strip().splitlines()[-1])


def _children() -> float:
    """Return the CPU seconds of all processes that this one has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
