"""A tenant's trail filled by SQL: 90 days of entries, unevenly spread as in life."""

from __future__ import annotations

from time import perf_counter

from bench.base import AGENT, Bench

PEOPLE, RESOURCES, AGENTS = 1_000, 20_000, 200
_STATEMENT = 500_000
ACTIONS = (
    "updated",
    "created",
    "user.signed_in",
    "invoice.paid",
    "deleted",
    "document.viewed",
    "member.invited",
    "report.exported",
    "key.rotated",
    "plan.changed",
)
TYPES = ("organization", "document", "invoice", "user", "report", "membership", "webhook_provider", "plan")

# The third power of a random number bends the spread: few people act a lot, many hardly ever. Transactions are
# numbered up to the present one, since those to come are not settled.
_ENTRIES = """
INSERT INTO audit_log (transaction_id, agent_id, version, id, user_id, actor_uuid, resource_uuid, actor_type, action,
  operation, outcome, source, request_id, resource_type, changes, salt, actor_label, resource_label, ip)
SELECT 1 + n * (pg_current_xact_id()::text::bigint - 1) / {entries}, agent, 1,
  (lpad(to_hex(began + n * 90 * 86400000 / {entries}), 12, '0') || '7' || substr(md5(n::text), 1, 3)
    || '8' || substr(md5(n::text), 5, 15))::uuid,
  md5('person' || person)::uuid, md5('person' || person)::uuid, md5('resource' || resource)::uuid, 'user',
  CASE WHEN n % 10000 = 5000 THEN 'tenant.frozen' ELSE actions[1 + floor(power(random(), 2) * 9.99)::int] END, 'update',
  CASE WHEN luck < 0.96 THEN 'success' WHEN luck < 0.99 THEN 'failure' WHEN luck < 0.9999 THEN 'denied'
    ELSE 'unknown' END,
  'api', md5('request' || n / 2),
  CASE WHEN n % 10000 = 6000 THEN 'region' ELSE types[1 + resource % 8] END,
  '{{"plan": {{"old": "free", "new": "premium"}}, "seats": {{"old": 5, "new": 25}}}}',
  decode(md5('salt' || n), 'hex'), 'person' || person || '@acme.example', 'Acme Ltd',
  ('203.0.' || person % 250 || '.' || agent % 250)::inet
FROM (
  SELECT n, floor(power(random(), 3) * {people})::int AS person,
    floor(power(random(), 3) * {resources})::int AS resource,
    1 + floor(random() * {agents})::int AS agent, random() AS luck,
    (extract(epoch FROM now())::bigint - 90 * 86400 - 60) * 1000 AS began,
    {actions}::text[] AS actions, {types}::text[] AS types
  FROM generate_series({first}::bigint, {last}) AS n
  OFFSET 0
) AS one
"""


def fill(bench: Bench, entries: int) -> None:
    """Write `entries` entries of the last 90 days into the trail of acme.

    They are back-dated, so the check of new ids is off meanwhile: only a superuser or the owner could do that.
    """
    with bench.admin() as admin:
        admin.execute(f"SET search_path = {bench.acme.schema_name}; SELECT setseed(0.5)".encode())
        agents = [AGENT.format(number) for number in range(AGENTS)]
        admin.execute("INSERT INTO audit_user_agent (user_agent) SELECT unnest(%s::text[])", [agents])
        admin.execute("ALTER TABLE audit_log DISABLE TRIGGER check_id")
        for first in range(0, entries, _STATEMENT):
            statement = _ENTRIES.format(
                first=first,
                last=min(first + _STATEMENT, entries) - 1,
                entries=entries,
                people=PEOPLE,
                resources=RESOURCES,
                agents=AGENTS,
                actions=f"ARRAY{list(ACTIONS)}",
                types=f"ARRAY{list(TYPES)}",
            )
            admin.execute(statement.encode())
        admin.execute("ALTER TABLE audit_log ENABLE ALWAYS TRIGGER check_id")
        admin.execute("VACUUM ANALYZE audit_log")
        admin.execute("ANALYZE audit_user_agent")
        # So that no checkpoint falls into what is measured.
        admin.execute("CHECKPOINT")


def sequence(bench: Bench) -> tuple[float, float]:
    """Give all entries their positions and index their words; return the seconds that each took."""
    with bench.admin() as admin:
        times = []
        for statement in ("SELECT gate.sequence(2000)", "SELECT gate.index_words(500)"):
            began = perf_counter()
            while (admin.execute(statement.encode()).fetchone() or (0,))[0]:
                pass
            times.append(perf_counter() - began)
        for table in ("position", "words"):
            admin.execute(f"VACUUM ANALYZE {bench.acme.schema_name}.audit_log_{table}".encode())
    return times[0], times[1]
