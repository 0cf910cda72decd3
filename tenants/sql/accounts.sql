-- The pages of accounts (sign-in, reset, second factor, sessions) run as a role of their own. It sees those people who
-- may enter the side that its unit of work names, what is theirs in these tables, and nothing else: no trail, no
-- credential, no session's contents. No tenant's role sees anything of it.

-- Whether a person may enter the side of this unit of work. Policies ask it, with the owner's eyes.
CREATE FUNCTION guard.of_this_side(person uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = shared, pg_temp AS $$
  SELECT CASE side
    WHEN 'platform' THEN EXISTS (SELECT FROM tenants_user AS u WHERE u.id = person AND u.staff_role <> '')
    ELSE EXISTS (SELECT FROM tenants_membership AS m
                  WHERE m.user_id = person AND m.tenant_id::text = side AND m.ended_at IS NULL) END
    FROM (SELECT nullif(current_setting('daybook.context', true), '')::jsonb ->> 'side') AS said (side)
$$;
REVOKE ALL ON FUNCTION guard.of_this_side FROM PUBLIC;
GRANT EXECUTE ON FUNCTION guard.of_this_side TO "{account}";

CREATE POLICY account_reads ON shared.tenants_user FOR SELECT TO "{account}" USING (guard.of_this_side(id));
CREATE POLICY account_changes ON shared.tenants_user FOR UPDATE TO "{account}"
  USING (guard.of_this_side(id)) WITH CHECK (guard.of_this_side(id));
GRANT SELECT, UPDATE (email) ON shared.tenants_user TO "{account}";

CREATE PROCEDURE guard.wall_of_accounts(target regclass) LANGUAGE plpgsql AS $$
BEGIN
  CALL guard.wall(target, NULL);
  EXECUTE format('CREATE POLICY account ON %s TO %I USING (guard.of_this_side(user_id)) WITH CHECK (guard.of_this_side(user_id))',
                 target, '{account}');
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %I', target, '{account}');
END $$;
REVOKE ALL ON PROCEDURE guard.wall_of_accounts FROM PUBLIC;

CALL guard.wall_of_accounts('shared.account_emailaddress');
CALL guard.wall_of_accounts('shared.mfa_authenticator');
CALL guard.wall_of_accounts('shared.usersessions_usersession');
-- Confirmations are signed links: nobody writes this table, or reads it.
CALL guard.wall('shared.account_emailconfirmation', NULL);

ALTER TABLE shared.tenants_attempt SET UNLOGGED;
CALL guard.wall('shared.tenants_attempt', NULL);
CREATE POLICY account ON shared.tenants_attempt TO "{account}" USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON shared.tenants_attempt TO "{account}";

-- Of the gate: who is this person, is this session there, keep it, end it.
GRANT EXECUTE ON FUNCTION gate.person, gate.signed_in, gate.load_session, gate.save_session, gate.end_session TO "{account}";

-- The password of somebody who may enter this side; nobody else's.
CREATE FUNCTION guard.change_password(person uuid, new_password text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = shared, pg_temp AS $$
BEGIN
  IF guard.of_this_side(person) IS NOT TRUE THEN
    RAISE insufficient_privilege USING MESSAGE = 'this person does not belong to the side of this unit of work';
  END IF;
  PERFORM guard.set_password(person, new_password);
END $$;
REVOKE ALL ON FUNCTION guard.change_password FROM PUBLIC;
GRANT EXECUTE ON FUNCTION guard.change_password TO "{account}";

-- A person's address is the one in tenants_user, whoever changed it: it is the confirmed one, and a former one opens
-- nothing any more. What is not confirmed is an address that he wants to change to.
CREATE FUNCTION guard.keep_email() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = shared, pg_temp AS $$
BEGIN
  DELETE FROM account_emailaddress WHERE user_id = NEW.id AND email <> NEW.email;
  INSERT INTO account_emailaddress (user_id, email, verified, "primary") VALUES (NEW.id, NEW.email, true, true)
  ON CONFLICT (user_id, email) DO UPDATE SET verified = true, "primary" = true;
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION guard.keep_email FROM PUBLIC;
CREATE TRIGGER keep_email AFTER INSERT OR UPDATE OF email ON shared.tenants_user
  FOR EACH ROW EXECUTE FUNCTION guard.keep_email();

CREATE FUNCTION guard.delete_person(person uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = shared, pg_temp AS $$
  -- The memberships last: by them the tenants are found whose trails are told. (Foreign keys are checked at the end.)
  DELETE FROM tenants_credential WHERE user_id = person;
  DELETE FROM tenants_apikey WHERE user_id = person;
  DELETE FROM account_emailaddress WHERE user_id = person;
  DELETE FROM mfa_authenticator WHERE user_id = person;
  DELETE FROM usersessions_usersession WHERE user_id = person;
  DELETE FROM tenants_user WHERE id = person;
  DELETE FROM tenants_membership WHERE user_id = person;
$$;
REVOKE ALL ON FUNCTION guard.delete_person FROM PUBLIC;
GRANT EXECUTE ON FUNCTION guard.delete_person TO "{platform}";
