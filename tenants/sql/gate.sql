-- The gate: what the login role may call before a tenant is known, and nothing else.
-- SECURITY DEFINER, so nobody needs rights on hosts, keys, credentials and sessions.

CREATE FUNCTION gate.host(host text)
RETURNS TABLE (id uuid, slug text, name text, schema_name text, shard text, status text, login text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = shared, pg_temp AS $$
  SELECT t.id, t.slug, t.name, t.schema_name, t.shard, t.status, t.login
    FROM tenants_domain d JOIN tenants_tenant t ON t.id = d.tenant_id WHERE d.domain = host
$$;

CREATE FUNCTION gate.tenant(wanted text)
RETURNS TABLE (id uuid, slug text, name text, schema_name text, shard text, status text, login text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = shared, pg_temp AS $$
  SELECT t.id, t.slug, t.name, t.schema_name, t.shard, t.status, t.login FROM tenants_tenant t WHERE t.slug = wanted
$$;

-- The last use is kept to the minute, so that a busy key does not make a busy row.
CREATE FUNCTION gate.key(key_digest bytea)
RETURNS TABLE (id uuid, name text, scopes text[], valid boolean, tenant_id uuid, slug text, tenant_name text,
               schema_name text, shard text, status text, login text, user_id uuid, email text, staff_role text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = shared, pg_temp AS $$
BEGIN
  UPDATE tenants_apikey k SET last_used_at = now()
   WHERE k.digest = key_digest AND k.revoked_at IS NULL AND coalesce(k.expires_at > now(), true)
     AND coalesce(k.last_used_at < now() - interval '1 minute', true);
  RETURN QUERY
  SELECT k.id, k.name::text, k.scopes::text[], k.revoked_at IS NULL AND coalesce(k.expires_at > now(), true)
           AND coalesce(u.is_active, true),
         t.id, t.slug::text, t.name::text, t.schema_name::text, t.shard::text, t.status::text, t.login::text,
         u.id, u.email::text, u.staff_role::text
    FROM tenants_apikey k LEFT JOIN tenants_tenant t ON t.id = k.tenant_id LEFT JOIN tenants_user u ON u.id = k.user_id
   WHERE k.digest = key_digest;
END $$;

-- A person with his credential and his role in the tenant (NULL on the platform host or when he is no member).
CREATE FUNCTION gate.person(wanted_id uuid, wanted_email text, wanted_tenant uuid)
RETURNS TABLE (id uuid, email text, name text, is_active boolean, staff_role text, password text, role text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = shared, pg_temp AS $$
  SELECT u.id, u.email, u.name, u.is_active, u.staff_role, coalesce(c.password, ''), m.role
    FROM tenants_user u LEFT JOIN tenants_credential c ON c.user_id = u.id
    LEFT JOIN tenants_membership m ON m.user_id = u.id AND m.tenant_id = wanted_tenant AND m.ended_at IS NULL
   WHERE u.id = wanted_id OR u.email = lower(wanted_email)
$$;

-- Whether somebody of a tenant (a person, a key) still is: the tenant, and his role or the key's scopes of now.
CREATE FUNCTION gate.maker(wanted_tenant uuid, kind text, key_id uuid)
RETURNS TABLE (id uuid, slug text, name text, schema_name text, shard text, status text, login text,
               label text, role text, scopes text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = shared, pg_temp AS $$
  SELECT t.id, t.slug, t.name, t.schema_name, t.shard, t.status, t.login, coalesce(u.email, k.name), m.role, k.scopes::text[]
    FROM tenants_tenant t
    LEFT JOIN (tenants_membership m JOIN tenants_user u ON u.id = m.user_id AND u.is_active)
           ON kind = 'user' AND m.tenant_id = t.id AND m.user_id = key_id AND m.ended_at IS NULL
    LEFT JOIN tenants_apikey k ON kind = 'api_key' AND k.tenant_id = t.id AND k.id = key_id AND k.revoked_at IS NULL
          AND coalesce(k.expires_at > now(), true)
   WHERE t.id = wanted_tenant
$$;

CREATE FUNCTION gate.signed_in(person uuid, new_password text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = shared, pg_temp AS $$
  UPDATE tenants_credential SET last_login = now(), password = coalesce(new_password, password) WHERE user_id = person
$$;

CREATE FUNCTION gate.load_session(key_digest bytea) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = shared, pg_temp AS $$
  SELECT data FROM tenants_session WHERE digest = key_digest AND expires_at > now()
$$;

-- A session that was read before is not made anew: one that was ended meanwhile stays ended. Returns whether it is there.
CREATE FUNCTION gate.save_session(key_digest bytea, content text, expiry timestamptz, fresh boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = shared, pg_temp AS $$
BEGIN
  IF fresh THEN
    INSERT INTO tenants_session (digest, data, expires_at) VALUES (key_digest, content, expiry)
    ON CONFLICT (digest) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at;
  ELSE
    UPDATE tenants_session SET data = content, expires_at = expiry WHERE digest = key_digest;
  END IF;
  RETURN FOUND;
END $$;

CREATE FUNCTION gate.end_session(key_digest bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = shared, pg_temp AS $$
  DELETE FROM tenants_session WHERE digest = key_digest
$$;

CREATE FUNCTION gate.clear_sessions() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = shared, pg_temp AS $$
  DELETE FROM tenants_session WHERE expires_at <= now()
$$;

CREATE FUNCTION gate.ready() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = shared, pg_temp AS $$
  SELECT count(*) FROM django_migrations
$$;

-- What the platform does with people beyond its rights on tables: nobody reads or writes credentials.
-- (guard.delete_person stands in accounts.sql, after the tables that it clears.)
CREATE FUNCTION guard.set_password(person uuid, new_password text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = shared, pg_temp AS $$
  INSERT INTO tenants_credential (user_id, password) VALUES (person, new_password)
  ON CONFLICT (user_id) DO UPDATE SET password = excluded.password
$$;

REVOKE ALL ON FUNCTION guard.set_password FROM PUBLIC;
GRANT EXECUTE ON FUNCTION guard.set_password TO "{platform}";

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA gate FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA gate TO "{app}";
