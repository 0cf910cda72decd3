"""The host's models: the two of the project's first sketch, and one for each thing that Django can do with a table."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.postgres.fields import ArrayField, DateRangeField, DateTimeRangeField
from django.db import models
from django.db.models.functions import Upper

from audit.capture import audited


@audited(label="name")
class Tag(models.Model):
    """A word that organizations are found by."""

    name = models.CharField(max_length=50, unique=True)


@audited(label="name", personal=("contact",), exclude=("seen_at",))
class Organization(models.Model):
    """A customer's customer."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=200)
    slug = models.SlugField()
    plan = models.CharField(max_length=20, default="free")
    contact = models.EmailField(blank=True, default="")
    seats = models.IntegerField(default=0)
    seen_at = models.DateTimeField(null=True)
    tags = models.ManyToManyField(Tag, related_name="organizations")
    partners = models.ManyToManyField("self")
    members: Any = models.ManyToManyField("Member", through="Employment")

    def __str__(self) -> str:
        raise RuntimeError("no entry needs this")


@audited(label="name", verbs={"create": "member.hired", "delete": "member.dismissed"})
class Member(models.Model):
    """Somebody of an organization; the key is a text."""

    code = models.CharField(max_length=40, primary_key=True)
    name = models.CharField(max_length=100)
    mentors = models.ManyToManyField("self", symmetrical=False, related_name="pupils")


class Employment(models.Model):
    """A link with a field of its own."""

    organization = models.ForeignKey(Organization, models.CASCADE)
    member = models.ForeignKey(Member, models.CASCADE)
    title = models.CharField(max_length=50, default="")


@audited(label="provider_name", mask=("signing_key",))
class WebhookProvider(models.Model):
    """Where an organization's webhooks come from."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="providers")
    provider_name = models.CharField(max_length=50)
    is_active = models.BooleanField(default=True)
    signing_key = models.CharField(max_length=100, default="")
    # Masked for its name.
    api_token = models.CharField(max_length=100, default="")
    plan = models.CharField(max_length=20, default="free")


@audited()
class WebhookLog(models.Model):
    """What a provider sent: deleted with it, on the second level below the organization."""

    provider = models.ForeignKey(WebhookProvider, models.CASCADE, related_name="logs")
    replayed_by = models.ForeignKey(Member, models.SET_NULL, null=True)
    body = models.JSONField(default=dict)
    count = models.IntegerField(default=0)


@audited()
class Sample(models.Model):
    """A field of each kind."""

    class Size(models.TextChoices):
        """How large it is."""

        SMALL = "s"
        LARGE = "l"

    flag = models.BooleanField(null=True)
    small = models.SmallIntegerField(null=True)
    big = models.BigIntegerField(null=True)
    real = models.FloatField(null=True)
    price = models.DecimalField(max_digits=20, decimal_places=6, null=True)
    text = models.TextField(null=True)
    size = models.CharField(max_length=1, choices=Size.choices, null=True)
    day = models.DateField(null=True)
    moment = models.DateTimeField(null=True)
    clock = models.TimeField(null=True)
    span = models.DurationField(null=True)
    bytes = models.BinaryField(null=True)
    file = models.FileField(null=True)
    key = models.UUIDField(null=True)
    data = models.JSONField(null=True)
    ip = models.GenericIPAddressField(null=True)
    words = ArrayField(models.CharField(max_length=20), null=True)
    amounts = ArrayField(models.DecimalField(max_digits=10, decimal_places=2), null=True)
    shout = models.GeneratedField(expression=Upper("text"), output_field=models.TextField(), db_persist=True)


@audited()
class Place(models.Model):
    """A parent of another model."""

    name = models.CharField(max_length=50)


@audited()
class Restaurant(Place):
    """A child with a table of its own, whose key is the parent's."""

    stars = models.IntegerField(default=0)


class Diner(Restaurant):
    """The same rows under another name."""

    class Meta:
        proxy = True


@audited()
class Counter(models.Model):
    """A row whose key is a whole number of its own choice."""

    id = models.IntegerField(primary_key=True)
    value = models.IntegerField(default=0)


@audited()
class Seat(models.Model):
    """A row with a key of two parts."""

    pk = models.CompositePrimaryKey("row", "number")
    row = models.CharField(max_length=2)
    number = models.IntegerField()
    taken = models.BooleanField(default=False)


@audited(fields=("visible", "password"))
class Chosen(models.Model):
    """Of which some fields alone are told."""

    visible = models.TextField(default="")
    hidden = models.TextField(default="")
    password = models.TextField(default="")


class Untold(models.Model):
    """A model that is not captured."""

    value = models.IntegerField(default=0)


@audited()
class Passport(models.Model):
    """A row whose key is another row's."""

    organization = models.OneToOneField(Organization, models.CASCADE, primary_key=True)
    number = models.TextField(default="")
    issued = models.DateField(null=True)


@audited()
class Opening(models.Model):
    """A row that a moment is the key of."""

    moment = models.DateTimeField(primary_key=True)
    note = models.TextField(default="")


@audited()
class Series(models.Model):
    """Lists and spans of values that a list of plain ones does not show."""

    numbers = ArrayField(models.BigIntegerField(), null=True)
    moments = ArrayField(models.DateTimeField(), null=True)
    grid = ArrayField(ArrayField(models.IntegerField()), null=True)
    days = DateRangeField(null=True)
    period = DateTimeRangeField(null=True)


@audited(label="title", personal=("body", "sender"))
class Letter(models.Model):
    """Texts of any length, some of them somebody's own."""

    title = models.TextField(default="")
    body = models.TextField(default="")
    sender = models.TextField(default="")
    note = models.TextField(default="")


@audited(label="name")
class Odd(models.Model):
    """Names that SQL and JSON take for something else."""

    name = models.TextField(db_column="It's Upper Case", default="")
    größe = models.TextField(db_column="back\\slash \u2028", default="")  # noqa: PLC2401 - on purpose
    select = models.TextField(db_column="order", default="")
    peers = models.ManyToManyField("self", db_table="Peers of odd's", symmetrical=False)

    class Meta:
        db_table = "Odd table it's"


@audited()
class Wide(models.Model):
    """More fields than a function takes arguments."""


for _number in range(120):
    Wide.add_to_class(f"field_{_number}", models.TextField(default=""))


@audited(label="name")
class Event(models.Model):
    """What members come to."""

    name = models.CharField(max_length=50)
    guests: Any = models.ManyToManyField(Member, through="Ticket", related_name="events")


@audited(verbs={"create": "ticket.sold"})
class Ticket(models.Model):
    """A link that is a resource by itself."""

    event = models.ForeignKey(Event, models.CASCADE)
    member = models.ForeignKey(Member, models.CASCADE)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
