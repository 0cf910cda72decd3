"""`manage.py shell --tenant acme --actor alice@acme.example`: Python in one unit of work."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import shell
from django.db import connections

from tenants.context import scope_or_none
from tenants.management.base import ScopedCommand


class Command(ScopedCommand, shell.Command):
    """Django's shell in a scope: what it writes is committed when you leave, and rolled back on an error."""

    help = (
        "Python with the models imported. With --tenant or --platform it is one transaction in that scope: "
        "committed when you leave, rolled back when the code fails. Without, no query is sent. "
        "Standard input that is no terminal is run as code."
    )
    scope_required = False

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the shell. Leaving by `exit()` commits; leaving with an error status rolls back."""
        if options["actor"] and scope_or_none() is None:
            raise CommandError("An --actor acts somewhere: say --tenant SLUG or --platform as well.")
        if scope := scope_or_none():
            # Somebody who thinks for a minute is not an idle transaction.
            with connections[scope.alias].cursor() as cursor:
                cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        try:
            super().handle(**options)
        except SystemExit as leaving:
            if leaving.code:
                raise

    def get_auto_imports(self) -> list[str]:
        """Import the ways to open a scope beside all models."""
        scopes = ("tenant_scope", "platform_scope", "enter_tenant", "current_scope", "Actor", "SYSTEM")
        return [*(super().get_auto_imports() or []), *(f"tenants.context.{name}" for name in scopes)]
