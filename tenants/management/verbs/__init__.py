"""The verbs of `manage.py tenants`, one module each: what it is (`help`), its arguments, and how it runs."""

from __future__ import annotations

from typing import Any, Protocol

from django.core.management.base import BaseCommand, CommandParser


class Verb(Protocol):
    """What a module of this package offers."""

    help: str

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the verb's own arguments."""

    def run(self, command: BaseCommand, options: dict[str, Any]) -> None:
        """Do it; write to `command.stdout`. Raises CommandError or DomainError: one line that says what to do."""
