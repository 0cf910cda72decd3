"""`manage.py tenants export`: one tenant as a directory of files, all of one moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenants.management.base import add_actor_argument, find_actor, find_tenant
from tenants.transfer import export_tenant

help = "write it into a directory, to keep or to move it"  # noqa: A001 - the name that all verbs share


def add_arguments(parser: CommandParser) -> None:
    """Add the tenant and where it goes."""
    parser.add_argument("slug")
    parser.add_argument(
        "directory", type=Path, help="a directory that does not exist yet, or is empty; "
        "of an export that was killed a hidden .DIRECTORY.* stays beside it, to be deleted",
    )  # fmt: skip
    parser.add_argument(
        "--with-secrets",
        action="store_true",
        help="with the digests of API keys, so that they open the tenant where it is imported as well",
    )
    add_actor_argument(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Export a tenant."""
    tenant, actor = find_tenant(options["slug"]), find_actor(options["actor"])
    written = export_tenant(tenant, options["directory"], with_secrets=options["with_secrets"], actor=actor)
    rows = ", ".join(f"{table} {count}" for table, count in written.rows.items() if count)
    command.stdout.write(f"Exported {tenant.slug} to {options['directory']}: {rows or 'no rows'}.")
    if not options["with_secrets"]:
        command.stdout.write("API keys are not in it (--with-secrets): where it is imported, issue new ones.")
