"""The model, handed over to the package that the worker drives."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models

from bench.capture.fields import AuthorFields, DocFields


class Author(AuthorFields):
    """Who wrote documents."""

    objects: ClassVar[models.Manager[Any]] = models.Manager()


class Doc(DocFields):
    """A document."""

    objects: ClassVar[models.Manager[Any]] = models.Manager()


_adapter: Any = getattr(settings, "BENCH_ADAPTER")  # noqa: B009 - the type checker knows the project's settings alone
_adapter.register(Doc)
