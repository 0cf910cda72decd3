"""The schema editor of the owner's login: one statement at a time, and a tape of what it ran."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql.schema import DatabaseSchemaEditor

from tenants.owner.script import split


class SchemaEditor(DatabaseSchemaEditor):
    """Runs each statement by itself; while the connection's `tape` is a list, notes it there."""

    connection: Any

    def execute(self, sql: Any, params: Any = ()) -> None:
        """Run a statement, or each one of a script."""
        text = str(sql) if params is None else self.connection.ops.compose_sql(str(sql), params)
        for statement in split(text):
            super().execute(statement, None)
            if self.connection.tape is not None and not self.collect_sql:
                self.connection.tape.append(statement)
