"""CPU of `log_action` beside Django's `create()` of a row of the same size, in the same unit of work.

The row beside it stands in the tenant's schema too, in a plain table: the same columns without partitions,
triggers, checks and generated columns, and as many indexes, on the columns themselves. CPU is that of this
process and of the database's process together, so that a busy machine disturbs it least.
"""

from __future__ import annotations

import statistics
import uuid
from collections.abc import Callable
from typing import ClassVar

from django.db import connection, models

from audit.models import AuditLog
from bench.base import AGENT, Bench, Cost, Figure, cost, interleaved
from tenants.backend.unit import tenant_role
from tenants.context import Origin, tenant_scope

ROUNDS, TIMES = 30, 100
ORIGIN = Origin(ip="203.0.113.7", user_agent=AGENT.format(140), request_id=uuid.uuid4().hex, source="api")
CHANGES = {"plan": {"old": "free", "new": "premium"}, "seats": {"old": 5, "new": 25}}
_TABLE = """
CREATE TABLE {schema}.bench_plain (
  id uuid PRIMARY KEY, created_at timestamptz NOT NULL, occurred_at timestamptz, transaction_id bigint NOT NULL,
  user_id uuid, action text NOT NULL, operation text NOT NULL, outcome text NOT NULL, source text NOT NULL,
  actor_type text NOT NULL, actor_id text NOT NULL, actor_label text, impersonator_type text, impersonator_id text,
  impersonator_label text, resource_type text NOT NULL, resource_id text NOT NULL, resource_label text,
  targets jsonb, changes jsonb, personal jsonb, description text, metadata jsonb, request_id text, ip inet,
  user_agent text, salt bytea NOT NULL, version smallint NOT NULL);
CREATE INDEX ON {schema}.bench_plain (actor_id, created_at);
CREATE INDEX ON {schema}.bench_plain (resource_type, resource_id, created_at);
CREATE INDEX ON {schema}.bench_plain (action, created_at);
GRANT SELECT, INSERT ON {schema}.bench_plain TO {role};
"""


class Plain(models.Model):
    """The same columns as a project would write them without Daybook."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    created_at = models.DateTimeField(auto_now_add=True)
    occurred_at = models.DateTimeField(null=True)
    transaction_id = models.BigIntegerField(default=0)
    user_id = models.UUIDField(null=True)
    action = models.TextField()
    operation = models.TextField()
    outcome = models.TextField()
    source = models.TextField()
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
    user_agent = models.TextField(null=True)
    salt = models.BinaryField(default=bytes(16))
    version = models.SmallIntegerField(default=1)

    objects: ClassVar[models.Manager[Plain]] = models.Manager()

    class Meta:
        app_label = "bench"
        managed = False
        db_table = "bench_plain"


def run(bench: Bench) -> list[Figure]:
    """Measure both in turns, one unit of work of TIMES rows a round."""
    with bench.admin() as admin:
        schema, role = bench.acme.schema_name, tenant_role(bench.acme.id)
        admin.execute(_TABLE.format(schema=schema, role=role).encode())
    print(f"  {ROUNDS} rounds of {TIMES} entries and {TIMES} plain rows", flush=True)
    ours, plain = interleaved(ROUNDS, lambda: _round(bench, _log_action()), lambda: _round(bench, _create(bench)))
    ratio = statistics.median(one.cpu / other.cpu for one, other in zip(ours, plain, strict=True))
    return [
        _figure("CPU of log_action", ours),
        _figure("CPU of create", plain),
        Figure("CPU of log_action / create", ratio, "times", 1.4),
    ]


def _round(bench: Bench, write: Callable[[], object]) -> Cost:
    """Return what one `write` costs within a unit of work of TIMES."""
    with tenant_scope(bench.acme, actor=bench.alice, origin=ORIGIN):
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            backend = cursor.fetchone()[0]
        return cost(write, TIMES, backend)


def _log_action() -> Callable[[], object]:
    def write() -> AuditLog:
        return AuditLog.log_action(None, "updated", "organization", uuid.uuid4(), CHANGES, resource_label="Acme Ltd")

    return write


def _create(bench: Bench) -> Callable[[], object]:
    def write() -> Plain:
        return Plain.objects.create(
            user_id=bench.alice.user_id,
            action="updated",
            operation="update",
            outcome="success",
            source=ORIGIN.source,
            actor_type="user",
            actor_id=bench.alice.id,
            actor_label=bench.alice.label,
            resource_type="organization",
            resource_id=str(uuid.uuid4()),
            resource_label="Acme Ltd",
            changes=CHANGES,
            request_id=ORIGIN.request_id,
            ip=ORIGIN.ip,
            user_agent=ORIGIN.user_agent,
        )

    return write


def _figure(name: str, rounds: list[Cost]) -> Figure:
    here, there = (
        statistics.median(part) * 1e6 for part in zip(*((one.here, one.there) for one in rounds), strict=True)
    )
    return Figure(
        name, statistics.median(one.cpu for one in rounds) * 1e6, "us", note=f"{here:.0f} here, {there:.0f} there"
    )
