"""Bytes per entry of the candidate layouts of the trail, indexes in; the last line is the one that is shipped.

One row is one update entry of two changed fields with full context, as one request writes it. The candidates
differ in where the context stands, in how ids are kept and in what the indexes hold. They are tables of their
own; the shipped layout is a tenant's real trail, written by the ledger. Rows arrive one by one in the order of
time, as in life, so that index pages split as in life. All are measured with one and with three entries for each
unit of work, which shares its context.
"""

from __future__ import annotations

import random
import secrets
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from audit import ledger
from audit.events import Event, Party, RequestContext, Source
from audit.models import AuditLog
from bench.base import AGENT, Bench, Figure
from tenants import provisioning
from tenants.context import SYSTEM, TenantLike, tenant_scope

ROWS = 30_000
PEOPLE, RESOURCES, AGENTS = 1_000, 20_000, 200
ACTIONS, WEIGHTS = ("updated", "created", "deleted", "user.signed_in", "invoice.paid"), (50, 25, 8, 12, 5)
CHANGES = {"plan": {"old": "free", "new": "premium"}, "seats": {"old": 5, "new": 25}}
SHIPPED = "shipped: agents apart, ids as uuid, indexes on hashes"
CHANGES_TEXT = '{"plan": {"old": "free", "new": "premium"}, "seats": {"old": 5, "new": 25}}'

# Fixed-width columns first, as in the shipped table: no bytes are lost to alignment that an order could save.
_ENTRY = """transaction_id bigint NOT NULL, created_at timestamptz NOT NULL, occurred_at timestamptz,
  version smallint NOT NULL, id uuid PRIMARY KEY, user_id uuid, actor_id {id} NOT NULL, resource_id {id} NOT NULL,
  actor_type text NOT NULL, action text NOT NULL, operation text NOT NULL, outcome text NOT NULL,
  resource_type text NOT NULL, changes jsonb, resource_label text"""
_CONTEXT = "{agent}, source text NOT NULL, request_id text, salt bytea NOT NULL, actor_label text, ip inet"
_TEXT = ("(actor_id, {time})", "(resource_type, resource_id, {time})", "(action, {time})")
_HASH = (
    "(hashtextextended(actor_id, 0), id)",
    "(hashtextextended(resource_type || ':' || resource_id, 0), id)",
    "(hashtextextended(action, 0), id)",
)


@dataclass(frozen=True)
class Layout:
    """A candidate: `apart` keeps the context in a row of its own, `dictionary` the user agents in a table."""

    name: str
    indexes: Sequence[str]
    apart: bool = False
    dictionary: bool = False
    id_type: str = "text"


LAYOUTS = (
    Layout("all in the row, indexes on text and time", [index.format(time="created_at") for index in _TEXT]),
    Layout("all in the row, indexes on hashes", _HASH),
    Layout(
        "context per unit, indexes on text and time", [index.format(time="created_at") for index in _TEXT], apart=True
    ),
    Layout("context per unit, indexes on hashes", _HASH, apart=True),
    Layout("context per unit, agents apart, indexes on hashes", _HASH, apart=True, dictionary=True),
    Layout("agents apart, indexes on text and id", [index.format(time="id") for index in _TEXT], dictionary=True),
    Layout("agents apart, indexes on hashes", _HASH, dictionary=True),
    Layout(
        "agents apart, ids and indexes as uuid",
        [index.format(time="id") for index in _TEXT],
        dictionary=True,
        id_type="uuid",
    ),
)


@dataclass(frozen=True)
class Sample:
    """What one entry says; `number` counts from 0, `unit` names its unit of work."""

    number: int
    unit: int
    person: uuid.UUID
    label: str
    agent: int
    ip: str
    request_id: str
    resource: uuid.UUID
    action: str


def samples(per_unit: int) -> Iterator[Sample]:
    """Yield ROWS entries, `per_unit` of them by the same person in one request."""
    rng = random.Random(7)
    for number in range(ROWS):
        if number % per_unit == 0:
            person, agent = rng.randrange(PEOPLE), rng.randrange(AGENTS)
            request_id = f"{rng.getrandbits(128):032x}"
        yield Sample(
            number,
            number // per_unit,
            uuid.UUID(int=person << 64 | 5),
            f"person{person}@acme.example",
            agent,
            f"203.0.{person % 250}.{agent % 250}",
            request_id,
            uuid.UUID(int=rng.randrange(RESOURCES) << 60 | 9),
            rng.choices(ACTIONS, WEIGHTS)[0],
        )


def run(bench: Bench) -> list[Figure]:
    """Measure all candidates, then the shipped layout."""
    figures = []
    with bench.admin() as admin:
        for layout in LAYOUTS:
            for per_unit in (1, 3):
                _create(admin, layout)
                _copy(admin, layout, per_unit)
                figures.append(_figure(admin, "size", layout.name, per_unit))
        admin.execute("DROP SCHEMA size CASCADE")
        for per_unit in (1, 3):
            name = f"size-{per_unit}"
            tenant = provisioning.create_tenant(slug=name, name=name, domain=f"{name}.localhost")
            _write(tenant, per_unit)
            figures.append(_figure(admin, tenant.schema_name, SHIPPED, per_unit, 600))
    return figures


def _create(admin: psycopg.Connection[Any], layout: Layout) -> None:
    """Create the tables of a candidate in a fresh schema `size`."""
    admin.execute("DROP SCHEMA IF EXISTS size CASCADE")
    admin.execute("CREATE SCHEMA size")
    admin.execute("SET search_path = size")
    context = _CONTEXT.format(agent="agent_id integer" if layout.dictionary else "user_agent text")
    entry = _ENTRY.format(id=layout.id_type)
    admin.execute("CREATE TABLE agent (id integer PRIMARY KEY, user_agent text NOT NULL)")
    admin.execute("CREATE INDEX ON agent (hashtextextended(user_agent, 0))")
    if layout.apart:
        admin.execute(f"CREATE TABLE context (id bigint PRIMARY KEY, {context})".encode())
    admin.execute(f"CREATE TABLE entry ({entry}, {'context_id bigint NOT NULL' if layout.apart else context})".encode())
    for index in layout.indexes:
        admin.execute(f"CREATE INDEX ON entry {index}".encode())
    if layout.dictionary:
        for number in range(AGENTS):
            admin.execute("INSERT INTO agent VALUES (%s, %s)", [number, AGENT.format(number)])


def _copy(admin: psycopg.Connection[Any], layout: Layout, per_unit: int) -> None:
    """Fill a candidate; COPY inserts into indexes row by row."""
    with admin.cursor() as cursor:
        with cursor.copy("COPY entry FROM STDIN") as copy:
            for one in samples(per_unit):
                copy.write_row([*_entry(one), *([one.unit] if layout.apart else _context(one, layout))])
        if layout.apart:
            with cursor.copy("COPY context FROM STDIN") as copy:
                for one in samples(per_unit):
                    if one.number % per_unit == 0:
                        copy.write_row([one.unit, *_context(one, layout)])


def _entry(one: Sample) -> list[object]:
    moment = 1_795_000_000_000 + one.number * 37
    key = uuid.UUID(int=moment << 80 | 7 << 76 | 2 << 62 | secrets.randbits(62))
    created = psycopg.TimestampFromTicks(moment / 1000)
    return [
        700 + one.unit,
        created,
        None,
        1,
        key,
        one.person,
        str(one.person),
        str(one.resource),
        "user",
        one.action,
        "update",
        "success",
        "organization",
        CHANGES_TEXT,
        "Acme Ltd",
    ]


def _context(one: Sample, layout: Layout) -> list[object]:
    agent: object = one.agent if layout.dictionary else AGENT.format(one.agent)
    return [agent, "api", one.request_id, secrets.token_bytes(16), one.label, one.ip]


def _write(tenant: TenantLike, per_unit: int) -> None:
    """Fill a tenant's trail through the ledger."""
    with tenant_scope(tenant, actor=SYSTEM):
        unit: list[Event] = []
        for one in samples(per_unit):
            context = RequestContext(
                ip=one.ip, user_agent=AGENT.format(one.agent), request_id=one.request_id, source=Source.API
            )
            unit.append(
                Event(
                    action=one.action,
                    resource=Party("organization", str(one.resource), "Acme Ltd"),
                    actor=Party("user", str(one.person), one.label),
                    changes=CHANGES,
                    context=context,
                )
            )
            if len(unit) == per_unit:
                ledger.append(AuditLog, unit, user_id=one.person)
                unit = []


def _figure(admin: psycopg.Connection[Any], schema: str, name: str, per_unit: int, aim: float | None = None) -> Figure:
    """Return bytes per entry of tables and indexes; dictionaries and maps of free space are in."""
    heap, indexes = admin.execute(
        "SELECT sum(pg_table_size(oid))::float8, sum(pg_indexes_size(oid))::float8 FROM pg_class"
        " WHERE relnamespace = %s::regnamespace AND relkind = 'r'"
        " AND relname IN ('entry', 'context', 'agent', 'audit_log_default', 'audit_user_agent')",
        [schema],
    ).fetchone() or (0.0, 0.0)
    note = f"{heap / ROWS:.0f} in tables, {indexes / ROWS:.0f} in indexes"
    return Figure(f"{name}; {per_unit} per unit", (heap + indexes) / ROWS, "bytes", aim, note)
