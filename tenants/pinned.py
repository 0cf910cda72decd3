"""Lazy querysets that stay on the side of the walls where they were made.

A queryset is only a description until it is evaluated. Evaluated in another tenant's scope it would answer
with that tenant's rows, under a name that says otherwise: so it is refused.
"""

from __future__ import annotations

from typing import Any, Self, TypeVar
from uuid import UUID

from django.db import models
from django.db.models import sql

from tenants.context import Realm, scope_or_none
from tenants.errors import ScopeConflict

Row = TypeVar("Row", bound=models.Model)
Side = tuple[Realm, UUID | None]


def _here() -> Side | None:
    scope = scope_or_none()
    return (scope.realm, scope.tenant.id if scope.tenant else None) if scope else None


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


class PinnedQuerySet(models.QuerySet[Row]):
    """Rows of the scope in which the queryset was made."""

    def __init__(self, model: Any = None, query: sql.Query | None = None, using: Any = None, hints: Any = None) -> None:
        super().__init__(model, query or PinnedQuery(model), using, hints)
