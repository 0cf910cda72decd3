"""`manage.py upgrade`: bring the database up to this version of the program. What the entry point's `migrate` runs."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandParser

from config import local
from tenants import migrator
from tenants.management.base import PlainCommand
from tenants.management.verbs import migrate


class Command(PlainCommand):
    """Migrate, with the database relaxed for it and hardened afterwards where a superuser's address is known."""

    help = "Migrate the shared tables and all tenants' as the owner; harden again, if SUPERUSER_DATABASE_URL is set."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add how the tenants are migrated: as `manage.py tenants migrate` takes it."""
        super().add_arguments(parser)
        migrate.add_manner_arguments(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do it, and say how far it is; what is up to date is left as it is. Raises CommandError if a tenant failed.

        Also then the database is hardened, as what is left is served.
        """
        with local.open_for_migrations(self.stdout.write):
            call_command("migrate_schemas", shared=True, verbosity=0)
            self.stdout.write("The shared tables are up to date.")
            with migrate.chosen(self, options) as manner:
                outcome = migrator.run(None, manner, shared=False)
        migrate.tell(self, outcome)
        self.stdout.write("The database is up to date.")
