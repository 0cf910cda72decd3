"""The model captured by Daybook, and the very same one uncaptured."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar, TypeVar

from django.db import models

from bench.capture.fields import AuthorFields, DocFields

Model = TypeVar("Model", bound=type[models.Model])


def _audited() -> Callable[[Model], Model]:
    # Until there is `audit.capture` nothing is captured, which the table shows: cells marked *.
    if find_spec("audit.capture") is None:
        return lambda model: model
    decorator: Callable[[Model], Model] = import_module("audit.capture").audited()
    return decorator


@_audited()
class Author(AuthorFields):
    """Who wrote documents."""

    objects: ClassVar[models.Manager[Any]] = models.Manager()


@_audited()
class Doc(DocFields):
    """A document whose changes are captured."""

    objects: ClassVar[models.Manager[Any]] = models.Manager()


class PlainDoc(DocFields):
    """A document whose changes are not."""

    objects: ClassVar[models.Manager[Any]] = models.Manager()

    class Meta(DocFields.Meta):
        db_table = "docs_plain_doc"
