"""What is captured of one table, resolved to its columns: as it is declared, as migrations hold it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

OPERATIONS = ("create", "update", "delete")
VERBS = {"create": "created", "update": "updated", "delete": "deleted"}
LINK_VERBS = {"create": "linked", "update": "updated", "delete": "unlinked"}
_MAX_NAME = 63


class Kind(StrEnum):
    """How the values of a column are told."""

    PLAIN = "plain"
    # That it changed, and nothing of what it is.
    MASKED = "masked"
    # Apart from the others, where they can be erased one day.
    PERSONAL = "personal"
    # To the platform log alone, of a shared table: no tenant's trail tells that it is there.
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the field's name, as entries say it, the column's, and its type without a length."""

    name: str
    column: str
    type: str
    kind: Kind = Kind.PLAIN

    def deconstruct(self) -> list[str]:
        """Return it as a migration writes it."""
        told = [self.name, self.column, self.type]
        return told if self.kind is Kind.PLAIN else [*told, str(self.kind)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The capture of one table.

    `key` names the columns that identify the resource, in order. A table of links (`far`) tells of the resource on
    its near side, and names the far one as target: (type, column). Of a shared table `shared` is true; `tenant` is
    then the column that says whose row it is, `person` the one that says which person's, whose tenants are told.
    """

    table: str
    resource_type: str
    key: tuple[Column, ...]
    columns: tuple[Column, ...]
    label: str | None = None
    verbs: Mapping[str, str] = field(default_factory=lambda: dict(VERBS))
    far: tuple[str, str] | None = None
    shared: bool = False
    tenant: str | None = None
    person: str | None = None

    @property
    def function(self) -> str:
        """The name of the trigger function, which stands in the schema of the table."""
        name = f"daybook_capture_{self.table}"
        if len(name.encode()) <= _MAX_NAME:
            return name
        return f"daybook_capture_{hashlib.sha256(self.table.encode()).hexdigest()[:32]}"

    def deconstruct(self) -> dict[str, Any]:
        """Return the arguments of the migration's operation: plain values, without those that go without saying."""
        told = {name: value for name, value in asdict(self).items() if value not in (None, False)}
        told["key"] = [column.deconstruct() for column in self.key]
        told["columns"] = [column.deconstruct() for column in self.columns]
        if told.pop("verbs") != VERBS:
            told["verbs"] = dict(self.verbs)
        return {**told, **({"far": list(self.far)} if self.far else {})}


def columns_of(told: Iterable[Sequence[str]]) -> tuple[Column, ...]:
    """Return the columns that `Column.deconstruct` told."""
    return tuple(Column(name, column, kind, Kind(*rest or [Kind.PLAIN])) for name, column, kind, *rest in told)
