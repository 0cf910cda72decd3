"""The declared event types and the versions of their schemas, with the moments at which they were put."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connections

from tenants.context import current_scope
from tenants.errors import NotFound

_TYPES = """SELECT t.name, t.declared_at, t.changed_at, s.version, s.created_at, s.metadata_schema::text
  FROM audit_event_type AS t JOIN audit_event_schema AS s ON s.name = t.name AND s.version = t.version
 ORDER BY t.declared_at, t.name"""
_VERSIONS = """SELECT s.version, s.created_at, s.metadata_schema::text
  FROM audit_event_schema AS s WHERE s.name = %s ORDER BY s.version"""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a type's schema. `schema` is parsed JSON."""

    number: int
    created_at: datetime
    schema: Any


@dataclass(frozen=True, slots=True)
class Declared:
    """A declared type with the version that is current."""

    name: str
    declared_at: datetime
    changed_at: datetime
    current: Version


def types() -> list[Declared]:
    """Return all declared types of the open tenant scope, in the order in which they were declared."""
    return [
        Declared(name, declared, changed, Version(number, created, json.loads(schema)))
        for name, declared, changed, number, created, schema in _rows(_TYPES)
    ]


def versions(name: str) -> list[Version]:
    """Return all versions of a declared type, the oldest first. Raises NotFound."""
    found = [Version(number, created, json.loads(schema)) for number, created, schema in _rows(_VERSIONS, name)]
    if not found:
        raise NotFound(f"There is no declared event type {name!r}.")
    return found


def _rows(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connections[current_scope().alias].cursor() as cursor:
        cursor.execute(statement, parameters)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found
