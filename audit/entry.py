"""LogEntry: the columns that AuditLog and PlatformLog share. The tables themselves stand in `sql/trail.sql`."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, NoReturn, Self
from uuid import UUID

from django.db import models
from django.db.models.functions import NullIf
from django.db.models.lookups import IsNull

from audit.events import Operation, Outcome, Source
from tenants.pinned import PinnedQuerySet, PinnedRow

_UUID = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}", re.IGNORECASE)
_MAX_MILLIS = 2**48 - 1
_MAX_SAFE = 2**53
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LogEntry(PinnedRow, models.Model):
    """One entry of a trail: who did what to which resource, from where, and how it ended.

    Read-only here. `ledger.append` writes entries, the database refuses to change them, and id, created_at,
    actor_id and resource_id are computed by the database. `id` (UUIDv7) is the order and the cursor.
    """

    # The table of the trail's user agents.
    agents: ClassVar[str]
    # Its place in the line of sequenced entries, where `integrity.positions.locate` has said it.
    position: int | None = None

    id = models.UUIDField(primary_key=True, editable=False)
    created_at = models.DateTimeField(editable=False)
    occurred_at = models.DateTimeField(null=True)
    transaction_id = models.BigIntegerField()
    action = models.TextField()
    operation = models.TextField(choices=[(word, word) for word in Operation])
    outcome = models.TextField(choices=[(word, word) for word in Outcome])
    source = models.TextField(choices=[(word, word) for word in Source])
    actor_type = models.TextField()
    actor_id = models.TextField()
    actor_label = models.TextField(null=True)
    impersonator_type = models.TextField(null=True)
    impersonator_id = models.TextField(null=True)
    impersonator_label = models.TextField(null=True)
    resource_type = models.TextField()
    resource_id = models.TextField()
    resource_label = models.TextField(null=True)
    targets = models.JSONField(null=True)
    changes = models.JSONField(null=True)
    personal = models.JSONField(null=True)
    description = models.TextField(null=True)
    metadata = models.JSONField(null=True)
    request_id = models.TextField(null=True)
    ip = models.GenericIPAddressField(null=True)
    salt = models.BinaryField()
    version = models.SmallIntegerField()
    # Whether the database itself wrote it, of a row that was changed.
    captured = models.BooleanField()

    class Meta:
        abstract = True
        managed = False
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.actor_label or 'Deleted User'} {self.action} {self.resource_type} ({self.resource_id})"

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: entries are written by `ledger.append` and `log_action`, and never changed."""
        raise TypeError("Entries are written by log_action or ledger.append, and are never changed.")

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: entries are never deleted one by one."""
        raise TypeError("Entries are never deleted; retention purges whole expired segments.")

    def row_changes(self) -> EntryQuerySet:
        """Return the entries of the rows that were changed in the same transaction, in the order of their changes."""
        entries: EntryQuerySet = type(self)._default_manager.all()  # type: ignore[assignment]  # noqa: SLF001
        return entries.of_transaction(self.transaction_id).filter(captured=True).order_by("id")

    @property
    def all_changes(self) -> dict[str, Any] | None:
        """Return `changes` together with the personal ones that were not erased."""
        if self.changes is None and self.personal is None:
            return None
        return {**(self.changes or {}), **(self.personal or {})}


class UserAgent(models.Model):
    """The dictionary of user agents of one trail: most entries share a few long texts."""

    id = models.IntegerField(primary_key=True, editable=False)
    user_agent = models.TextField()

    objects = PinnedQuerySet.as_manager()

    class Meta:
        abstract = True
        managed = False
        # An entry's agent is looked up by a number that means another one in each tenant.
        base_manager_name = "objects"


class Hash(models.Func):
    """The 8-byte hash of a text that the index on actors holds."""

    template = "hashtextextended(%(expressions)s, 0)"
    output_field: ClassVar[models.Field[Any, Any]] = models.BigIntegerField()


class ShortHash(models.Func):
    """The 4-byte hash of a text that the index on resources holds."""

    function = "hashtext"
    output_field: ClassVar[models.Field[Any, Any]] = models.IntegerField()


def _checked(**conditions: Any) -> IsNull:
    """Return conditions that an indexed one beside them implies but for hash collisions and fractions of a millisecond.

    Said plainly, the planner would take both for independent and expect a hundredth of the rows; then it reads and
    sorts all of an actor's entries, where the index holds them in order. It takes IS NOT NULL for true.
    """
    met = models.ExpressionWrapper(models.Q(**conditions), models.BooleanField())
    return IsNull(NullIf(met, models.Value(False)), False)


@models.UUIDField.register_lookup
class AnyOf(models.Lookup):
    """Tells whether an id is one of some, said as one parameter, however many they are."""

    lookup_name = "any"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        """Return the condition."""
        left, parameters = compiler.compile(self.lhs)
        return f"{left} = ANY (%s::uuid[])", [*parameters, self.rhs]


class EntryQuerySet(PinnedQuerySet[Any]):
    """Entries, found by the hashes that the indexes on ids hold; the text itself is compared as well."""

    def of_actor(self, actor_id: str) -> Self:
        """Return the entries of an actor, whatever his type."""
        actor_id = canonical(actor_id)
        hashed = Hash(models.Value(actor_id))
        return self.alias(h_actor=Hash("actor_id")).filter(_checked(actor_id=actor_id), h_actor=hashed)

    def of_resource(self, resource_type: str, resource_id: str) -> Self:
        """Return the entries about a resource; a UUID is found in any of its spellings."""
        return self.of_resource_type(resource_type).of_resource_id(resource_id)

    def of_resource_type(self, resource_type: str) -> Self:
        """Return the entries about resources of a type."""
        hashed = ShortHash(models.Value(resource_type))
        entries = self.alias(h_type=ShortHash("resource_type"))
        return entries.filter(_checked(resource_type=resource_type), h_type=hashed)

    def of_resource_id(self, resource_id: str) -> Self:
        """Return the entries about resources of an id, whatever their type."""
        resource_id = canonical(resource_id)
        hashed = ShortHash(models.Value(resource_id))
        return self.alias(h_id=ShortHash("resource_id")).filter(_checked(resource_id=resource_id), h_id=hashed)

    def of_request(self, request_id: str) -> Self:
        """Return the entries that one request wrote."""
        hashed = ShortHash(models.Value(request_id))
        return self.alias(h_request=ShortHash("request_id")).filter(request_id=request_id, h_request=hashed)

    def of_transaction(self, transaction_id: int) -> Self:
        """Return the entries that one transaction wrote."""
        return self.filter(transaction_id=transaction_id)

    def among(self, ids: list[UUID]) -> Self:
        """Return those of the entries that have one of these ids."""
        return self.filter(id__any=ids)

    def of_action(self, *actions: str) -> Self:
        """Return the entries of one action, or of any of several."""
        return self.filter(action__in=actions)

    def of_outcome(self, outcome: str) -> Self:
        """Return the entries that ended so."""
        found = self.filter(outcome=outcome)
        return found if outcome == Outcome.SUCCESS else found.alias(by_outcome=models.F("outcome"))

    def _fetch_all(self) -> None:
        if self._result_cache is None and (walking := self._walking()) is not self:
            self.query = walking.query
        super()._fetch_all()

    def __getitem__(self, wanted: Any) -> Any:
        """Return an entry, or a part of them as a queryset: newest first, where no other order was asked for."""
        entries = self if self._result_cache is not None else self._walking()
        return super(EntryQuerySet, entries).__getitem__(wanted)

    def _walking(self) -> Self:
        """Return the same entries in the order by which their index is walked, where they are in that of the model.

        Said only now: an order that is said before would count as asked for, and group what is counted.
        """
        query, fields = self.query, self._fields  # type: ignore[attr-defined]
        plain = query.default_ordering and not query.order_by and not query.extra_order_by and not query.distinct
        whole = fields is None and query.group_by is None and not query.is_sliced and not query.combinator
        return self.by_id(ascending=not query.standard_ordering) if plain and whole else self

    def by_id(self, *, ascending: bool = False) -> Self:
        """Return the entries in the order of their ids, said so that the index they were found by is walked in it.

        The hash that they were filtered by is the same in all of them and comes first in its index, so it may come
        first in the order as well. PostgreSQL would know that by itself, but does not conclude it where rows have a
        policy, since hashing is not leakproof. What did not succeed is found by an index whose order it does know.
        """
        has = self.query.annotations.keys()
        hashes: tuple[str, ...] = ()
        if "by_outcome" not in has:
            hashes = next((by for by in (("h_type", "h_id"), ("h_actor",)) if has >= set(by)), ())
        keys = [models.F(name) for name in (*hashes, "id")]
        return self.order_by(*(key.asc() if ascending else key.desc() for key in keys))

    def since(self, moment: datetime) -> Self:
        """Return the entries from a moment on. The bound on `id` lets the index serve it."""
        return self.filter(_checked(created_at__gte=moment), id__gte=first_id(moment))

    def until(self, moment: datetime) -> Self:
        """Return the entries before a moment."""
        return self.filter(_checked(created_at__lt=moment), id__lt=first_id(moment + timedelta(milliseconds=1)))


class EntryManager(models.Manager.from_queryset(EntryQuerySet)):  # type: ignore[misc]
    """Entries; reached as `user.audit_logs`, those of that person by the index on actors."""

    def get_queryset(self) -> EntryQuerySet:
        """Return all entries, or a person's: `user_id`, where set, equals the actor's id."""
        entries: EntryQuerySet = super().get_queryset()
        person = getattr(self, "instance", None)
        return entries.of_actor(str(person.pk)) if person is not None else entries


def id_of(key: Any) -> str:
    """Return a row's primary key as the id that entries of its changes have: moments in UTC, several parts as JSON."""
    if isinstance(key, tuple | list):
        return json.dumps([_part(part) for part in key], ensure_ascii=False)
    if isinstance(key, datetime):
        return key.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return str(key)


def _part(value: Any) -> Any:
    return value if isinstance(value, int) and abs(value) <= _MAX_SAFE else id_of(value)


def canonical(text: str) -> str:
    """Return a UUID in its canonical form, any other text as it is."""
    return uuid_text(text) or text


def uuid_text(text: str) -> str | None:
    """Return the canonical form of the UUID that a text spells, or None."""
    match = _UUID.fullmatch(text)
    if match is None:
        return None
    return text.lower() if match[1] else str(UUID(text))


def as_uuid(text: str) -> UUID | None:
    """Return the UUID that a text spells (with or without hyphens, in any case), or None."""
    return UUID(text) if _UUID.fullmatch(text) else None


def first_id(moment: datetime) -> UUID:
    """Return the least id of a moment's millisecond: a bound for a range of ids, to be tested by time as well."""
    return first_id_of(max(0, (moment - _EPOCH) // timedelta(milliseconds=1)))


def first_id_of(millis: int) -> UUID:
    """Return the least id of a millisecond since 1970."""
    return UUID(int=min(millis, _MAX_MILLIS) << 80)


def millis_of(key: UUID) -> int:
    """Return the millisecond that an id says, since 1970."""
    return key.int >> 80


def moment_of(key: UUID) -> datetime:
    """Return the moment that an id says, to the microsecond: `created_at` as the database computes it."""
    millis, fraction = key.int >> 80, key.int >> 64 & 0xFFF
    return _EPOCH + timedelta(microseconds=millis * 1000 + fraction * 1000 // 4096)
