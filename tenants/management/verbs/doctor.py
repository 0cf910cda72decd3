"""`manage.py tenants doctor`: prove the walls on the live database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.doctor import expected, report
from tenants.doctor.examination import examine, unexpected

help = "prove the walls on the live database; exit status 1 if one is breached"  # noqa: A001 - the name that all verbs share


def add_arguments(parser: CommandParser) -> None:
    """Add the tenants, the number of connections and `--json`."""
    parser.add_argument(
        "--tenant", action="append", default=[], metavar="SLUG", help="this one only; may be said again"
    )
    parser.add_argument("--jobs", type=int, default=4, metavar="N", help="how many connections at once (4)")
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="examine nothing, but write into FILE what a host's own applications have in the database (in the schema "
        "of the one --tenant), for the setting WALLS",
    )
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Examine, tell, and fail on a breach."""
    if options["record"]:
        _record(command, options)
        return
    if options["jobs"] < 1:
        raise CommandError("--jobs is 1 or more.")
    found = examine(jobs=options["jobs"], slugs=options["tenant"])
    command.stdout.write(report.as_json(found) if options["json"] else report.table(found))
    if found.breaches:
        places = "one place" if len(found.breaches) == 1 else f"{len(found.breaches)} places"
        raise CommandError(f"The walls are breached in {places}.")


def _record(command: BaseCommand, options: dict[str, Any]) -> None:
    if len(options["tenant"]) != 1:
        raise CommandError("--record takes the facts of one tenant's schema: say --tenant SLUG once.")
    path: Path = options["record"]
    text = expected.render(unexpected(options["tenant"][0]))
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from error
    command.stdout.write(f"{len(text.splitlines())} facts in {path}: look at each, then add the file to WALLS.")
