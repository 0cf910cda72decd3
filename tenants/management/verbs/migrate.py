"""`manage.py tenants migrate`: bring the shared schema and those of all tenants up to date."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from tenants import migrator
from tenants.migrator import JOBS, LOCK_TIMEOUT, MAX_FAILURES, Manner, Outcome

help = "bring the shared schema and all tenants' schemas up to date"  # noqa: A001 - the name that all verbs share

Progress = Callable[[int, int], None]


def add_arguments(parser: CommandParser) -> None:
    """Add which tenants, and how."""
    parser.add_argument("--plan", action="store_true", help="only say what there is to do")
    parser.add_argument(
        "--tenant", metavar="SLUG", action="append",
        help="of the tenants only this one (may be given several times); the shared schema comes first all the same",
    )  # fmt: skip
    add_manner_arguments(parser)


def add_manner_arguments(parser: CommandParser) -> None:
    """Add how: `--jobs`, `--max-failures`, `--lock-timeout`."""
    parser.add_argument("--jobs", metavar="N", type=_count, default=JOBS, help=f"connections at once (default: {JOBS})")
    parser.add_argument(
        "--max-failures", metavar="K", type=_count, default=MAX_FAILURES,
        help=f"begin no other tenant after this many failures (default: {MAX_FAILURES})",
    )  # fmt: skip
    parser.add_argument(
        "--lock-timeout", metavar="S", type=_seconds, default=LOCK_TIMEOUT,
        help=f"seconds for which a migration waits for a table in use, at most thrice (default: {LOCK_TIMEOUT:g})",
    )  # fmt: skip


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Migrate, and say what was done. Raises CommandError if a migration failed."""
    if options["plan"]:
        _show(command, *migrator.plan(options["tenant"]))
        return
    with chosen(command, options) as manner:
        outcome = migrator.run(options["tenant"], manner)
    tell(command, outcome)


@contextmanager
def chosen(command: BaseCommand, options: dict[str, Any]) -> Iterator[Manner]:
    """Within the block, show how far it is; the manner is that of the arguments."""
    jobs, failures, wait = options["jobs"], options["max_failures"], options["lock_timeout"]
    with _progress(command) as progress:
        yield Manner(jobs=jobs, max_failures=failures, lock_timeout=wait, progress=progress)


def _show(command: BaseCommand, shared: list[str], tenants: dict[str, int]) -> None:
    lines = [f"{name}  in the shared schema" for name in shared]
    lines += [f"{name}  in {count:,} tenant{'s' * (count != 1)}" for name, count in tenants.items()]
    command.stdout.write("\n".join(lines) if lines else "Nothing to do: every schema is up to date.")


def tell(command: BaseCommand, outcome: Outcome) -> None:
    """Say what was done. Raises CommandError if a migration failed."""
    done = f"{outcome.migrated:,} tenant{'s' * (outcome.migrated != 1)} migrated."
    command.stdout.write(done if outcome.migrated or outcome.failures else "Every tenant is up to date.")
    if not outcome.failures:
        return
    for failure in outcome.failures:
        command.stderr.write(f"{failure.slug}: {failure.migration} failed: {failure.error}")
    raise CommandError(
        f"{len(outcome.failures)} failed, {outcome.left:,} not begun. What failed is as it was before: put the cause "
        "right and run this again, it goes on where it stopped."
    )


@contextmanager
def _progress(command: BaseCommand) -> Iterator[Progress]:
    """Show how far it is: a bar at a terminal, else a line per tenth."""
    if sys.stderr.isatty():
        with tqdm(desc="migrating", unit=" tenants") as bar:

            def draw(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            yield draw
    else:

        def write(done: int, total: int) -> None:
            if done * 10 // total > (done - 1) * 10 // total:
                command.stdout.write(f"{done:,} of {total:,} tenants")

        yield write


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no whole number from 1 up.")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= 3600:  # noqa: PLR2004 - an hour
        raise ArgumentTypeError(f"{text!r} is no number of seconds between 0 and 3,600.")
    return seconds
