"""`manage.py tenants import`: a tenant of an exported directory, all of it or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenants.management.base import add_actor_argument, find_actor
from tenants.transfer import Imported, import_tenant

help = "make a tenant of an exported directory"  # noqa: A001 - the name that all verbs share


def add_arguments(parser: CommandParser) -> None:
    """Add the directory and what the tenant is called here."""
    parser.add_argument("directory", type=Path, help="what `tenants export` wrote")
    parser.add_argument("--slug", help="its short name here; where the tenant is here already, that of a copy")
    parser.add_argument("--domain", metavar="HOST", help="the host it is served under here, in place of those it had")
    add_actor_argument(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Import a tenant, and say what its operator should know."""
    actor = find_actor(options["actor"])
    imported = import_tenant(options["directory"], slug=options["slug"], domain=options["domain"], actor=actor)
    tenant = imported.tenant
    rows = ", ".join(f"{table} {count}" for table, count in imported.manifest.rows.items() if count)
    command.stdout.write(f"Imported {tenant.slug} (schema {tenant.schema_name}): {rows or 'no rows'}.")
    for note in _notes(imported):
        command.stdout.write(note)


def _notes(imported: Imported) -> list[str]:
    tenant, settled, adjusted = imported.tenant, imported.settled, imported.adjusted
    notes = {
        f"It is a copy with an id of its own, {tenant.pk}: the exported one is on this server.": imported.copied,
        f"It is {tenant.status}, as it was: `manage.py tenants resume {tenant.slug}` serves it.": (
            tenant.status != tenant.Status.ACTIVE
        ),
        f"{settled.people_made} people were made, without a password: `manage.py changepassword` gives them one.": (
            settled.people_made
        ),
        f"{settled.keys_left} API keys were left behind: issue new ones.": settled.keys_left,
        f"{adjusted.pointers_cleared} entries name people who are not here; they keep their ids and labels.": (
            adjusted.pointers_cleared
        ),
        "This server had not come to the transactions of the trail, which were numbered anew: who polls it must "
        "begin without a cursor.": adjusted.transactions_shifted_by,
    }
    return [note for note, holds in notes.items() if holds]
