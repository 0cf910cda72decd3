-- The identity provider of a tenant: the tenant sees its own, changes it by a function, and the gate reads it.

CALL guard.wall('shared.tenants_identityprovider', 'tenant_id = (SELECT shared.tenant_of(current_user))');

CREATE FUNCTION gate.identity_provider(wanted_tenant uuid)
RETURNS TABLE (issuer text, audience text, algorithms text[], role_claim text, roles jsonb, default_role text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = shared, pg_temp AS $$
  SELECT p.issuer, p.audience, p.algorithms, p.role_claim, p.roles, p.default_role
    FROM tenants_identityprovider AS p WHERE p.tenant_id = wanted_tenant
$$;
REVOKE ALL ON FUNCTION gate.identity_provider FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gate.identity_provider TO "{app}";

-- The tenant is the one whose role the unit of work has: nobody names it.
CREATE FUNCTION guard.set_identity_provider(
  issuer text, audience text, algorithms text[], role_claim text, roles jsonb, default_role text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = shared, pg_temp AS $$
DECLARE
  own uuid := shared.tenant_of(current_setting('role')::name);
BEGIN
  IF own IS NULL OR algorithms = '{}' OR NOT algorithms <@ ARRAY['RS256', 'ES256', 'EdDSA']
     OR NOT (default_role IN ('', 'admin', 'auditor', 'member'))
     OR EXISTS (SELECT FROM jsonb_each_text(roles) AS r WHERE r.value NOT IN ('admin', 'auditor', 'member')) THEN
    RAISE insufficient_privilege USING MESSAGE = 'no tenant may set such an identity provider';
  END IF;
  INSERT INTO tenants_identityprovider VALUES (own, issuer, audience, algorithms, role_claim, roles, default_role)
  ON CONFLICT (tenant_id) DO UPDATE SET issuer = excluded.issuer, audience = excluded.audience,
    algorithms = excluded.algorithms, role_claim = excluded.role_claim, roles = excluded.roles,
    default_role = excluded.default_role, changed_at = now();
END $$;

CREATE FUNCTION guard.remove_identity_provider() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = shared, pg_temp AS $$
BEGIN
  DELETE FROM tenants_identityprovider WHERE tenant_id = shared.tenant_of(current_setting('role')::name);
  RETURN FOUND;
END $$;
REVOKE ALL ON FUNCTION guard.set_identity_provider, guard.remove_identity_provider FROM PUBLIC;
GRANT EXECUTE ON FUNCTION guard.set_identity_provider, guard.remove_identity_provider TO "{tenant}";
