"""A shop's models, each kept by the packages in one of the ways that they offer."""

# mypy: ignore-errors
from __future__ import annotations

import uuid

import pghistory
from auditlog.registry import auditlog
from django.conf import settings
from django.db import models
from simple_history.models import HistoricalRecords


class Tag(models.Model):
    """What a many-to-many field refers to."""

    name = models.CharField(max_length=40)

    def __str__(self) -> str:
        return self.name


@pghistory.track(pghistory.InsertEvent(), pghistory.UpdateEvent(), pghistory.DeleteEvent(), exclude=["secret"])
class WebhookProvider(models.Model):
    """A key that counts, a foreign key, a masked field and a many-to-many field."""

    name = models.CharField(max_length=40)
    url = models.URLField()
    secret = models.CharField(max_length=40, default="")
    retries = models.IntegerField(default=3)
    options = models.JSONField(default=dict)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    tags = models.ManyToManyField(Tag)
    history = HistoricalRecords(m2m_fields=[tags])

    def __str__(self) -> str:
        return self.name


@pghistory.track(
    pghistory.InsertEvent(), pghistory.UpdateEvent(), pghistory.DeleteEvent(), pghistory.ManualEvent("order.paid")
)
class Order(models.Model):
    """A UUID as the key, a decimal, a time, and UUIDs as the keys of the history."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    provider = models.ForeignKey(WebhookProvider, null=True, on_delete=models.SET_NULL)
    total = models.DecimalField(max_digits=12, decimal_places=2)
    paid_at = models.DateTimeField(null=True)
    history = HistoricalRecords(history_id_field=models.UUIDField(default=uuid.uuid4))

    def __str__(self) -> str:
        return f"order of {self.total}"

    def get_additional_data(self) -> dict[str, str]:
        return {"shop": "north"}


@pghistory.track(
    fields=["name", "rate"],
    context_field=pghistory.ContextJSONField(),
    context_id_field=pghistory.ContextUUIDField(null=True),
)
class TaxZone(models.Model):
    """A key of another name, a history model of another name, some of its fields alone, its context in each event."""

    code = models.CharField(primary_key=True, max_length=8)
    name = models.CharField(max_length=40)
    rate = models.FloatField()
    history = HistoricalRecords(custom_model_name="PastTaxZone")

    def __str__(self) -> str:
        return self.name


auditlog.register(WebhookProvider, mask_fields=["secret"], m2m_fields={"tags"})
auditlog.register(Order, serialize_data=True)
auditlog.register(TaxZone)
