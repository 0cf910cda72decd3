-- One trail: {table}, its default partition, its dictionary of user agents. Settled by bench/size.py:
-- an id that is a UUID is kept as one (16 bytes, not 37) and indexes hold hashes of ids instead of text;
-- created_at, actor_id and resource_id are virtual: computed when read, and writable by nobody.
-- What a person may ask to have erased stands in columns of its own, with a random salt: label, ip, agent, personal.

CREATE TABLE {agents} (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  user_agent text NOT NULL
);
-- Not unique on purpose: a unique index would make writers wait for each other's first use of an agent.
CREATE INDEX {agents}_user_agent ON {agents} (hashtextextended(user_agent, 0));

CREATE TABLE {table} (
  transaction_id bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
  agent_id integer,
  version smallint NOT NULL,
  captured boolean NOT NULL DEFAULT false,
  id uuid NOT NULL DEFAULT guard.new_id() PRIMARY KEY,
  {tenant_column}
  user_id uuid,
  actor_uuid uuid,
  resource_uuid uuid,
  occurred_at timestamptz,
  created_at timestamptz GENERATED ALWAYS AS (to_timestamp((
    ('x' || substr(translate(id::text, '-', ''), 1, 12))::bit(48)::bigint * 1000
    + ('x' || substr(id::text, 16, 3))::bit(12)::int * 1000 / 4096) / 1000000.0::float8)) VIRTUAL,
  actor_type text NOT NULL,
  actor_key text,
  actor_id text GENERATED ALWAYS AS (coalesce(actor_uuid::text, actor_key)) VIRTUAL,
  impersonator_type text,
  impersonator_id text,
  action text NOT NULL,
  operation text NOT NULL,
  outcome text NOT NULL,
  source text NOT NULL,
  request_id text,
  resource_type text NOT NULL,
  resource_key text,
  resource_id text GENERATED ALWAYS AS (coalesce(resource_uuid::text, resource_key)) VIRTUAL,
  targets jsonb,
  changes jsonb,
  description text,
  metadata jsonb,
  salt bytea NOT NULL,
  actor_label text,
  impersonator_label text,
  resource_label text,
  ip inet,
  personal jsonb
) PARTITION BY RANGE (id);

CREATE INDEX {table}_actor ON {table} (hashtextextended(coalesce(actor_uuid::text, actor_key), 0), id);
-- Two short hashes are as narrow as a long one, and also find a type alone, and (by skip scan) an id alone.
CREATE INDEX {table}_resource ON {table} (hashtext(resource_type), hashtext(coalesce(resource_uuid::text, resource_key)), id);
-- An action is hardly longer than its hash, and as text it is found by prefix as well.
CREATE INDEX {table}_action ON {table} (action, id);
-- A request writes few entries, so its hash alone finds them.
-- Not partial: what PostgreSQL knows of an expression's values in a partial index it does not use, and it would take each
-- request for one in 200 of all entries.
CREATE INDEX {table}_request ON {table} (hashtext(request_id));
-- A few bytes per 32 pages.
CREATE INDEX {table}_transaction ON {table} USING brin (transaction_id) WITH (pages_per_range = 32, autosummarize = on);
-- Two bytes per entry, since most succeed: who looks for what failed does not read the whole trail.
CREATE INDEX {table}_outcome ON {table} (outcome, id) WHERE outcome <> 'success';
CREATE TABLE {table}_default PARTITION OF {table} DEFAULT;

CALL guard.protect('{table}', true);
CALL guard.protect_truncate('{table}_default');
CALL guard.sequenced('{table}');
CALL guard.note('{table}_default', '{table}');
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON {agents} FOR EACH ROW EXECUTE FUNCTION guard.refuse_change();
ALTER TABLE {agents} ENABLE ALWAYS TRIGGER refuse_change;
CALL guard.protect_truncate('{agents}');
