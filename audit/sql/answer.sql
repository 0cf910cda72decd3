-- Answers to requests with an Idempotency-Key, for the day in which a repeated one gets the same answer again.
-- `digest` is of caller and key, `request` of what was sent; status and answer are null while it is being made.

CREATE TABLE audit_answer (
  digest bytea PRIMARY KEY,
  request bytea NOT NULL,
  status smallint,
  answer text,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_answer_created_at ON audit_answer (created_at);
