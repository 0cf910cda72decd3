"""`manage.py tenants harden`: close what only a superuser can close."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants import hardening
from tenants.management.base import add_actor_argument, find_actor

VARIABLE = "SUPERUSER_DATABASE_URL"

help = "as a superuser: close what PostgreSQL leaves open, take the guards from the owner"  # noqa: A001 - the name that all verbs share


def add_arguments(parser: CommandParser) -> None:
    """Add the superuser's address and who acts."""
    add_address(parser)
    add_actor_argument(parser)


def add_address(parser: CommandParser) -> None:
    """Add `--url` and `--url-file`."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", help=f"the superuser's address for this database (default: {VARIABLE})")
    where.add_argument("--url-file", metavar="FILE", help=f"a file that holds it (default: {VARIABLE}_FILE)")


def address(options: dict[str, Any]) -> str:
    """Return the superuser's address, as arguments or environment say; empty if none does. Raises CommandError."""
    file = options["url_file"]
    if not file:
        given = options["url"] or os.environ.get(VARIABLE, "")
        file = None if given else os.environ.get(f"{VARIABLE}_FILE")
        if not file:
            return str(given)
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"The superuser's address cannot be read from {file}: {error}.") from error


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Harden the database."""
    hardening.harden(address(options), actor=find_actor(options["actor"]))
    command.stdout.write("Hardened: tenants' statements have what they need alone, the guards belong to the superuser.")
