"""django-reversion: signals within a revision; the whole row as JSON text. Deletions are not recorded."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

from bench.capture.adapter import Work
from bench.capture.peers.plain import Plain


class Reversion(Plain):
    """Each write in a revision of its own; in a request the middleware opens it."""

    distribution: ClassVar[str] = "django-reversion"
    applications: ClassVar[tuple[str, ...]] = ("reversion",)
    middleware: ClassVar[tuple[str, ...]] = ("reversion.middleware.RevisionMiddleware",)
    tables: ClassVar[tuple[str, ...]] = ("reversion_version",)
    contexts: ClassVar[tuple[str, ...]] = ("reversion_revision",)

    def register(self, doc: Any) -> None:
        """Register the model."""
        _package().register(doc)

    def create(self, values: dict[str, Any]) -> object:
        """Create in a revision."""
        return _revised(lambda: super(Reversion, self).create(values))

    def save(self, doc: Any) -> object:
        """Save in a revision."""
        return _revised(lambda: super(Reversion, self).save(doc))

    def delete(self, doc: Any) -> object:
        """Delete in a revision."""
        return _revised(lambda: super(Reversion, self).delete(doc))


def _revised(work: Work) -> object:
    if _package().is_active():
        return work()
    with _package().create_revision():
        return work()


def _package() -> Any:
    return import_module("reversion")
