"""`manage.py tenants seal`: a database login for one tenant alone."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenants import sealing
from tenants.management.base import add_actor_argument, find_actor, find_tenant

help = "give it a database login and a pool of its own (the sealed tier)"  # noqa: A001 - the name that all verbs share


def add_arguments(parser: CommandParser) -> None:
    """Add the tenant."""
    parser.add_argument("slug")
    add_actor_argument(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Change the tenant's login."""
    sealed = sealing.seal_tenant(find_tenant(options["slug"]), actor=find_actor(options["actor"]))
    command.stdout.write(f"Sealed {sealed.slug}: its login is {sealed.login} from now on.")
