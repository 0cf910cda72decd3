"""`manage.py tenants doctor`: prove the walls on the live database."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.doctor import report
from tenants.doctor.examination import examine

help = "prove the walls on the live database; exit status 1 if one is breached"  # noqa: A001 - the name that all verbs share


def add_arguments(parser: CommandParser) -> None:
    """Add the tenants, the number of connections and `--json`."""
    parser.add_argument(
        "--tenant", action="append", default=[], metavar="SLUG", help="this one only; may be said again"
    )
    parser.add_argument("--jobs", type=int, default=4, metavar="N", help="how many connections at once (4)")
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Examine, tell, and fail on a breach."""
    if options["jobs"] < 1:
        raise CommandError("--jobs is 1 or more.")
    found = examine(jobs=options["jobs"], slugs=options["tenant"])
    command.stdout.write(report.as_json(found) if options["json"] else report.table(found))
    if found.breaches:
        places = "one place" if len(found.breaches) == 1 else f"{len(found.breaches)} places"
        raise CommandError(f"The walls are breached in {places}.")
