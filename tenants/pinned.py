"""Lazy querysets, rows and cached values that stay on the side of the walls where they were made.

A queryset is only a description until it is evaluated. Evaluated in another tenant's scope it would answer
with that tenant's rows, under a name that says otherwise: so it is refused. A key of Django's cache names whose
it is.
"""

from __future__ import annotations

from typing import Any, Self, TypeVar
from uuid import UUID

from django.db import models
from django.db.models import sql

from tenants.context import Realm, scope_or_none
from tenants.errors import NoScope, ScopeConflict

Row = TypeVar("Row", bound=models.Model)
# The realm, the tenant, and whether it is the platform within the tenant.
Side = tuple[Realm, UUID | None, bool]


def _here() -> Side | None:
    scope = scope_or_none()
    if scope is None:
        return None
    owner = scope.tenant or scope.side
    return scope.realm, owner.id if owner else None, scope.entered


def cache_key(key: str, prefix: str, version: int) -> str:
    """Return the key of a cached value on this side of the walls (settings.CACHES names it). Raises NoScope."""
    if (here := _here()) is None:
        raise NoScope
    realm, tenant_id, entered = here
    return f"{prefix}:{version}:{realm}:{tenant_id or ''}:{'entered' if entered else ''}:{key}"


class PinnedQuery(sql.Query):
    """A query that is compiled on one side of the walls only: where it, or its first refinement, was made."""

    side: Side | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.side = _here()

    def clone(self) -> Self:
        """Return a copy; one of a query made outside any scope (a class attribute) belongs to the scope of now."""
        copy: Self = super().clone()  # type: ignore[assignment]
        copy.side = self.side or _here()
        return copy

    def chain(self, klass: type[sql.Query] | None = None) -> Any:
        """Return a copy to refine, or the statement that `klass` makes of it. Raises ScopeConflict."""
        if klass is not None:
            self._check()
        return super().chain(klass)

    def get_compiler(self, *args: Any, **kwargs: Any) -> Any:
        """Return what makes SQL of the query. Raises ScopeConflict on another side than its own."""
        self._check()
        return super().get_compiler(*args, **kwargs)

    def _check(self) -> None:
        if (here := _here()) and self.side not in {None, here}:
            raise ScopeConflict("This queryset was made in another scope: evaluate it there, or make it anew here.")


class PinnedRow:
    """A row that remembers on which side of the walls it was read: what it refers to is looked up there alone."""

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Self:
        """Return the row as read from the database."""
        row: Self = super().from_db(*args, **kwargs)  # type: ignore[misc]
        row._state.side = _here()  # type: ignore[attr-defined]
        return row


class PinnedQuerySet(models.QuerySet[Row]):
    """Rows of the scope in which the queryset was made, or in which the row was read that refers to them."""

    def __init__(self, model: Any = None, query: sql.Query | None = None, using: Any = None, hints: Any = None) -> None:
        super().__init__(model, query or PinnedQuery(model), using, hints)
        if query is None:
            self._pin_to(hints or {})

    def _add_hints(self, **hints: Any) -> None:
        super()._add_hints(**hints)  # type: ignore[misc]
        self._pin_to(hints)

    def _pin_to(self, hints: dict[str, Any]) -> None:
        """Go to the side of the row that this queryset is looked up for, if that row remembers one."""
        if row := hints.get("instance"):
            self.query.side = getattr(row._state, "side", None) or self.query.side  # type: ignore[attr-defined]  # noqa: SLF001
