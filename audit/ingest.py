"""Batches from outside: de-duplicated by a key of each event, and written through the ledger.

`write` is what the API (keys kept for a day) and file imports (keys kept for ever) share. `receive` and
`receive_batch` take parsed JSON as it came in by HTTP.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connections

from audit import catalogue, ledger, wire
from audit.events import Event
from audit.models import AuditLog
from tenants.api.wire import escaped
from tenants.context import current_scope
from tenants.errors import BadInput, Fault, TooLarge, Unprocessable

API_KEYS_KEPT = timedelta(hours=24)
MAX_BATCH = 1000
_STATEMENT_ROWS = 1000

# A claim waits for another transaction's claim of the same key, and takes over a key that has expired.
# The entry's id is not known yet: the ledger makes it.
_CLAIM = """INSERT INTO audit_key (digest, entry_id, expires_at)
SELECT digest, '00000000-0000-0000-0000-000000000000', now() + %s::interval
FROM unnest(%s::bytea[]) WITH ORDINALITY AS t (digest, n) ORDER BY n
ON CONFLICT (digest) DO UPDATE
SET entry_id = EXCLUDED.entry_id, created_at = EXCLUDED.created_at, expires_at = EXCLUDED.expires_at
WHERE audit_key.expires_at < now()
RETURNING digest"""
_ENTER = """UPDATE audit_key SET entry_id = t.entry_id
FROM unnest(%s::bytea[], %s::uuid[]) AS t (digest, entry_id) WHERE audit_key.digest = t.digest"""
# Some at a time, more than are written, and none that another transaction is at.
_FORGET = """DELETE FROM audit_key WHERE digest IN (
SELECT digest FROM audit_key WHERE expires_at < now() LIMIT %s FOR UPDATE SKIP LOCKED)"""
_KNOWN = "SELECT digest, entry_id FROM audit_key WHERE digest = ANY(%s)"


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one event: the id of its entry, and whether that is new or was written for its key before.

    `entry` is the entry itself, where it is the only one that was written.
    """

    id: UUID
    created: bool
    entry: AuditLog | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """An event that breaks a rule, and what is wrong with it."""

    errors: list[Fault]


def receive(sent: Any) -> Written:
    """Write one event as parsed JSON. Raises Unprocessable, TooLarge."""
    event, key = wire.read(sent)
    (checked,) = catalogue.check([("", event)])
    if not isinstance(checked, Event):
        raise Unprocessable("The event is not what its type says.", errors=checked)
    ledger.check_size(checked, "")
    return write([(api_digest(key), checked)], keep_for=API_KEYS_KEPT, parsed=True)[0]


def receive_batch(sent: dict[str, Any]) -> list[Written | Rejected]:
    """Write the good ones of `{"events": [...]}`; return what became of each, in order.

    Raises BadInput or TooLarge for a body that is no batch, Unprocessable if no event is good.
    """
    events = _events(sent)
    results: list[Written | Rejected | None] = [None] * len(events)
    good: dict[int, tuple[bytes | None, Event]] = {}
    for number, raw in enumerate(events):
        try:
            event, key = wire.read(raw, f"/events/{number}")
        except BadInput as error:
            results[number] = Rejected(error.errors)
        else:
            good[number] = (api_digest(key), event)
    for number, one in zip(
        [*good], check([(f"/events/{number}", event) for number, (_, event) in good.items()]), strict=True
    ):
        if isinstance(one, Event):
            good[number] = (good[number][0], one)
        else:
            results[number] = Rejected(one)
            del good[number]
    if not good:
        raise Unprocessable(errors=[fault for one in results if isinstance(one, Rejected) for fault in one.errors])
    for number, written in zip(good, write([*good.values()], keep_for=API_KEYS_KEPT, parsed=True), strict=True):
        results[number] = written
    return [one for one in results if one is not None]


def check(events: Sequence[tuple[str, Event]]) -> list[Event | list[Fault]]:
    """Return of each (place, event) the event as its type completes it, or what is wrong with it or with its size."""
    places = [place for place, _ in events]
    return [_fitting(place, one) for place, one in zip(places, catalogue.check(events), strict=True)]


def _fitting(place: str, one: Event | list[Fault]) -> Event | list[Fault]:
    try:
        if isinstance(one, Event):
            ledger.check_size(one, place)
    except TooLarge as error:
        return error.errors
    return one


def api_digest(key: str | None) -> bytes | None:
    """Return the digest of an event's `idempotency_key`, if it has one."""
    return None if key is None else digest("api", key)


def _events(sent: dict[str, Any]) -> list[Any]:
    faults: list[Fault] = [
        {"pointer": f"/{escaped(name)}", "code": "unknown_field", "detail": "A batch has `events` alone."}
        for name in sent
        if name != "events"
    ]
    events = sent["events"]
    if not isinstance(events, list) or not events:
        faults.append(
            {"pointer": "/events", "code": "not_an_array", "detail": "This is an array of events, not empty."}
        )
    if faults:
        raise BadInput("The batch breaks a rule.", errors=faults)
    if len(events) > MAX_BATCH:
        detail = f"A batch has at most {MAX_BATCH} events; this has {len(events)}."
        raise TooLarge(detail, errors=[{"pointer": "/events", "code": "too_many", "detail": detail}])
    return list(events)


def import_events(events: Sequence[tuple[bytes, Event]]) -> list[Written]:
    """Write events of a file, each with the digest that makes it itself; a digest is written once, for ever."""
    return write(events, keep_for=None)


def digest(kind: str, key: str) -> bytes:
    """Return the 32-byte digest of a key; `kind` keeps keys of one origin apart from those of another."""
    return hashlib.sha256(f"{kind}\x00{key}".encode()).digest()


def write(
    events: Sequence[tuple[bytes | None, Event]], *, keep_for: timedelta | None, parsed: bool = False
) -> list[Written]:
    """Write (digest, event) pairs into the open tenant scope's trail; return what became of each, in order.

    Of the events with one digest exactly one is written, in a batch and among concurrent ones, until
    `keep_for` has passed (None: for ever). An event without a digest is always new. `parsed` is as in the ledger.
    Raises what `ledger.append` raises; then nothing of the open unit of work may be kept.
    """
    written: list[Written] = []
    for start in range(0, len(events), _STATEMENT_ROWS):
        written += _write(events[start : start + _STATEMENT_ROWS], keep_for, parsed=parsed)
    if keep_for is not None:
        _forget(2 * sum(key is not None for key, _ in events))
    return written


def _write(events: Sequence[tuple[bytes | None, Event]], keep_for: timedelta | None, *, parsed: bool) -> list[Written]:
    first = {key: number for number, (key, _) in reversed([*enumerate(events)]) if key is not None}
    claimed = _claim(first, keep_for)
    fresh = [
        number for number, (key, _) in enumerate(events) if key is None or (key in claimed and first[key] == number)
    ]
    made = _append([events[number][1] for number in fresh], parsed=parsed)
    results = dict(zip(fresh, made, strict=True))
    ids = {key: results[first[key]].id for key in claimed}
    _enter(ids)
    ids |= _known([key for key in first if key not in claimed])
    for number, (key, _) in enumerate(events):
        if key is not None and number not in results:
            results[number] = Written(ids[key], created=False)
    return [results[number] for number in range(len(events))]


def _append(events: Sequence[Event], *, parsed: bool) -> list[Written]:
    if len(events) == 1:
        return [Written(entry.id, created=True, entry=entry) for entry in ledger.append(AuditLog, events)]
    return [Written(one, created=True) for one in ledger.append_many(AuditLog, events, parsed=parsed)]


def _claim(digests: Mapping[bytes, int], keep_for: timedelta | None) -> set[bytes]:
    """Return those digests that are this transaction's now. Sorted, so that two batches cannot deadlock."""
    if not digests:
        return set()
    kept = None if keep_for is None else f"{keep_for.total_seconds()} seconds"
    with connections[current_scope().alias].cursor() as cursor:
        cursor.execute(_CLAIM, [kept, sorted(digests)])
        return {bytes(row[0]) for row in cursor.fetchall()}


def _forget(most: int) -> None:
    """Delete some keys that have expired. Last of all: who claims one of these waits, and may hold what we claim."""
    if most:
        with connections[current_scope().alias].cursor() as cursor:
            cursor.execute(_FORGET, [most])


def _enter(ids: Mapping[bytes, UUID]) -> None:
    if ids:
        with connections[current_scope().alias].cursor() as cursor:
            cursor.execute(_ENTER, [list(ids), list(ids.values())])


def _known(digests: list[bytes]) -> dict[bytes, UUID]:
    if not digests:
        return {}
    with connections[current_scope().alias].cursor() as cursor:
        cursor.execute(_KNOWN, [digests])
        return {bytes(key): entry_id for key, entry_id in cursor.fetchall()}
