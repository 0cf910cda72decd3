"""`manage.py tenants drop`: delete a tenant with its trail, once its name was typed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants import provisioning, transfer
from tenants.context import Actor
from tenants.gate import TenantRef
from tenants.management.base import add_actor_argument, find_actor, find_tenant

help = "delete it with its trail; there is no way back"  # noqa: A001 - the name that all verbs share


def add_arguments(parser: CommandParser) -> None:
    """Add the tenant and its name."""
    parser.add_argument("slug")
    parser.add_argument("--confirm", metavar="NAME", help="the tenant's name, exactly; asked for otherwise")
    parser.add_argument("--export", metavar="DIR", type=Path, help="suspend it and write a final export there first")
    add_actor_argument(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Drop a tenant, once its name was typed."""
    tenant, actor = find_tenant(options["slug"]), find_actor(options["actor"])
    typed = options["confirm"]
    if typed is None:
        typed = _ask(f"{tenant.slug} and its whole trail will be deleted for ever.\nType its name, {tenant.name}: ")
    if typed != tenant.name:
        raise CommandError(f"Nothing was dropped: {typed!r} is not the name of {tenant.slug}, {tenant.name!r}.")
    prove = None
    if options["export"]:
        prove = partial(transfer.prove_final, _export(command, tenant, options["export"], actor))
    provisioning.drop_tenant(tenant, actor=actor, prove=prove)
    command.stdout.write(f"Dropped {tenant.slug}.")


def _export(command: BaseCommand, tenant: TenantRef, directory: Path, actor: Actor) -> transfer.Manifest:
    """Write all there is, and return what that is; a tenant whose export fails is served again.

    Units of work that were open when it was suspended may still add to it: see `transfer.prove_final`.
    """
    reason = "final export, to be dropped"
    suspended = not tenant.suspended
    if suspended:
        provisioning.suspend_tenant(tenant, actor=actor, reason=reason)
    try:
        written = transfer.export_tenant(tenant, directory, actor=actor)
    except BaseException:
        if suspended:
            provisioning.resume_tenant(tenant, actor=actor, reason="the final export failed")
        raise
    command.stdout.write(f"Exported {tenant.slug} to {directory}.")
    return written


def _ask(question: str) -> str:
    try:
        return input(question)
    except EOFError as error:
        raise CommandError("Nothing was dropped: there is no terminal to ask at; say --confirm NAME.") from error
