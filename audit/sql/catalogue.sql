-- The catalogue of a tenant's own event types. Which undeclared types are in use is read off the trail itself.

CREATE TABLE audit_event_type (
  name text PRIMARY KEY,
  description text NOT NULL,
  -- Of the schema that was put last.
  version smallint NOT NULL,
  -- Fields of `changes` that may have to be erased.
  personal text[] NOT NULL,
  -- How an entry reads, by language.
  sentences jsonb NOT NULL,
  declared_at timestamptz NOT NULL DEFAULT now(),
  changed_at timestamptz NOT NULL DEFAULT now()
);

-- Schemas for metadata. Nobody may change one: a version means the same for ever.
CREATE TABLE audit_event_schema (
  name text NOT NULL,
  version smallint NOT NULL,
  metadata_schema jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (name, version)
);

-- One row at most: whether the API refuses events of undeclared types.
CREATE TABLE audit_event_policy (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  strict boolean NOT NULL
);
