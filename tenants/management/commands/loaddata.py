"""`manage.py loaddata --tenant acme FILE`: fixtures into one unit of work; the trail tells their rows by `fixture`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import loaddata
from django.db.models import AutoField

from tenants.context import current_scope
from tenants.management.base import ScopedCommand


class Command(ScopedCommand, loaddata.Command):
    """Django's command in a scope: all of the fixtures are loaded, or none. Each row of them is an entry."""

    source = "fixture"

    def handle(self, *labels: Any, **options: Any) -> None:
        """Load the fixtures where the scope's data is."""
        super().handle(*labels, **{**options, "database": current_scope().alias})

    def save_obj(self, obj: Any) -> bool:
        """Save a row of a fixture. Raises CommandError where that would make a later INSERT fail."""
        row = obj.object
        if isinstance(row._meta.pk, AutoField) and row.pk is not None:  # noqa: SLF001
            raise CommandError(
                f"{row._meta.label} {row.pk}: the database counts these keys, and no tenant sets the count. "  # noqa: SLF001
                "Leave `pk` out of the fixture."
            )
        return bool(super().save_obj(obj))

    def reset_sequences(self, connection: Any, models: Any) -> None:
        """Set no count: no row came with a key that is counted."""
