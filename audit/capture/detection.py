"""What migrations lack of what is declared: `makemigrations` adds it, a check at each start finds it missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error
from django.db.migrations.autodetector import MigrationAutodetector, OperationDependency
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import AddField, AlterField, RemoveField

from audit.capture.operation import Capture, Release
from audit.capture.registry import declared
from audit.capture.spec import Spec

_CHANGES: dict[type[Any], OperationDependency.Type] = {
    AddField: OperationDependency.Type.CREATE,
    AlterField: OperationDependency.Type.ALTER,
    RemoveField: OperationDependency.Type.REMOVE,
}
Specs = dict[str, dict[str, Spec]]


def migrated(graph: Any) -> Specs:
    """Return what migrations capture, by application and table: what the last one of each table says."""
    found: Specs = {}
    # Each migration of the graph once, after those that it depends on.
    for key in dict.fromkeys(key for leaf in graph.leaf_nodes() for key in graph.forwards_plan(leaf)):
        for operation in graph.nodes[key].operations:
            if isinstance(operation, Capture):
                found.setdefault(key[0], {})[operation.spec.table] = operation.spec
            elif isinstance(operation, Release):
                found.get(key[0], {}).pop(operation.table, None)
    return found


def lacking(graph: Any) -> Iterator[tuple[str, Capture | Release]]:
    """Yield the operations that would bring migrations to what is declared, with their application."""
    have, want = migrated(graph) if graph else {}, declared()
    for app in sorted({*have, *want}):
        before, after = have.get(app, {}), want.get(app, {})
        for table in sorted(before.keys() - after.keys()):
            yield app, Release(table)
        for table, spec in sorted(after.items()):
            if before.get(table) != spec:
                yield app, Capture(**spec.deconstruct())


class Autodetector(MigrationAutodetector):
    """Django's, which adds operations of capture after those that change the tables."""

    generated_operations: dict[str, list[Any]]
    _graph: Any = None

    def _detect_changes(self, convert_apps: Any = None, graph: Any = None) -> Any:
        self._graph = graph
        return super()._detect_changes(convert_apps, graph)  # type: ignore[misc]

    def _sort_migrations(self) -> None:
        super()._sort_migrations()  # type: ignore[misc]
        for app, operation in lacking(self._graph):
            operation._auto_deps = list(self._dependencies(app, operation))  # type: ignore[union-attr]  # noqa: SLF001
            # What ends a capture comes before its table goes.
            place = 0 if isinstance(operation, Release) else len(self.generated_operations.get(app, []))
            self.generated_operations.setdefault(app, []).insert(place, operation)

    def _dependencies(self, app: str, operation: Capture | Release) -> Iterator[OperationDependency]:
        """Yield what must be done before: in another application the table and its columns are changed first."""
        table = operation.table if isinstance(operation, Release) else operation.spec.table
        for model in apps.get_models(include_auto_created=True):
            label, name = model._meta.app_label, str(model._meta.model_name)  # noqa: SLF001
            if model._meta.db_table != table or label == app:  # noqa: SLF001
                continue
            yield OperationDependency(label, name, None, OperationDependency.Type.CREATE)
            for other in self.generated_operations.get(label, []):
                kind = _CHANGES.get(type(other))
                if kind and other.model_name_lower == name:
                    yield OperationDependency(label, name, other.name_lower, kind)


def check_migrations(**_options: Any) -> list[CheckMessage]:
    """Find what is declared and in no migration: such changes would leave no entry."""
    return [
        Error(
            f"{operation.describe()}: the migrations of {app} do not say so.",
            hint="Run `manage.py makemigrations`, then `manage.py upgrade`.",
            id="daybook.E010",
        )
        for app, operation in lacking(MigrationLoader(None).graph)
    ]
