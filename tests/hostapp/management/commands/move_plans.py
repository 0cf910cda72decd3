"""`manage.py move_plans free premium --tenant acme`: a command of the host's own."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from audit.models import AuditLog
from hostapp.models import Organization
from tenants.management.base import ScopedCommand


class Command(ScopedCommand):
    """Runs in one unit of work: that of `--tenant` or `--platform`, in the name of `--actor`."""

    help = "Move all organizations of one plan to another."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the plans to the options of the scope."""
        super().add_arguments(parser)
        parser.add_argument("old")
        parser.add_argument("new")

    def handle(self, *args: Any, **options: Any) -> None:
        """Move them, and say so in the trail."""
        moved = Organization.objects.filter(plan=options["old"]).update(plan=options["new"])
        AuditLog.log_action(action="plan.moved", resource_type="plan", resource_id=options["old"])
        self.stdout.write(f"Moved from {options['old']} to {options['new']}: {moved}")
