"""Scratch migrations of the tenants' application: a package beside the real ones, for the time of a test."""

from __future__ import annotations

import importlib
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from world import World

HEAD = "from django.db import migrations, models\nfrom django.contrib.postgres.operations import AddIndexConcurrently\n"
ADD_NOTE = (
    'migrations.RunSQL("ALTER TABLE audit_answer ADD COLUMN note text; CREATE INDEX note ON audit_answer (note)")'
)


class Lab:
    """A package of migrations that follow the real ones, one after the other."""

    def __init__(self, folder: Path) -> None:
        import audit.migrations

        self.folder = folder
        self.package = f"lab_{uuid.uuid4().hex}"
        self.place = folder / self.package
        self.place.mkdir()
        real = audit.migrations.__path__[0]
        (self.place / "__init__.py").write_text(f"__path__ = [*__path__, {real!r}]\n")
        self.last = max(path.stem for path in Path(real).glob("0*.py"))

    def add(self, name: str, operations: str, *, body: str = "", attributes: str = "") -> None:
        """Write one more migration; `operations` is the inside of the list, `body` stands before the class."""
        from tenants import template

        (self.place / f"{name}.py").write_text(
            f"{HEAD}{body}\nclass Migration(migrations.Migration):\n    {attributes}\n"
            f'    dependencies = [("audit", "{self.last}")]\n    operations = [{operations}]\n'
        )
        self.last = name
        importlib.invalidate_caches()
        template._load.cache_clear()

    @contextmanager
    def open(self) -> Iterator[None]:
        """Let Django find these migrations instead of the real ones."""
        from django.conf import settings
        from django.test import override_settings

        sys.path.insert(0, str(self.folder))
        try:
            with override_settings(MIGRATION_MODULES={**settings.MIGRATION_MODULES, "audit": self.package}):
                yield
        finally:
            sys.path.remove(str(self.folder))

    def settings_module(self) -> str:
        """Write a settings module for another process, and return its name; `folder` must be in its path."""
        name = f"settings_{self.package}"
        (self.folder / f"{name}.py").write_text(
            f'from config.settings import *\nMIGRATION_MODULES = {{**MIGRATION_MODULES, "audit": "{self.package}"}}\n'
        )
        return name


def schema(world: World, slug: str) -> str:
    """Return the name of a tenant's schema."""
    return str(world.sql("SELECT schema_name FROM shared.tenants_tenant WHERE slug = %s", slug)[0][0])


def having(world: World, column: str = "note", table: str = "audit_answer") -> list[str]:
    """Return the tenants whose table has a column, by slug."""
    return [
        row[0]
        for row in world.sql(
            "SELECT t.slug FROM shared.tenants_tenant t JOIN pg_namespace n ON n.nspname = t.schema_name "
            "JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = %s "
            "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = %s ORDER BY 1",
            table, column,
        )
    ]  # fmt: skip


def ledger(world: World, name: str) -> dict[str, tuple[str, str]]:
    """Return the state and the error of a migration by tenant."""
    rows = world.sql(
        "SELECT t.slug, m.state, m.error FROM shared.tenants_tenantmigration m "
        "JOIN shared.tenants_tenant t ON t.id = m.tenant_id WHERE m.name = %s",
        name,
    )
    return {slug: (state, error) for slug, state, error in rows}


def noted(world: World, slug: str, name: str) -> int:
    """Return how often Django's own table in a tenant's schema has a migration."""
    return int(world.sql(f"SELECT count(*) FROM {schema(world, slug)}.django_migrations WHERE name = %s", name)[0][0])
