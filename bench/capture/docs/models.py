"""The model captured by Daybook, and the very same one uncaptured."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from audit.capture import audited
from bench.capture.fields import AuthorFields, DocFields


@audited()
class Author(AuthorFields):
    """Who wrote documents."""

    objects: ClassVar[models.Manager[Any]] = models.Manager()


@audited()
class Doc(DocFields):
    """A document whose changes are captured."""

    objects: ClassVar[models.Manager[Any]] = models.Manager()


class PlainDoc(DocFields):
    """A document whose changes are not."""

    objects: ClassVar[models.Manager[Any]] = models.Manager()

    class Meta(DocFields.Meta):
        db_table = "docs_plain_doc"
