-- Plans are for everyone to read, a subscription for its own tenant; the platform log for the platform alone.

CALL guard.wall('shared.subscriptions_plan', 'true');
CALL guard.wall('shared.subscriptions_tenantsubscription', 'tenant_id = (SELECT shared.tenant_of(current_user))');
CALL guard.wall('shared.platform_log', NULL);
CALL guard.wall('shared.platform_user_agent', NULL);
CALL guard.wall('shared.platform_log_position', NULL);
CALL guard.wall('shared.platform_log_words', NULL);

GRANT SELECT, INSERT, UPDATE ON shared.subscriptions_plan, shared.subscriptions_tenantsubscription TO "{platform}";
GRANT INSERT (user_agent), SELECT ON shared.platform_user_agent TO "{platform}";
GRANT SELECT, INSERT ON shared.platform_log TO "{platform}";
GRANT SELECT ON shared.platform_log_position, shared.platform_log_words TO "{platform}";
CREATE INDEX platform_log_tenant ON shared.platform_log (tenant_id, id);

-- The guard clears pointers to deleted users.
CREATE POLICY guard ON shared.platform_log TO "{guard}" USING (true) WITH CHECK (true);
GRANT USAGE ON SCHEMA shared TO "{guard}";
GRANT SELECT, UPDATE (user_id) ON shared.platform_log TO "{guard}";

-- Whether the unit of work names a reason for reading the trail of the tenant that a table is of: an entry of the
-- platform log, committed before (so that no rollback takes it back) and not long ago. Policies ask it
-- (audit/sql/rights.sql): without a recorded reason the auditor sees nothing.
CREATE FUNCTION guard.reason_given(trail regclass) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (
    SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
      JOIN shared.tenants_tenant AS t ON t.schema_name = n.nspname
      JOIN shared.platform_log AS p ON p.tenant_id = t.id
     WHERE c.oid = trail
       AND p.id = (nullif(current_setting('daybook.context', true), '')::jsonb ->> 'reason')::uuid
       AND p.action = 'trail.read' AND p.outcome = 'success' AND p.description <> ''
       AND p.id > guard.first_id(transaction_timestamp() - interval '10 minutes')
       AND p.transaction_id IS DISTINCT FROM pg_current_xact_id_if_assigned()::text::bigint)
$$;
REVOKE ALL ON FUNCTION guard.reason_given FROM PUBLIC;
GRANT EXECUTE ON FUNCTION guard.reason_given TO "{auditor}";

-- Lets the auditor read these tables of the current schema where a reason was given, and the tenant do what it may.
CREATE PROCEDURE guard.for_a_reason(VARIADIC tables text[]) LANGUAGE plpgsql AS $$
DECLARE
  table_name text;
BEGIN
  FOREACH table_name IN ARRAY tables LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
    EXECUTE format('CREATE POLICY tenant ON %I TO "{tenant}" USING (true) WITH CHECK (true)', table_name);
    EXECUTE format('CREATE POLICY read ON %I FOR SELECT TO "{auditor}" USING ('
                   '(SELECT guard.reason_given(%L::regclass)))', table_name, table_name);
    EXECUTE format('GRANT SELECT ON %I TO "{auditor}"', table_name);
  END LOOP;
END $$;
REVOKE ALL ON PROCEDURE guard.for_a_reason FROM PUBLIC;
