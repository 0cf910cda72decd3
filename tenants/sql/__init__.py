"""Roles, the gate, grants and row-level security of the shared tables: DDL that migrations load."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings


def load(folder: str, name: str, **names: str) -> str:
    """Return a `.sql` file with its `{names}` filled in: the application's roles, and those given."""
    prefix = settings.DATABASE_ROLE_PREFIX
    roles = {role: f"{prefix}_{role}" for role in ("platform", "auditor", "account", "guard", "tenant", "login")}
    app = str(settings.DATABASES["default"]["USER"])
    roles |= {"prefix": prefix, "app": app, "owner": settings.DATABASE_OWNER_ROLE, **names}
    text = (Path(folder) / name).read_text(encoding="utf-8")
    for word, value in roles.items():
        text = text.replace("{" + word + "}", value)
    return text
