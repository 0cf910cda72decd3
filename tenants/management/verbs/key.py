"""`manage.py tenants key`: a tenant's API keys, for whoever runs the server: list, issue, revoke."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from tenants import apikeys
from tenants.context import platform_scope
from tenants.management.base import add_actor_argument, find_actor, find_tenant
from tenants.models import ApiKey, Tenant
from tenants.roles import KeyScope

help = "list its API keys, issue one (its secret is printed once) or revoke one"  # noqa: A001 - the name that all verbs share


def add_arguments(parser: CommandParser) -> None:
    """Add the tenant and what to do with its keys; to list them without."""
    parser.add_argument("slug")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--issue", metavar="NAME", help="make a key of this name, and print its secret")
    what.add_argument("--revoke", metavar="PREFIX", help="refuse the key that begins so from now on")
    parser.add_argument("--scope", action="append", choices=KeyScope.values, help="what a new key may do; repeatable")
    parser.add_argument("--days", type=int, help="after which a new key expires (default: never)")
    add_actor_argument(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Do it."""
    tenant, actor = find_tenant(options["slug"]), find_actor(options["actor"])
    with platform_scope(actor=actor):
        owner = Tenant.objects.get(pk=tenant.id)
        if options["issue"]:
            said = _issue(owner, options)
        elif options["revoke"]:
            said = _revoke(owner, options["revoke"])
        else:
            said = _table(owner)
    command.stdout.write(said)


def _issue(tenant: Tenant, options: dict[str, Any]) -> str:
    days = options["days"]
    if days is not None and days < 1:
        raise CommandError(f"--days is {days}, so the key would have expired; nothing was issued.")
    try:
        expires = timezone.now() + timedelta(days=days) if days else None
    except OverflowError as error:
        raise CommandError(f"--days is {days}, beyond the last date there is; nothing was issued.") from error
    return apikeys.issue(name=options["issue"], tenant=tenant, scopes=options["scope"] or [], expires_at=expires)[1]


def _revoke(tenant: Tenant, prefix: str) -> str:
    found = list(ApiKey.objects.filter(tenant=tenant, prefix=prefix[:12], revoked_at=None))
    if len(found) != 1:
        raise CommandError(
            f"{tenant.slug} has {len(found)} keys in use that begin with {prefix[:12]!r}; nothing was changed."
        )
    apikeys.revoke(found[0])
    return f"Revoked {found[0].prefix}, {found[0].name}."


def _table(tenant: Tenant) -> str:
    keys = ApiKey.objects.filter(tenant=tenant).order_by("created_at")
    lines = [f"{key.prefix}  {_state(key):9}  {','.join(key.scopes):24}  {key.name}" for key in keys]
    return "\n".join(lines) or f"{tenant.slug} has no keys; --issue NAME --scope SCOPE makes one."


def _state(key: ApiKey) -> str:
    if key.revoked_at:
        return "revoked"
    return "expired" if key.expires_at and key.expires_at <= timezone.now() else "in use"
