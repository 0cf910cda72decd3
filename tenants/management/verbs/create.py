"""`manage.py tenants create`: a tenant with schema, role, tables and host name."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.http.request import validate_host

from tenants import provisioning
from tenants.management.base import add_actor_argument, find_actor

help = "make a tenant: schema, role, tables, host name"  # noqa: A001 - the name that all verbs share


def add_arguments(parser: CommandParser) -> None:
    """Add slug, name and host."""
    parser.add_argument("slug", help="its short name: lower-case letters, digits and hyphens")
    parser.add_argument("--name", required=True, help="the customer's name, for people to read")
    parser.add_argument("--domain", required=True, metavar="HOST", help="the host it is served under, without port")
    add_actor_argument(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Create a tenant."""
    slug, name, domain = options["slug"], options["name"], options["domain"].lower()
    tenant = provisioning.create_tenant(slug=slug, name=name, domain=domain, actor=find_actor(options["actor"]))
    command.stdout.write(f"Created {tenant.slug} (schema {tenant.schema_name}), served under {domain}.")
    if not validate_host(domain, settings.ALLOWED_HOSTS):
        command.stderr.write(f"{domain} is not served yet: add it to ALLOWED_HOSTS.")
