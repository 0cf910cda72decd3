"""`manage.py flush` is refused: Django's would empty the shared tables and leave the tenants' schemas behind."""

from __future__ import annotations

from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """Says what to do in its place."""

    help = "Refused: tenants are dropped one by one (tenants drop), a whole installation with its database."

    def add_arguments(self, parser: Any) -> None:
        """Take the arguments of Django's own command."""
        parser.add_argument("--database")
        parser.add_argument("--noinput", "--no-input", action="store_false", dest="interactive")

    def handle(self, **_options: object) -> NoReturn:
        """Refuse."""
        raise CommandError(self.help)
