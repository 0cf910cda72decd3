"""`manage.py tenants list`: all tenants, as a table or as JSON."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenants.context import SYSTEM, platform_scope
from tenants.models import Tenant

help = "show all tenants"  # noqa: A001 - the name that all verbs share

_COLUMNS = ("slug", "name", "status", "domain", "schema", "created")


def add_arguments(parser: CommandParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Show all tenants."""
    with platform_scope(actor=SYSTEM):
        rows = [_row(tenant) for tenant in Tenant.objects.order_by("slug").prefetch_related("domains")]
    if options["json"]:
        command.stdout.write(json.dumps(rows, ensure_ascii=False, indent=2))
    else:
        command.stdout.write(_table(rows) if rows else "There are no tenants; `manage.py tenants create` makes one.")


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
