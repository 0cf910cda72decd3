-- Row-level security of the shared tables, keyed on the role of the unit of work.
-- FORCE also binds the owner, so each table has a policy for him: without it migrations and the gate see nothing.

CREATE FUNCTION shared.tenant_of(role name) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN role::text ~ '_t_[0-9a-f]{32}$' THEN right(role::text, 32)::uuid END;

CREATE PROCEDURE guard.wall(target regclass, visible text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
  EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
  EXECUTE format('CREATE POLICY owner ON %s TO %I USING (true) WITH CHECK (true)', target, '{owner}');
  EXECUTE format('CREATE POLICY platform ON %s TO %I USING (true) WITH CHECK (true)', target, '{platform}');
  IF visible IS NOT NULL THEN
    EXECUTE format('CREATE POLICY tenant ON %s FOR SELECT TO %I USING (%s)', target, '{tenant}', visible);
    EXECUTE format('GRANT SELECT ON %s TO %I', target, '{tenant}');
  END IF;
END $$;
REVOKE ALL ON PROCEDURE guard.wall FROM PUBLIC;

-- What the role of the tenant whose schema comes first in the path may do with its tables. Migrations of tenants'
-- applications say it beside each table; in a schema that is no tenant's it grants nothing.
CREATE PROCEDURE guard.allow(rights text, VARIADIC tables text[]) LANGUAGE plpgsql AS $$
DECLARE
  role_name text;
  table_name text;
BEGIN
  SELECT '{prefix}_t_' || translate(id::text, '-', '') INTO role_name FROM shared.tenants_tenant
   WHERE schema_name = current_schema();
  IF NOT FOUND THEN
    RETURN;
  END IF;
  FOREACH table_name IN ARRAY tables LOOP
    EXECUTE format('GRANT %s ON %I TO %I', rights, table_name, role_name);
  END LOOP;
END $$;
REVOKE ALL ON PROCEDURE guard.allow FROM PUBLIC;

CALL guard.wall('shared.tenants_tenant', 'id = (SELECT shared.tenant_of(current_user))');
CALL guard.wall('shared.tenants_domain', 'tenant_id = (SELECT shared.tenant_of(current_user))');
CALL guard.wall('shared.tenants_membership', 'tenant_id = (SELECT shared.tenant_of(current_user))');
CALL guard.wall('shared.tenants_invitation', 'tenant_id = (SELECT shared.tenant_of(current_user))');
CALL guard.wall('shared.tenants_apikey', 'tenant_id = (SELECT shared.tenant_of(current_user))');
-- A tenant sees those who belong to it or once did: the membership's own wall applies inside this policy.
CALL guard.wall('shared.tenants_user', 'EXISTS (SELECT FROM shared.tenants_membership AS m WHERE m.user_id = tenants_user.id)');
-- Of a key everything may be seen but the digest, which the gate alone compares.
REVOKE SELECT ON shared.tenants_apikey FROM "{tenant}";
GRANT SELECT (id, tenant_id, user_id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at,
              replaced_by_id, created_by_type, created_by_id, created_by_label)
  ON shared.tenants_apikey TO "{tenant}", "{platform}";
CALL guard.wall('shared.tenants_credential', NULL);
CALL guard.wall('shared.tenants_session', NULL);
-- The migrator's own: for the owner alone.
CALL guard.wall('shared.tenants_tenantmigration', NULL);
CALL guard.wall('shared.tenants_schematemplate', NULL);

GRANT SELECT, INSERT, UPDATE ON shared.tenants_tenant, shared.tenants_domain, shared.tenants_user,
  shared.tenants_membership TO "{platform}";
GRANT INSERT, UPDATE ON shared.tenants_apikey TO "{platform}";
-- The platform accepts for who was invited, and changes nothing else of an invitation.
GRANT SELECT, UPDATE (accepted_at) ON shared.tenants_invitation TO "{platform}";
