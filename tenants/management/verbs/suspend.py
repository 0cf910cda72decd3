"""`manage.py tenants suspend`: refuse a tenant's hosts and keys."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenants import provisioning
from tenants.management.base import add_actor_argument, find_actor, find_tenant

help = "refuse its hosts and keys; the trail is kept"  # noqa: A001 - the name that all verbs share


def add_arguments(parser: CommandParser) -> None:
    """Add the tenant and the reason."""
    parser.add_argument("slug")
    parser.add_argument("--reason", required=True, help="why; both trails will say it")
    add_actor_argument(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Suspend a tenant."""
    tenant, actor = find_tenant(options["slug"]), find_actor(options["actor"])
    provisioning.suspend_tenant(tenant, actor=actor, reason=options["reason"])
    command.stdout.write(f"Suspended {tenant.slug}: its hosts and keys are refused from now on.")
