"""Boot checks: wrong settings stop the start, with an id and a hint."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from audit.capture import detection

_MIN_KEY = 32


@register
def secret_key_is_long(**_options: Any) -> list[CheckMessage]:
    """The secret key signs sessions and cursors."""
    if len(settings.SECRET_KEY) >= _MIN_KEY:
        return []
    return [
        Error(
            "SECRET_KEY is too short.",
            hint=f"Set SECRET_KEY to {_MIN_KEY} random characters or more.",
            id="daybook.E001",
        )
    ]


@register
def hosts_are_named(**_options: Any) -> list[CheckMessage]:
    """Tenants are told apart by host names."""
    if settings.ALLOWED_HOSTS and "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        Error(
            "ALLOWED_HOSTS names no host, or any.", hint="Set ALLOWED_HOSTS=example.com,.example.com", id="daybook.E002"
        )
    ]


@register
def no_table_stands_in_both_schemas(**_options: Any) -> list[CheckMessage]:
    """A table of one name in both would let a tenant's write land in the shared schema without a word."""
    tables: dict[bool, set[str]] = {True: set(), False: set()}
    for model in apps.get_models(include_auto_created=True):
        tables[model._meta.app_config.name in settings.TENANT_APPS].add(model._meta.db_table)  # noqa: SLF001
    both = sorted(tables[True] & tables[False])
    return [
        Error(f"The table {name} stands in both schemas.", hint="Rename one of them.", id="daybook.E003")
        for name in both
    ]


@register
def captures_are_migrated(**options: Any) -> list[CheckMessage]:
    """What is declared as captured and stands in no migration would change without an entry."""
    return detection.check_migrations(**options)
