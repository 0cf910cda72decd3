-- Which tenants have work that waits, so that who does it need not visit each of thousands. Loaded once.

CREATE TABLE shared.audit_due (
  work text NOT NULL,
  tenant_id uuid NOT NULL,
  due_at timestamptz NOT NULL,
  PRIMARY KEY (work, tenant_id)
);
CREATE INDEX audit_due_due_at ON shared.audit_due (work, due_at);
CALL guard.wall('shared.audit_due', NULL);

-- Of a tenant's table of jobs, which has a column `due_at`: keeps when the first of them is due. The row is locked before
-- the jobs are read: of two transactions that change some, the second one reads what the first has committed.
CREATE FUNCTION guard.note_due() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  tenant uuid;
  first timestamptz;
BEGIN
  SELECT t.id INTO tenant FROM shared.tenants_tenant AS t WHERE t.schema_name = TG_TABLE_SCHEMA;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  INSERT INTO shared.audit_due AS d VALUES (TG_TABLE_NAME, tenant, 'infinity')
  ON CONFLICT (work, tenant_id) DO UPDATE SET due_at = d.due_at;
  EXECUTE format('SELECT min(due_at) FROM %I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME) INTO first;
  IF first IS NULL THEN
    DELETE FROM shared.audit_due WHERE work = TG_TABLE_NAME AND tenant_id = tenant;
  ELSE
    UPDATE shared.audit_due SET due_at = first WHERE work = TG_TABLE_NAME AND tenant_id = tenant;
  END IF;
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION guard.note_due FROM PUBLIC;

-- The tenants in whose tables of this name something is due, those that have waited longest first.
CREATE FUNCTION gate.due(wanted text)
RETURNS TABLE (id uuid, slug text, name text, schema_name text, shard text, status text, login text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = shared, pg_temp AS $$
  SELECT t.id, t.slug, t.name, t.schema_name, t.shard, t.status, t.login
    FROM audit_due AS d JOIN tenants_tenant AS t ON t.id = d.tenant_id
   WHERE d.work = wanted AND d.due_at <= now() ORDER BY d.due_at LIMIT 1000
$$;
REVOKE ALL ON FUNCTION gate.due FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gate.due TO "{app}";
