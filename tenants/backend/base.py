"""Django's wrapper over django-tenants' one: it sends no query outside a unit of work.

django-tenants sets the search_path of the session before each cursor and falls back to the public schema.
Here the path belongs to the transaction, together with a role, and there is nothing to fall back to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.utils.functional import cached_property
from django_tenants.postgresql_backend import base
from psycopg.pq import TransactionStatus

from tenants.backend.unit import SHARED_SCHEMA, Binding, current
from tenants.errors import NoScope, ScopeConflict


class DatabaseWrapper(base.DatabaseWrapper):  # type: ignore[misc]
    """A connection of the application's login, which owns nothing and may do nothing by itself."""

    _scope: object | None = None
    _binding: Binding | None = None

    def get_connection_params(self) -> dict[str, Any]:
        """Return what a connection is made with. Raises ImproperlyConfigured where it would not be a UnitConnection."""
        params: dict[str, Any] = super().get_connection_params()
        if "pool" not in self.settings_dict["OPTIONS"]:
            raise ImproperlyConfigured("OPTIONS['pool'] is not set: units of work need UnitConnection, which it makes.")
        if self.settings_dict["CONN_HEALTH_CHECKS"]:
            raise ImproperlyConfigured("CONN_HEALTH_CHECKS is not supported: it sends queries outside units of work.")
        return params

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

    @contextmanager
    def unit(self, scope: object, binding: Binding, *, parent: object | None) -> Iterator[None]:
        """Run the block in a transaction bound to `binding`; in `parent`'s one (a savepoint) if there is one.

        `scope` is what `current` must hold for as long as queries are sent.
        """
        if self._scope is not parent:
            raise ScopeConflict("The open scope belongs to another thread's or task's connection: open it elsewhere.")
        opened = self._inner_unit(scope, binding) if self._scope else self._outer_unit(scope, binding)
        with opened:
            yield

    @contextmanager
    def _outer_unit(self, scope: object, binding: Binding) -> Iterator[None]:
        self.ensure_connection()
        if self.connection.pgconn.transaction_status != TransactionStatus.IDLE:
            raise ScopeConflict("This transaction was begun for another scope: one transaction, one tenant.")
        self.connection.first_message = binding.first_message()
        self._scope, self._binding = scope, binding
        try:
            with transaction.atomic(using=self.alias):
                yield
        finally:
            self._unbind()

    def _unbind(self) -> None:
        self._scope = self._binding = None
        if self.connection is not None:
            self.connection.first_message = None

    def run_and_clear_commit_hooks(self) -> None:
        """Run what waits for the commit outside the unit of work: it may open a unit of its own."""
        self._unbind()
        super().run_and_clear_commit_hooks()

    def _close(self) -> None:
        # The connection goes back to the pool, whoever closed it in the middle of a unit.
        self.connection.first_message = None
        super()._close()

    @contextmanager
    def _inner_unit(self, scope: object, binding: Binding) -> Iterator[None]:
        outer_scope, outer_binding = self._scope, self._binding
        assert outer_binding is not None  # noqa: S101 - set together with the scope
        # Without a savepoint nothing would restore the outer binding.
        self.validate_no_broken_transaction()
        with transaction.atomic(using=self.alias):
            self._control(binding.settings())
            self._scope, self._binding = scope, binding
            try:
                yield
            finally:
                self._scope, self._binding = outer_scope, outer_binding
            # After an error the savepoint's rollback restores the settings; after success they must be said.
            if not self.needs_rollback:
                self._control(outer_binding.settings())

    def _control(self, statement: bytes | str) -> None:
        """Send a statement that steers the transaction itself."""
        with self.wrap_database_errors:
            self.connection.execute(statement)

    def _savepoint(self, sid: str) -> None:
        self._control(self.ops.savepoint_create_sql(sid))

    def _savepoint_rollback(self, sid: str) -> None:
        self._control(self.ops.savepoint_rollback_sql(sid))

    def _savepoint_commit(self, sid: str) -> None:
        self._control(self.ops.savepoint_commit_sql(sid))
