-- Exports that run as jobs. `parameters` is the filter as it was sent, `until` the id that its entries come before.
-- `due_at` is when somebody has to look after it: as soon as it is asked for, when the lease of who writes it ends,
-- when its file expires; null where nothing is left to do. `claim` is of the attempt that may go on with it.

CREATE TABLE audit_export (
  id uuid NOT NULL DEFAULT guard.new_id() PRIMARY KEY,
  created_at timestamptz NOT NULL DEFAULT now(),
  until uuid NOT NULL,
  state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'running', 'ready', 'failed', 'expired')),
  format text NOT NULL,
  compress boolean NOT NULL,
  parameters jsonb NOT NULL,
  actor_type text NOT NULL,
  actor_id text NOT NULL,
  actor_label text NOT NULL,
  attempts smallint NOT NULL DEFAULT 0,
  claim uuid,
  due_at timestamptz DEFAULT now(),
  file text,
  entries bigint NOT NULL DEFAULT 0,
  bytes bigint NOT NULL DEFAULT 0,
  sha256 text,
  finished_at timestamptz,
  expires_at timestamptz
);
CREATE INDEX audit_export_due_at ON audit_export (due_at) WHERE due_at IS NOT NULL;
CREATE TRIGGER note_due AFTER INSERT OR UPDATE OR DELETE ON audit_export
  FOR EACH STATEMENT EXECUTE FUNCTION guard.note_due();
ALTER TABLE audit_export ENABLE ALWAYS TRIGGER note_due;
