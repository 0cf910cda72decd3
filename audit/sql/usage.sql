-- Usage of one tenant: how much of which metric, and the keys that make a repeated event one event.

CREATE TABLE usage_log (
  id uuid NOT NULL DEFAULT guard.new_id() PRIMARY KEY,
  transaction_id bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
  occurred_at timestamptz,
  created_at timestamptz GENERATED ALWAYS AS (to_timestamp((
    ('x' || substr(translate(id::text, '-', ''), 1, 12))::bit(48)::bigint * 1000
    + ('x' || substr(id::text, 16, 3))::bit(12)::int * 1000 / 4096) / 1000000.0::float8)) VIRTUAL,
  quantity numeric(20, 6) NOT NULL,
  metric text NOT NULL,
  actor_type text NOT NULL,
  actor_id text NOT NULL,
  metadata jsonb
) PARTITION BY RANGE (id);
CREATE INDEX usage_log_metric ON usage_log (metric, id);
CREATE TABLE usage_log_default PARTITION OF usage_log DEFAULT;
CALL guard.protect('usage_log', false);
CALL guard.protect_truncate('usage_log_default');

-- A partitioned trail cannot keep a key unique, so keys stand in a table of their own. Those of imports never expire.
CREATE TABLE audit_key (
  digest bytea PRIMARY KEY,
  entry_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz
);
CREATE INDEX audit_key_expires_at ON audit_key (expires_at) WHERE expires_at IS NOT NULL;
