"""`manage.py tenants rekey`: after the password in DATABASE_URL was changed."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenants import sealing
from tenants.management.base import add_actor_argument, find_actor

help = "renew the passwords of all tenants' logins, once that of DATABASE_URL was changed"  # noqa: A001


def add_arguments(parser: CommandParser) -> None:
    """Add who acts."""
    add_actor_argument(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Renew the passwords."""
    renewed = sealing.renew_passwords(actor=find_actor(options["actor"]))
    command.stdout.write(f"Renewed the passwords of {len(renewed)} logins: {', '.join(renewed)}.")
