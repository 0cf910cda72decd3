-- What a tenant's unit of work does with its keys, members and invitations. No tenant's role may write these tables.
-- It calls what stands here: each function takes the tenant from the role of the unit of work, never from who calls,
-- and makes one kind of change. What is not offered (a later expiry, other scopes, a revoked key back) cannot be had.
-- They answer in one word, since a refusal is a matter for the API, not an error of the database.

-- The role as it was set, which a function with its owner's rights still sees; nobody's for the platform in a tenant.
CREATE FUNCTION guard.own_tenant() RETURNS uuid LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  own uuid := shared.tenant_of(current_setting('role')::name);
BEGIN
  IF own IS NULL THEN
    RAISE EXCEPTION 'This is for the unit of work of a tenant' USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN own;
END $$;

-- Who acts, as entries of this unit of work say: type, id, label.
CREATE FUNCTION guard.acting() RETURNS text[] LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT ARRAY[c ->> 0, left(c ->> 1, 255), left(c ->> 2, 255)]
    FROM (SELECT (current_setting('daybook.context')::jsonb) -> 'actor' AS c) AS said
$$;

CREATE FUNCTION guard.issue_key(name text, prefix text, digest bytea, scopes text[], expires_at timestamptz)
RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = shared, pg_temp AS $$
DECLARE
  by_whom text[] := guard.acting();
  made uuid;
BEGIN
  INSERT INTO tenants_apikey (tenant_id, name, prefix, digest, scopes, expires_at, created_by_type, created_by_id,
                              created_by_label)
  VALUES (guard.own_tenant(), name, prefix, digest, scopes, expires_at, by_whom[1], by_whom[2], by_whom[3])
  RETURNING id INTO made;
  RETURN made;
END $$;

-- A key in the place of another, of the same name and scopes; both work for the overlap, if the old one lasts so long.
-- Without an expiry of its own the new one lives as long as the old one was made for. NULL: the old one is not in use.
CREATE FUNCTION guard.rotate_key(old_key uuid, prefix text, digest bytea, expires_at timestamptz, overlap interval)
RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = shared, pg_temp AS $$
DECLARE
  old tenants_apikey;
  made uuid;
BEGIN
  SELECT * INTO old FROM tenants_apikey k
   WHERE k.id = old_key AND k.tenant_id = guard.own_tenant() AND k.revoked_at IS NULL AND k.replaced_by_id IS NULL
     AND coalesce(k.expires_at > now(), true)
     FOR UPDATE;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  made := guard.issue_key(old.name, prefix, digest, old.scopes,
                          coalesce(expires_at, CASE WHEN old.expires_at IS NOT NULL THEN
                            -- The end of what a program's calendar has.
                            least(now() + (old.expires_at - old.created_at), '9999-12-31 23:59:59+00') END));
  UPDATE tenants_apikey k SET replaced_by_id = made, expires_at = least(k.expires_at, now() + overlap)
   WHERE k.id = old.id;
  RETURN made;
END $$;

-- Returns whether it was in use, or could have been.
CREATE FUNCTION guard.revoke_key(old_key uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = shared, pg_temp AS $$
BEGIN
  UPDATE tenants_apikey k SET revoked_at = now()
   WHERE k.id = old_key AND k.tenant_id = guard.own_tenant() AND k.revoked_at IS NULL;
  RETURN FOUND;
END $$;

-- Another role for a member or, with NULL, none: the membership of now ends, the next one begins. The tenant's row is
-- locked, so that of two owners who go at once the second finds that he is the last.
CREATE FUNCTION guard.change_member(person uuid, new_role text, by_owner boolean, OUT said text, OUT old_role text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = shared, pg_temp AS $$
DECLARE
  own uuid := guard.own_tenant();
BEGIN
  PERFORM FROM tenants_tenant t WHERE t.id = own FOR NO KEY UPDATE;
  SELECT m.role INTO old_role FROM tenants_membership m
   WHERE m.tenant_id = own AND m.user_id = person AND m.ended_at IS NULL;
  said := CASE
    WHEN old_role IS NULL THEN 'unknown'
    WHEN old_role IS NOT DISTINCT FROM new_role THEN 'same'
    WHEN 'owner' IN (old_role, new_role) AND NOT by_owner THEN 'owners_only'
    WHEN old_role = 'owner' AND NOT EXISTS (
      SELECT FROM tenants_membership m JOIN tenants_user u ON u.id = m.user_id AND u.is_active
       WHERE m.tenant_id = own AND m.role = 'owner' AND m.user_id <> person AND m.ended_at IS NULL) THEN 'last_owner'
    ELSE 'changed' END;
  IF said <> 'changed' THEN
    RETURN;
  END IF;
  UPDATE tenants_membership m SET ended_at = now()
   WHERE m.tenant_id = own AND m.user_id = person AND m.ended_at IS NULL;
  IF new_role IS NOT NULL THEN
    INSERT INTO tenants_membership (tenant_id, user_id, role) VALUES (own, person, new_role);
  END IF;
  -- Whom he has invited while he was trusted to is not let in any more.
  IF new_role IS NULL OR new_role NOT IN ('owner', 'admin') THEN
    UPDATE tenants_invitation i SET withdrawn_at = now()
     WHERE i.tenant_id = own AND i.created_by_type = 'user' AND i.created_by_id = person::text
       AND i.accepted_at IS NULL AND i.withdrawn_at IS NULL AND i.expires_at > now();
  END IF;
END $$;

-- An invitation for a week; an earlier one of the same address is withdrawn.
CREATE FUNCTION guard.invite(address text, as_role text) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = shared, pg_temp AS $$
DECLARE
  own uuid := guard.own_tenant();
  by_whom text[] := guard.acting();
  made uuid;
BEGIN
  PERFORM FROM tenants_tenant t WHERE t.id = own FOR NO KEY UPDATE;
  UPDATE tenants_invitation i SET withdrawn_at = now()
   WHERE i.tenant_id = own AND i.email = lower(address) AND i.accepted_at IS NULL AND i.withdrawn_at IS NULL;
  INSERT INTO tenants_invitation (tenant_id, email, role, expires_at, created_by_type, created_by_id, created_by_label)
  VALUES (own, lower(address), as_role, now() + interval '7 days', by_whom[1], by_whom[2], by_whom[3])
  RETURNING id INTO made;
  RETURN made;
END $$;

-- Returns whether it was still open.
CREATE FUNCTION guard.withdraw_invitation(invitation uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = shared, pg_temp AS $$
BEGIN
  UPDATE tenants_invitation i SET withdrawn_at = now()
   WHERE i.id = invitation AND i.tenant_id = guard.own_tenant() AND i.accepted_at IS NULL AND i.withdrawn_at IS NULL;
  RETURN FOUND;
END $$;

REVOKE ALL ON FUNCTION guard.own_tenant, guard.acting, guard.issue_key, guard.rotate_key, guard.revoke_key,
  guard.change_member, guard.invite, guard.withdraw_invitation FROM PUBLIC;
GRANT EXECUTE ON FUNCTION guard.issue_key, guard.rotate_key, guard.revoke_key, guard.change_member, guard.invite,
  guard.withdraw_invitation TO "{tenant}";
