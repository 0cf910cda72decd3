"""A tenant's catalogue of event types: those it declares, the built-in ones, and those that its trail is found to use.

Declaring a type and strict mode are entries of the trail. Undeclared types are not written down when they come in:
which are in use, since when and until when, is read off the index on actions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal
from uuid import UUID

from django.db import connections

from audit import schemas, sentences
from audit.entry import moment_of
from audit.events import MAX_ACTION, Event, Operation, operation_of
from audit.models import AuditLog
from audit.vocabulary import BUILT_IN
from tenants.api.wire import escaped
from tenants.context import current_scope
from tenants.errors import BadInput, Conflict, Fault, NotFound, Unprocessable

MAX_TYPES = 1000
MAX_VERSIONS = 100
MAX_PERSONAL = 50
NAME = re.compile(rf"[^\W_][\w.:/-]{{0,{MAX_ACTION - 1}}}")
Origin = Literal["built_in", "declared", "learned"]

_COLUMNS = """t.description, t.version, t.personal, t.sentences,
  (SELECT array_agg(s.version ORDER BY s.version) FROM audit_event_schema AS s WHERE s.name = n.name) AS versions,
  (SELECT s.metadata_schema::text FROM audit_event_schema AS s
    WHERE s.name = n.name AND s.version = coalesce(%(version)s, t.version)) AS metadata_schema"""
# Said as a range, so that the order is the index's own: with `=` the planner may walk the whole trail by id for a type
# that it takes to be frequent.
_SEEN = """(SELECT id FROM audit_log WHERE action BETWEEN n.name AND n.name ORDER BY action, id LIMIT 1),
  (SELECT id FROM audit_log WHERE action BETWEEN n.name AND n.name ORDER BY action DESC, id DESC LIMIT 1)"""
# Jumps from action to action along the index: what it costs is the types of the page, not their entries.
_USED = """WITH RECURSIVE used AS (
  (SELECT action AS name, 1 AS n FROM audit_log WHERE action > %(after)s ORDER BY action LIMIT 1)
  UNION ALL
  SELECT (SELECT action FROM audit_log WHERE action > used.name ORDER BY action LIMIT 1), n + 1
    FROM used WHERE used.name IS NOT NULL AND n < %(limit)s
), names AS (
  SELECT name FROM used WHERE name IS NOT NULL
  UNION SELECT name FROM audit_event_type WHERE name > %(after)s ORDER BY name LIMIT %(limit)s
)"""
_PAGE = f"""{_USED} SELECT n.name, {_COLUMNS}, {_SEEN}
  FROM names AS n LEFT JOIN audit_event_type AS t ON t.name = n.name ORDER BY n.name"""  # noqa: S608
_ONE = f"""SELECT n.name, {_COLUMNS}, {_SEEN}
  FROM (SELECT %(name)s::text AS name) AS n LEFT JOIN audit_event_type AS t ON t.name = n.name"""  # noqa: S608
# A member sees the types of his own actions: of so many of his latest, so that it costs no more than those.
_OWN = f"""WITH latest AS MATERIALIZED (
  SELECT id, action FROM audit_log
   WHERE hashtextextended(coalesce(actor_uuid::text, actor_key), 0) = hashtextextended(%(actor)s, 0)
     AND coalesce(actor_uuid::text, actor_key) = %(actor)s
   ORDER BY hashtextextended(coalesce(actor_uuid::text, actor_key), 0) DESC, id DESC LIMIT 10000
), n AS (
  SELECT action AS name, (array_agg(id ORDER BY id))[1] AS first, (array_agg(id ORDER BY id DESC))[1] AS last
    FROM latest WHERE action > %(after)s AND action = coalesce(%(name)s, action)
   GROUP BY action ORDER BY action LIMIT %(limit)s
)
SELECT n.name, {_COLUMNS}, n.first, n.last
  FROM n LEFT JOIN audit_event_type AS t ON t.name = n.name ORDER BY n.name"""  # noqa: S608
# One query tells all that a batch is checked by: strict mode, and for each type and version asked for its schema.
_RULES = """SELECT coalesce((SELECT strict FROM audit_event_policy), false), a.name, a.version, t.version, t.personal,
  sha256(convert_to(s.metadata_schema::text, 'UTF8'))
  FROM (VALUES (1)) AS always
  LEFT JOIN unnest(%s::text[], %s::smallint[]) AS a (name, version) ON true
  LEFT JOIN audit_event_type AS t ON t.name = a.name
  LEFT JOIN audit_event_schema AS s ON s.name = t.name AND s.version = coalesce(a.version, t.version)"""
_SCHEMA = "SELECT metadata_schema::text FROM audit_event_schema WHERE name = %s AND version = %s"
_TOLD = "SELECT name, sentences FROM audit_event_type WHERE name = ANY(%s)"
_STRICT = "SELECT coalesce((SELECT strict FROM audit_event_policy), false)"
_SET_STRICT = """INSERT INTO audit_event_policy AS p (strict) VALUES (%s)
ON CONFLICT (one) DO UPDATE SET strict = excluded.strict WHERE p.strict <> excluded.strict RETURNING 1"""
# A type that is there is locked by this, so that of two who put it at once the second sees what the first did.
_TAKE = """INSERT INTO audit_event_type (name, description, version, personal, sentences)
VALUES (%(name)s, '', 0, '{}', '{}') ON CONFLICT (name) DO UPDATE SET changed_at = audit_event_type.changed_at
RETURNING description, version, personal, sentences"""
_KNOWN = """SELECT (SELECT version FROM audit_event_schema WHERE name = %(name)s AND metadata_schema = %(schema)s::jsonb
  ORDER BY version LIMIT 1), (SELECT coalesce(max(version), 0) FROM audit_event_schema WHERE name = %(name)s)"""
_ADD = "INSERT INTO audit_event_schema (name, version, metadata_schema) VALUES (%(name)s, %(version)s, %(schema)s)"
_PUT = """UPDATE audit_event_type SET description = %(description)s, version = %(version)s, personal = %(personal)s,
  sentences = %(sentences)s, changed_at = now() WHERE name = %(name)s"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """One event type, as the catalogue shows it.

    `version` is the current one of a declared type, `versions` all that there are; `metadata_schema` is that of the
    version asked for. `first_seen` and `last_seen` are the moments of the oldest and the newest entry kept.
    """

    name: str
    origin: Origin
    description: str = ""
    operation: Operation = Operation.OTHER
    version: int | None = None
    versions: Sequence[int] = ()
    metadata_schema: Any = None
    personal: Sequence[str] = ()
    sentences: Mapping[str, str] = field(default_factory=dict)
    first_seen: datetime | None = None
    last_seen: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Rule:
    """What an event of a type and version is checked by; `current` is None where nothing is declared."""

    version: int | None
    current: int | None
    personal: frozenset[str]
    digest: bytes | None


def _query(statement: str, parameters: Any) -> list[tuple[Any, ...]]:
    with connections[current_scope().alias].cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def types(*, after: str = "", limit: int, of_actor: str | None = None) -> list[EventType]:
    """Return up to `limit` types that are declared or used, by name, behind the name `after`.

    `of_actor`: those of this actor's own latest 10,000 actions alone.
    """
    given = {"after": after, "limit": limit, "version": None, "actor": of_actor, "name": None}
    return [_type(row) for row in _query(_PAGE if of_actor is None else _OWN, given)]


def type_of(name: str, *, version: int | None = None, of_actor: str | None = None) -> EventType:
    """Return one type, with the schema of a version (None: the current one). Raises NotFound."""
    given = {"name": name, "version": version, "actor": of_actor, "after": "", "limit": 1}
    rows = _query(_ONE if of_actor is None else _OWN, given)
    found = _type(rows[0]) if rows else None
    if found is None or (found.origin == "learned" and found.last_seen is None):
        raise NotFound("There is no event type of this name.")
    if version is not None and version not in found.versions:
        raise NotFound("The event type has no such version.")
    return found


def _type(row: tuple[Any, ...]) -> EventType:
    name, description, version, personal, told, versions, schema, first, last = row
    built_in = BUILT_IN.get(name)
    operation = built_in.operation if built_in else operation_of(name)
    found = EventType(
        name=name, origin="learned", operation=operation, first_seen=_moment(first), last_seen=_moment(last)
    )
    if version is not None:
        return replace(
            found, origin="declared", description=description, version=version, versions=versions,
            metadata_schema=_json(schema), personal=personal, sentences=_json(told),
        )  # fmt: skip
    if built_in is None:
        return found
    own = {tag: sentences.words(tag)["types"][name] for tag in sorted(sentences.shipped())}
    return replace(found, origin="built_in", personal=sorted(built_in.personal), sentences=own)


def _moment(key: UUID | None) -> datetime | None:
    return None if key is None else moment_of(key)


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def is_strict() -> bool:
    """Return whether the API refuses events of undeclared types."""
    return bool(_query(_STRICT, None)[0][0])


def set_strict(*, strict: bool) -> None:
    """Let the API refuse events of undeclared types, or take them; a change is an entry."""
    tenant = current_scope().tenant
    if strict != is_strict() and _query(_SET_STRICT, [strict]) and tenant is not None:
        changes = {"strict": {"old": not strict, "new": strict}}
        AuditLog.log_action(
            None, "event_catalogue.updated", "event_catalogue", tenant.id, changes, resource_label=tenant.slug
        )


def declare(
    name: str, *, description: str, schema: Any, personal: Sequence[str], told: Mapping[str, str]
) -> tuple[EventType, bool]:
    """Declare a type, or say anew what it is; return it, and whether it is new. A change is an entry.

    A schema equal to one that was put before (as JSON: whatever the order of keys) is that version, which becomes the
    current one; any other is a new version. Raises Unprocessable, which names the places; Conflict at a bound.
    """
    _check(name, schema, told)
    before = _take(name)
    version = _version(name, schema)
    given = {"description": description, "version": version, "personal": sorted(set(personal)), "sentences": dict(told)}
    _query(_PUT, {**given, "name": name, "sentences": json.dumps(given["sentences"])})
    new = before["version"] == 0
    changes = {
        key: {"new": value} if new else {"old": before[key], "new": value}
        for key, value in given.items()
        if new or before[key] != value
    }
    if changes:
        AuditLog.log_action(
            None,
            "event_type.declared" if new else "event_type.updated",
            "event_type",
            name,
            changes,
            resource_label=name,
        )
    return type_of(name), new


def _take(name: str) -> dict[str, Any]:
    """Return the type as it is, locked until the unit of work ends; one of version 0 is new."""
    description, version, personal, told = _query(_TAKE, {"name": name})[0]
    if version == 0 and _query("SELECT count(*) FROM audit_event_type", None)[0][0] > MAX_TYPES:
        raise Conflict(f"There are {MAX_TYPES} declared event types already.")
    return {"description": description, "version": version, "personal": personal, "sentences": _json(told)}


def _version(name: str, schema: Any) -> int:
    """Return the version that a schema is, made now where it is another than all before."""
    given = {"name": name, "schema": json.dumps(schema, ensure_ascii=False)}
    known, last = _query(_KNOWN, given)[0]
    if known is not None:
        return int(known)
    if last >= MAX_VERSIONS:
        raise Conflict(f"The event type has {MAX_VERSIONS} versions already.")
    _query(_ADD, {**given, "version": last + 1})
    return int(last) + 1


def _check(name: str, schema: Any, told: Mapping[str, str]) -> None:
    if not NAME.fullmatch(name):
        detail = f"A name has 1 to {MAX_ACTION} letters, digits and `_.:/-`, and begins with a letter or digit."
        raise BadInput(detail, errors=[{"parameter": "type", "code": "bad_name", "detail": detail}])
    faults: list[Fault] = []
    try:
        schemas.check(schema)
    except schemas.BadSchema as error:
        place = "".join(f"/{escaped(part)}" for part in error.place)
        faults.append({"pointer": f"/metadata_schema{place}", "code": "bad_schema", "detail": error.reason})
    for language, template in told.items():
        pointer = f"/sentences/{escaped(language)}"
        if not sentences.LANGUAGE.fullmatch(language):
            faults.append({"pointer": pointer, "code": "bad_language", "detail": "A language is a tag: en, de-AT."})
        try:
            sentences.check(template)
        except sentences.BadTemplate as error:
            faults.append({"pointer": pointer, "code": "bad_sentence", "detail": str(error)})
    if faults:
        raise Unprocessable(faults[0]["detail"], errors=faults)


def check(events: Sequence[tuple[str, Event]]) -> list[Event | list[Fault]]:
    """Check events, each with its place in the body, by the types of the open tenant scope, in one query.

    Return, in order, the event with what its type says (version, personal fields), or what is wrong with it.
    """
    if not events:
        return []
    asked = list({(event.action, event.version) for _, event in events})
    rows = _query(_RULES, [[name for name, _ in asked], [version for _, version in asked]])
    rules = {
        (name, version): _Rule(version, current, frozenset(personal or ()), digest)
        for _, name, version, current, personal, digest in rows
    }
    return [
        _checked(pointer, event, rules[event.action, event.version], strict=rows[0][0]) for pointer, event in events
    ]


def _checked(pointer: str, event: Event, rule: _Rule, *, strict: bool) -> Event | list[Fault]:
    if rule.current is None:
        if strict and event.action not in BUILT_IN:
            detail = "This event type is not declared, and the catalogue is strict: PUT /api/v1/events/{type} first."
            return [{"pointer": f"{pointer}/action", "code": "undeclared_type", "detail": detail}]
        return event
    version = event.version or rule.current
    if rule.digest is None:
        detail = f"The type has no version {version}."
        return [{"pointer": f"{pointer}/version", "code": "unknown_version", "detail": detail}]
    load = partial(_schema, event.action, version)
    faults = schemas.broken(bytes(rule.digest), load, event.metadata, f"{pointer}/metadata")
    return faults or replace(event, version=version, personal=event.personal | rule.personal)


def _schema(name: str, version: int) -> str:
    return str(_query(_SCHEMA, [name, version])[0][0])


def tell(shown: Sequence[dict[str, Any]], language: str) -> None:
    """Add to entries, as the API shows them, the `sentence` that each reads as in a language.

    In a tenant's scope its own types' sentences go first: one query for all. In the platform's there are none.
    """
    own: dict[str, Mapping[str, str]] = {}
    if shown and current_scope().tenant is not None:
        own = {name: _json(told) for name, told in _query(_TOLD, [list({one["action"] for one in shown})])}
    for one in shown:
        one["sentence"] = sentences.render(one, language, own.get(one["action"]))
