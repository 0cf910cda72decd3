"""The operations that migrations hold: to capture a table, and to end that. Both are SQL, the same in each schema."""

from __future__ import annotations

from typing import Any

from django.db.migrations.operations import RunSQL

from audit.capture.body import body
from audit.capture.spec import VERBS, Spec, columns_of


class Capture(RunSQL):
    """Install the capture of a table, or renew it after its columns or its declaration changed.

    `makemigrations` writes it. The arguments are those of `spec.Spec`, as plain values.
    """

    def __init__(
        self,
        *,
        table: str,
        resource_type: str,
        key: list[list[str]],
        columns: list[list[str]],
        label: str | None = None,
        verbs: dict[str, str] | None = None,
        far: list[str] | None = None,
        shared: bool = False,
        tenant: str | None = None,
        person: str | None = None,
    ) -> None:
        self.spec = Spec(
            table=table,
            resource_type=resource_type,
            key=columns_of(key),
            columns=columns_of(columns),
            label=label,
            verbs=verbs or VERBS,
            far=(far[0], far[1]) if far else None,
            shared=shared,
            tenant=tenant,
            person=person,
        )
        super().__init__(_install(self.spec), _release(self.spec.table, self.spec.function))

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return how a migration writes it."""
        return type(self).__name__, [], self.spec.deconstruct()

    def describe(self) -> str:
        """Return it in words."""
        return f"Capture changes of {self.spec.table}"

    @property
    def migration_name_fragment(self) -> str:
        """What the migration's name says of it."""
        return f"capture_{self.spec.table}"


class Release(RunSQL):
    """End the capture of a table; its entries stay."""

    def __init__(self, table: str) -> None:
        self.table = table
        super().__init__(_release(table, Spec(table=table, resource_type="", key=(), columns=()).function))

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return how a migration writes it."""
        return type(self).__name__, [], {"table": self.table}

    def describe(self) -> str:
        """Return it in words."""
        return f"Release {self.table} from capture"

    @property
    def migration_name_fragment(self) -> str:
        """What the migration's name says of it."""
        return f"release_{self.table}"


def _install(spec: Spec) -> str:
    return f"CALL guard.capture({_literal(spec.table)}, {_literal(spec.function)}, $daybook${body(spec)}$daybook$)"


def _release(table: str, function: str) -> str:
    return f"CALL guard.release({_literal(table)}, {_literal(function)})"


def _literal(text: str) -> str:
    quoted = text.replace("'", "''")
    return f"'{quoted}'"
