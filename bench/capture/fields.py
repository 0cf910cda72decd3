"""The model that every package captures: ten fields of ten kinds, as the earlier benchmark had it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import models

from bench.capture.adapter import BODY

_MOMENT = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


class AuthorFields(models.Model):
    """Who wrote documents."""

    name = models.CharField(max_length=100)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name


class DocFields(models.Model):
    """A document."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    title = models.CharField(max_length=100)
    body = models.TextField()
    number = models.IntegerField()
    price = models.DecimalField(max_digits=10, decimal_places=2)
    published_at = models.DateTimeField()
    active = models.BooleanField()
    author: models.ForeignKey[Any, Any] = models.ForeignKey("Author", models.CASCADE, related_name="+")
    data = models.JSONField()
    email = models.EmailField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.title


def values(number: int, author: int) -> dict[str, Any]:
    """Return the fields of a new document of an author, told apart by the number."""
    return {
        "title": f"Document {number}",
        "body": BODY,
        "number": number,
        "price": Decimal("12.50"),
        "published_at": _MOMENT,
        "active": True,
        "author_id": author,
        "data": {"language": "en", "tags": ["audit", "trail"], "pages": 12},
        "email": f"person{number % 1000}@acme.example",
    }
