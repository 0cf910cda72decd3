"""`manage.py tenants resume`: serve a suspended tenant again."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenants import provisioning
from tenants.management.base import add_actor_argument, find_actor, find_tenant

help = "serve a suspended tenant again"  # noqa: A001 - the name that all verbs share


def add_arguments(parser: CommandParser) -> None:
    """Add the tenant and the reason."""
    parser.add_argument("slug")
    parser.add_argument("--reason", default="", help="why; both trails will say it")
    add_actor_argument(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Resume a tenant."""
    tenant, actor = find_tenant(options["slug"]), find_actor(options["actor"])
    provisioning.resume_tenant(tenant, actor=actor, reason=options["reason"])
    command.stdout.write(f"Resumed {tenant.slug}.")
