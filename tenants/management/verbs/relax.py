"""`manage.py tenants relax`: give the owner back what a migration of the trails needs, until `tenants harden`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenants import hardening
from tenants.management.base import add_actor_argument, find_actor
from tenants.management.verbs.harden import add_address, address

help = "as a superuser: let the owner's migrations change trails and guards, until harden"  # noqa: A001 - the name that all verbs share


def add_arguments(parser: CommandParser) -> None:
    """Add the reason, the superuser's address and who acts."""
    parser.add_argument("--reason", required=True, help="why; the platform log will say it")
    add_address(parser)
    add_actor_argument(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Relax the database."""
    hardening.relax(address(options), reason=options["reason"], actor=find_actor(options["actor"]))
    command.stdout.write("Relaxed: the owner may change trails and guards. Run `manage.py tenants harden` afterwards.")
