"""What the migrations of the tenants' applications do to a schema, as lists of single SQL statements.

They are run once by Django on a canary, a scratch schema in a transaction that is rolled back, and what the
schema editor sends is noted. A new tenant is made from the whole list (the template, kept in the database under
the fingerprint of the migrations); the migrator replays the part that a tenant lacks. A migration that runs
Python has no list: it is run by Django in each schema, in its turn.
"""

from __future__ import annotations

import hashlib
import secrets
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.contrib.postgres.operations import NotInTransactionMixin
from django.db import transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.migration import Migration
from django.db.migrations.operations import RunSQL, SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState
from django_tenants.routers import TenantSyncRouter
from psycopg import sql

from tenants.bookkeeping import SchemaTemplate
from tenants.errors import DomainError
from tenants.owner.access import OWNER, owners_connection
from tenants.owner.base import DatabaseWrapper

Key = tuple[str, str]
# What the statements are made by, beside the migrations: raise it when this room changes what it notes.
_FORMAT = "1"


class Unreplayable(DomainError):
    """This migration cannot be run in tenants' schemas."""


@dataclass(frozen=True, slots=True)
class Step:
    """One migration: its statements, or None where it runs Python."""

    app: str
    name: str
    statements: tuple[str, ...] | None

    @property
    def key(self) -> Key:
        """The migration as Django names it."""
        return self.app, self.name


@dataclass(frozen=True, slots=True)
class Template:
    """How a schema is made: Django's table of applied migrations, then one step after the other."""

    base: tuple[str, ...]
    steps: tuple[Step, ...]


def wanted() -> list[Key]:
    """Return the migrations of the tenants' applications in the order in which they run. Raises Unreplayable."""
    return [key for key in _plan(_loader()) if _is_tenants(key)]


def replaced(key: Key) -> list[Key]:
    """Return the migrations that a squashed one stands for."""
    return list(_migration(key).replaces)


def fingerprint() -> str:
    """Return what the statements depend on, as a hash: the migrations, their SQL, and who compiles them."""
    versions = (_FORMAT, django.get_version(), str(owners_connection().pg_version // 10_000))
    parts = [*versions, *map(repr, _plan(_loader())), *map(_source, map(_migration, wanted()))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def current() -> Template:
    """Return the template of these migrations: kept in the process and in the database, else compiled."""
    mark = fingerprint()
    if mark not in _kept:
        row = SchemaTemplate.objects.using(OWNER).filter(pk=mark).first()
        if row is None:
            made = compile_pending(())
            steps = [[step.app, step.name, step.statements] for step in made.steps]
            statements = {"base": made.base, "steps": steps}
            row, _ = SchemaTemplate.objects.using(OWNER).get_or_create(pk=mark, defaults={"statements": statements})
        _kept[mark] = _template(row.statements)
    return _kept[mark]


def compile_pending(applied: Collection[Key]) -> Template:
    """Return what a schema with these migrations lacks, found out on a canary in the same state. Raises Unreplayable.

    Opens a transaction of the owner, or a savepoint in the open one, and rolls it back.
    """
    for key in wanted():
        _check(_migration(key))
    with transaction.atomic(using=OWNER), _canary(owners_connection()) as connection:
        with connection.recorded() as base:
            MigrationRecorder(connection).ensure_schema()
        steps = list(_run(connection, frozenset(applied)))
        transaction.set_rollback(True, using=OWNER)
    return Template(tuple(base), tuple(steps))


def apply(connection: DatabaseWrapper, schema: str, step: Step) -> None:
    """Run one migration in a schema, and note it in Django's table there. In a transaction of the owner."""
    noted = sql.SQL("INSERT INTO {}.django_migrations (app, name, applied) VALUES ({}, {}, now())")
    row = noted.format(sql.Identifier(schema), step.app, step.name).as_string()
    with connection.in_schema(schema):
        if step.statements is None:
            _run_python(connection, step.key)
        replay(connection, [*(step.statements or ()), row])


def replay(connection: DatabaseWrapper, statements: Iterable[str]) -> None:
    """Run single statements in the connection's schema, all sent before the first answer is read."""
    with connection.cursor() as cursor, connection.wrap_database_errors, connection.connection.pipeline():
        for statement in statements:
            cursor.cursor.execute(statement)


_kept: dict[str, Template] = {}


def _template(kept: dict[str, Any]) -> Template:
    steps = (Step(app, name, None if lines is None else tuple(lines)) for app, name, lines in kept["steps"])
    return Template(tuple(kept["base"]), tuple(steps))


def _loader() -> MigrationLoader:
    return _load(repr((settings.TENANT_APPS, sorted(settings.MIGRATION_MODULES.items()))))


@lru_cache(maxsize=4)
def _load(_modules: str) -> MigrationLoader:
    """Return the graph of migrations, without a look at the database. It is read once per process (25 ms)."""
    return MigrationLoader(None)


def _is_tenants(key: Key) -> bool:
    return bool(TenantSyncRouter().app_in_list(key[0], settings.TENANT_APPS))


def _migration(key: Key) -> Migration:
    migration: Migration = _loader().graph.nodes[key]
    return migration


def _plan(loader: MigrationLoader) -> list[Key]:
    """Return the migrations of the tenants' applications, and those that they depend on, in order."""
    leaves = [key for key in loader.graph.leaf_nodes() if _is_tenants(key)]
    if len({app for app, _ in leaves}) < len(leaves):
        names = ", ".join(".".join(key) for key in leaves)
        raise Unreplayable(f"The migrations have several ends ({names}): run `manage.py makemigrations --merge`.")
    return list(dict.fromkeys(key for leaf in leaves for key in loader.graph.forwards_plan(leaf)))


def _operations(operations: Iterable[Operation]) -> Iterator[Operation]:
    for operation in operations:
        if isinstance(operation, SeparateDatabaseAndState):
            yield from _operations(operation.database_operations)
        else:
            yield operation


def _source(migration: Migration) -> str:
    """Return what a migration says: its module, and the SQL that it has from other files."""
    module = Path(str(sys.modules[type(migration).__module__].__file__)).read_text(encoding="utf-8")
    scripts = [repr(part.sql) for part in _operations(migration.operations) if isinstance(part, RunSQL)]
    return "\0".join([module, *scripts])


def _check(migration: Migration) -> None:
    """Refuse what cannot stand in one transaction with its row in the ledger."""
    outside = [part for part in _operations(migration.operations) if isinstance(part, NotInTransactionMixin)]
    if migration.atomic and not outside:
        return
    raise Unreplayable(
        f"{migration} is not atomic, and a tenant is migrated in one transaction or not at all. Leave out "
        "`atomic = False` and write AddIndex for AddIndexConcurrently: --lock-timeout keeps writers from waiting long."
    )


@contextmanager
def _canary(connection: DatabaseWrapper) -> Iterator[DatabaseWrapper]:
    """Work in a scratch schema of this transaction."""
    name = f"canary_{secrets.token_hex(8)}"
    with connection.in_schema(name), connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)).as_string())
        yield connection


def _run(connection: DatabaseWrapper, applied: frozenset[Key]) -> Iterator[Step]:
    """Run all migrations on the canary, and yield those that are not applied."""
    loader = _loader()
    state = ProjectState(real_apps=loader.unmigrated_apps)
    for key in _plan(loader):
        migration = _migration(key)
        if not _is_tenants(key):
            state = migration.mutate_state(state, preserve=False)
            continue
        statements, state = _noted(connection, migration, state)
        if key in applied:
            continue
        if migration.replaces and applied.issuperset(migration.replaces):
            statements = ()
        yield Step(*key, statements)


def _noted(
    connection: DatabaseWrapper, migration: Migration, state: ProjectState
) -> tuple[tuple[str, ...] | None, ProjectState]:
    """Run a migration; return its statements (None where Django must run it again) and the state after it."""
    with connection.recorded() as tape, connection.schema_editor(atomic=migration.atomic) as editor:
        state = migration.apply(state, editor)
    if not all(map(_is_sql, _operations(migration.operations))):
        return None, state
    if any(str(connection.schema_name) in statement for statement in tape):
        raise Unreplayable(f"{migration} names the schema that it runs in: leave the name to the search_path.")
    return tuple(tape), state


def _is_sql(operation: Operation) -> bool:
    """Tell whether the same statements do it in every schema: no Python, and no default that Python makes anew."""
    if isinstance(operation, RunSQL):
        return True
    if not operation.reduces_to_sql or not type(operation).__module__.startswith("django."):
        return False
    field = getattr(operation, "field", None)
    return field is None or not (field.has_default() and callable(field.default))


def _run_python(connection: DatabaseWrapper, key: Key) -> None:
    """Let Django run a migration in the connection's schema, as it stood at that time in its history."""
    before = _state_before(_loader(), key).clone()
    with connection.schema_editor(atomic=True) as editor:
        _migration(key).apply(before, editor)


@lru_cache(maxsize=16)
def _state_before(loader: MigrationLoader, key: Key) -> ProjectState:
    state: ProjectState = loader.project_state(key, at_end=False)
    # Rendered once (30 ms): a clone takes the models along.
    assert state.apps  # noqa: S101
    return state
