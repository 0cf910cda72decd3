"""`manage.py tenants`: create, list, suspend, resume and drop tenants. Each change is in the platform log."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.http.request import validate_host

from tenants import provisioning
from tenants.context import SYSTEM, platform_scope
from tenants.management.base import PlainCommand, add_actor_argument, find_actor, find_tenant
from tenants.models import Tenant

_COLUMNS = ("slug", "name", "status", "domain", "schema", "created")


class Command(PlainCommand):
    """Tenants, from the command line."""

    help = "Create, list, suspend, resume and drop tenants."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", title="verbs")
        create = verbs.add_parser("create", help="make a tenant: schema, role, tables, host name")
        create.add_argument("slug", help="its short name: lower-case letters, digits and hyphens")
        create.add_argument("--name", required=True, help="the customer's name, for people to read")
        create.add_argument("--domain", required=True, metavar="HOST", help="the host it is served under, without port")
        listing = verbs.add_parser("list", help="show all tenants")
        listing.add_argument("--json", action="store_true", help="as JSON, for programs")
        suspend = verbs.add_parser("suspend", help="refuse its hosts and keys; the trail is kept")
        suspend.add_argument("--reason", required=True, help="why; both trails will say it")
        resume = verbs.add_parser("resume", help="serve a suspended tenant again")
        resume.add_argument("--reason", default="", help="why; both trails will say it")
        drop = verbs.add_parser("drop", help="delete it with its trail; there is no way back")
        drop.add_argument("--confirm", metavar="NAME", help="the tenant's name, exactly; asked for otherwise")
        for verb in (suspend, resume, drop):
            verb.add_argument("slug")
        for verb in (create, suspend, resume, drop):
            add_actor_argument(verb)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one verb."""
        verbs: dict[str, Callable[[dict[str, Any]], None]] = {
            "create": self.create,
            "list": self.list,
            "suspend": self.suspend,
            "resume": self.resume,
            "drop": self.drop,
        }
        verbs[options["verb"]](options)

    def create(self, options: dict[str, Any]) -> None:
        """Create a tenant."""
        slug, name, domain = options["slug"], options["name"], options["domain"].lower()
        tenant = provisioning.create_tenant(slug=slug, name=name, domain=domain, actor=find_actor(options["actor"]))
        self.stdout.write(f"Created {tenant.slug} (schema {tenant.schema_name}), served under {domain}.")
        if not validate_host(domain, settings.ALLOWED_HOSTS):
            self.stderr.write(f"{domain} is not served yet: add it to ALLOWED_HOSTS.")

    def list(self, options: dict[str, Any]) -> None:
        """Show all tenants."""
        with platform_scope(actor=SYSTEM):
            rows = [_row(tenant) for tenant in Tenant.objects.order_by("slug").prefetch_related("domains")]
        if options["json"]:
            self.stdout.write(json.dumps(rows, ensure_ascii=False, indent=2))
        else:
            self.stdout.write(_table(rows) if rows else "There are no tenants; `manage.py tenants create` makes one.")

    def suspend(self, options: dict[str, Any]) -> None:
        """Suspend a tenant."""
        tenant, actor = find_tenant(options["slug"]), find_actor(options["actor"])
        provisioning.suspend_tenant(tenant, actor=actor, reason=options["reason"])
        self.stdout.write(f"Suspended {tenant.slug}: its hosts and keys are refused from now on.")

    def resume(self, options: dict[str, Any]) -> None:
        """Resume a tenant."""
        tenant, actor = find_tenant(options["slug"]), find_actor(options["actor"])
        provisioning.resume_tenant(tenant, actor=actor, reason=options["reason"])
        self.stdout.write(f"Resumed {tenant.slug}.")

    def drop(self, options: dict[str, Any]) -> None:
        """Drop a tenant, once its name was typed."""
        tenant, actor = find_tenant(options["slug"]), find_actor(options["actor"])
        typed = options["confirm"]
        if typed is None:
            typed = _ask(f"{tenant.slug} and its whole trail will be deleted for ever.\nType its name, {tenant.name}: ")
        if typed != tenant.name:
            raise CommandError(f"Nothing was dropped: {typed!r} is not the name of {tenant.slug}, {tenant.name!r}.")
        provisioning.drop_tenant(tenant, actor=actor)
        self.stdout.write(f"Dropped {tenant.slug}.")


def _ask(question: str) -> str:
    try:
        return input(question)
    except EOFError as error:
        raise CommandError("Nothing was dropped: there is no terminal to ask at; say --confirm NAME.") from error


def _row(tenant: Tenant) -> dict[str, str]:
    domains = sorted(tenant.domains.all(), key=lambda domain: (not domain.is_primary, domain.domain))
    created = tenant.created_at.isoformat(timespec="seconds").replace("+00:00", "Z")
    hosts = ", ".join(domain.domain for domain in domains)
    values = (tenant.slug, tenant.name, tenant.status, hosts, tenant.schema_name, created)
    return dict(zip(_COLUMNS, values, strict=True))


def _table(rows: list[dict[str, str]]) -> str:
    widths = {column: max(len(column), *(len(row[column]) for row in rows)) for column in _COLUMNS}
    lines = [{column: column.upper() for column in _COLUMNS}, *rows]
    return "\n".join("  ".join(row[column].ljust(widths[column]) for column in _COLUMNS).rstrip() for row in lines)
