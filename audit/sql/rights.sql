-- Who may do what with the tables of a tenant's schema. Nobody may change or delete an entry.

CALL guard.allow('SELECT, INSERT', 'audit_log', 'usage_log');
-- Not the number: whoever could choose it would make the next entries fail.
CALL guard.allow('SELECT, INSERT (user_agent)', 'audit_user_agent');
-- Positions and words are written by the gate's functions alone.
CALL guard.allow('SELECT', 'audit_log_position', 'audit_log_words');
-- Keys and answers that have expired are forgotten.
CALL guard.allow('SELECT, INSERT, UPDATE, DELETE', 'audit_key', 'audit_answer');
CALL guard.allow('SELECT, INSERT, UPDATE', 'audit_event_type', 'audit_event_policy');
CALL guard.allow('SELECT, INSERT (name, version, metadata_schema)', 'audit_event_schema');
CALL guard.allow('SELECT, INSERT, UPDATE', 'audit_export');
GRANT SELECT, UPDATE (user_id) ON audit_log TO "{guard}";
GRANT SELECT, INSERT ON audit_log TO "{auditor}";

-- The auditor is the platform within a tenant: it appends, and sees what its own transaction wrote. All else it
-- sees in a unit of work that names its reason, an entry of the platform log that is committed already. The schema is
-- the tenant's wall; row security is for the auditor alone.
ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit_log TO "{tenant}" USING (true) WITH CHECK (true);
CREATE POLICY guard ON audit_log TO "{guard}" USING (true) WITH CHECK (true);
CREATE POLICY append ON audit_log FOR INSERT TO "{auditor}" WITH CHECK (true);
CREATE POLICY read ON audit_log FOR SELECT TO "{auditor}" USING (
  transaction_id = (SELECT pg_current_xact_id_if_assigned()::text::bigint)
  AND id >= (SELECT guard.first_id(transaction_timestamp() - interval '2 seconds'))
  OR (SELECT guard.reason_given('audit_log'::regclass)));

-- What belongs to entries: the dictionary of user agents, positions, words, and how a type of entry is told.
CALL guard.for_a_reason('audit_user_agent', 'audit_log_position', 'audit_log_words', 'audit_event_type');
