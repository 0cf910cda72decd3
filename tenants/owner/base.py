"""Django's wrapper for the owner's login: django-tenants' one, which works in one schema at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django_tenants.postgresql_backend import base

from tenants.owner.introspection import Introspection
from tenants.owner.schema import SchemaEditor


class DatabaseWrapper(base.DatabaseWrapper):  # type: ignore[misc]
    """A connection of the owner's login. `set_schema` and `in_schema` say where it works."""

    SchemaEditorClass = SchemaEditor
    # What the schema editor runs is noted here while it is a list.
    tape: list[str] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.introspection = Introspection(self)

    def _handle_search_path(self, cursor: Any = None) -> None:
        """Set the path of the session where it is another one: django-tenants sets it before every query."""
        if self.search_path_set_schemas != self._get_cursor_search_paths():
            super()._handle_search_path(cursor)

    @contextmanager
    def in_schema(self, name: str) -> Iterator[None]:
        """Work in another schema for the time of the block."""
        before = self.schema_name
        self.set_schema(name)
        try:
            yield
        finally:
            self.set_schema(before)

    @contextmanager
    def recorded(self) -> Iterator[list[str]]:
        """Return the list of statements that the schema editor runs in the block."""
        tape: list[str] = []
        self.tape, outer = tape, self.tape
        try:
            yield tape
        finally:
            self.tape = outer
