"""Django's wrapper over django-tenants' one: it sends no query outside a unit of work.

django-tenants sets the search_path of the session before each cursor and falls back to the public schema.
Here the path belongs to the transaction, together with a role, and there is nothing to fall back to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.transaction import TransactionManagementError
from django.utils.functional import cached_property
from django_tenants.postgresql_backend import base
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool

from tenants.backend import pool
from tenants.backend.cursor import UnitCursor
from tenants.backend.unit import SHARED_SCHEMA, Binding, Scope, committed, current
from tenants.errors import NoScope, ScopeConflict


class _OuterUnit(AbstractContextManager[None]):
    """A transaction of one scope. A class, since it is entered for each request: a generator takes twice as long."""

    def __init__(self, wrapper: DatabaseWrapper, scope: Scope, binding: Binding) -> None:
        self._wrapper, self._scope, self._binding = wrapper, scope, binding
        self._atomic = transaction.atomic(using=wrapper.alias)

    def __enter__(self) -> None:
        self._wrapper.bind(self._scope, self._binding)
        try:
            self._atomic.__enter__()
        except BaseException:
            self._wrapper.unbind()
            raise

    def __exit__(self, *error: object) -> None:
        kept, committed = error[0] is None and not self._wrapper.needs_rollback, False
        try:
            self._atomic.__exit__(*error)
            committed = kept
        finally:
            self._wrapper.unbind()
            for hook in pool.on_end:
                hook(self._scope, committed)


class DatabaseWrapper(base.DatabaseWrapper):  # type: ignore[misc]
    """A connection of one of the application's logins, which own nothing and may do nothing by themselves."""

    _scope: Scope | None = None
    _binding: Binding | None = None
    # Who the database was told that acts, and whether that was said anew within this unit, perhaps in a savepoint.
    _told: object = None
    _told_anew = False
    # Whose connection it is: None for the alias's own login, else that of some tenants.
    _login: str | None = None
    connection: Any

    def get_connection_params(self) -> dict[str, Any]:
        """Return what a connection is made with. Raises ImproperlyConfigured where it would not be a UnitConnection."""
        params: dict[str, Any] = super().get_connection_params()
        if "pool" not in self.settings_dict["OPTIONS"]:
            raise ImproperlyConfigured("OPTIONS['pool'] is not set: units of work need UnitConnection, which it makes.")
        if self.settings_dict["CONN_HEALTH_CHECKS"]:
            raise ImproperlyConfigured("CONN_HEALTH_CHECKS is not supported: it sends queries outside units of work.")
        return {**pool.parameters(self._login, params), "cursor_factory": UnitCursor}

    def _configure_connection(self, connection: Any) -> bool:
        connection.learn()
        return bool(super()._configure_connection(connection))

    @property
    def pool(self) -> ConnectionPool[Any]:
        """The pool of the login that this connection works for."""
        pools: dict[Any, ConnectionPool[Any]] = self._connection_pools
        key = (self.alias, self._login)
        if key not in pools:
            params = {**self.get_connection_params(), "autocommit": True}
            options = pool.options(self._login, self.settings_dict["OPTIONS"]["pool"])
            made: ConnectionPool[Any]
            made = ConnectionPool(kwargs=params, open=False, configure=self._configure_connection, **options)  # type: ignore[arg-type]
            # Two threads may both make one; the one that is not kept was never opened.
            pools.setdefault(key, made)
        return pools[key]

    def close_pool(self) -> None:
        """Close the pools of all logins of this alias."""
        for key in [key for key in self._connection_pools if key[0] == self.alias]:
            self._connection_pools.pop(key).close()

    @cached_property
    def pg_version(self) -> int:
        """The server's version, from the connection's start-up: Django's own way needs a cursor."""
        self.ensure_connection()
        return int(self.connection.info.server_version)

    def is_usable(self) -> bool:
        """Tell whether the server still answers: Django's own way sends a query outside a unit of work."""
        return self.connection is not None and self.connection.answers()

    def set_tenant(self, tenant: Any, include_public: bool = True) -> None:
        """Refuse django-tenants' way to choose a tenant: it binds no role and outlives the transaction."""
        if getattr(self, "schema_name", None) is not None:
            raise NoScope("Choose a tenant with tenant_scope(tenant, actor=...): it binds role, path and transaction.")
        self.tenant, self.schema_name, self.include_public_schema = tenant, SHARED_SCHEMA, include_public

    def set_schema_to_public(self) -> None:
        """Do nothing but once, in the constructor: there is no schema to fall back to."""
        if getattr(self, "schema_name", None) is None:
            super().set_schema_to_public()

    def _handle_search_path(self, cursor: Any = None) -> None:
        """Leave the path alone: the first message of the transaction has set it."""

    def _cursor(self, name: str | None = None) -> Any:
        if self._scope is None or not self.in_atomic_block:
            raise NoScope
        if current.get() is not self._scope:
            raise ScopeConflict("This connection works for another scope now; a task must not share its transaction.")
        return super()._cursor(name)

    def unit(self, scope: Scope, binding: Binding, *, parent: Scope | None) -> AbstractContextManager[None]:
        """Return what runs a block in a transaction bound to `binding`: in `parent`'s one (a savepoint), if any.

        `scope` is what `current` must hold for as long as queries are sent. Raises ScopeConflict.
        """
        if self._scope is not parent:
            raise ScopeConflict("The open scope belongs to another thread's or task's connection: open it elsewhere.")
        return self._inner_unit(scope, binding) if self._scope else _OuterUnit(self, scope, binding)

    def bind(self, scope: Scope, binding: Binding) -> None:
        """Take a connection of the login, whose next transaction is the scope's. Raises ScopeConflict."""
        self._log_in(binding.login)
        self.connection.binding = binding
        self.connection.first_message = binding.first_message(self.connection.quote, self.connection.clean)
        self.connection.tenants.update(binding.tenants)
        self.connection.before_statement = self._tell_who_acts
        self._scope, self._binding, self._told = scope, binding, scope.actor

    def _tell_who_acts(self) -> None:
        """Say who acts where somebody else was found out to act since it was said."""
        scope = self._scope
        if scope is None or (actor := scope.actor) is self._told:
            return
        self._binding, self._told, self._told_anew = scope.binding(), actor, True
        self._bind_again(self._binding)

    def unbind(self) -> None:
        """Forget the scope: nothing more is sent."""
        self._scope, self._binding, self._told, self._told_anew = None, None, None, False
        if self.connection is not None:
            self.connection.first_message = self.connection.before_statement = None

    def _log_in(self, login: str | None) -> None:
        """Take a connection of a login from its pool; another login's goes back to its own."""
        if self._login == login:
            if self.connection is None:
                self.ensure_connection()
        elif not self.in_atomic_block:
            self.close()
            self._login = login
            self.ensure_connection()
        elif self._is_idle():
            # In a bare `atomic` that has sent nothing yet: whose transaction it will be is said only now.
            self._close()
            self._login = login
            self.connection = self.get_new_connection(self.get_connection_params())
            self.connection.autocommit = False
        if not self._is_idle():
            raise ScopeConflict("This transaction was begun for another scope: one transaction, one tenant.")

    def _is_idle(self) -> bool:
        return bool(self.connection.pgconn.transaction_status == TransactionStatus.IDLE)

    def _commit(self) -> Any:
        # After an error PostgreSQL answers COMMIT by rolling back, and psycopg says nothing.
        if self.connection is not None and self.connection.pgconn.transaction_status == TransactionStatus.INERROR:
            raise TransactionManagementError(
                "A statement of this unit of work failed and its error was passed over, so nothing can be committed. "
                "Let the error out, or run the statement in `transaction.atomic()`."
            )
        return super()._commit()

    def run_and_clear_commit_hooks(self) -> None:
        """Run what waits for the commit outside the unit of work: it may open a unit of its own."""
        token = committed.set(self._scope)
        self.unbind()
        try:
            super().run_and_clear_commit_hooks()
        finally:
            committed.reset(token)

    def _close(self) -> None:
        # The connection goes back to the pool, whoever closed it in the middle of a unit.
        self.connection.first_message = self.connection.before_statement = None
        pool.retire(self.connection)
        super()._close()

    @contextmanager
    def _inner_unit(self, scope: Scope, binding: Binding) -> Iterator[None]:
        outer_scope, outer_binding, outer_told = self._scope, self._binding, self._told
        assert outer_binding is not None  # noqa: S101 - set together with the scope
        # Without a savepoint nothing would restore the outer binding.
        self.validate_no_broken_transaction()
        with transaction.atomic(using=self.alias):
            self._bind_again(binding)
            self._scope, self._binding, self._told = scope, binding, scope.actor
            # If the transaction ended in here, the next one would be the outer unit's, under the inner's name.
            message, self.connection.first_message = self.connection.first_message, None
            try:
                yield
            finally:
                self._scope, self._binding, self._told = outer_scope, outer_binding, outer_told
                if self.connection is not None:
                    self.connection.first_message, self.connection.binding = message, outer_binding
            # After an error the savepoint's rollback restores the settings; after success they must be said.
            if not self.needs_rollback:
                self._bind_again(outer_binding)

    def _bind_again(self, binding: Binding) -> None:
        self.connection.tenants.update(binding.tenants)
        with self.wrap_database_errors:
            self.connection.bind_again(binding)

    def _control(self, statement: str) -> None:
        """Send a statement that steers the transaction itself."""
        with self.wrap_database_errors:
            if self.connection.pgconn.pipeline_status:
                self.connection.execute(statement)
            else:
                self.connection.control(statement.encode())

    def _savepoint(self, sid: str) -> None:
        self._control(self.ops.savepoint_create_sql(sid))

    def _savepoint_rollback(self, sid: str) -> None:
        self._control(self.ops.savepoint_rollback_sql(sid))
        if self._told_anew and self._binding:
            # What was said of the actor since the savepoint is rolled back as well.
            self._bind_again(self._binding)

    def _savepoint_commit(self, sid: str) -> None:
        self._control(self.ops.savepoint_commit_sql(sid))
