-- What keeps a trail as it was written. Loaded once, into the schema `guard`.
-- The triggers name the schema of every function, operator and type: they run under the search_path of whoever
-- writes, and one that puts operators of his own first must not answer for them. (A SET clause would cost more.)

-- UUIDv7 of one clock reading: milliseconds in the first 48 bits, the microseconds in the next 12 as a
-- fraction of 4096 (as PostgreSQL's own uuidv7() does). That one is not used, since after a clock has been set
-- back it goes on from the old time, and the check below would refuse every entry until then.
CREATE FUNCTION guard.new_id() RETURNS uuid LANGUAGE plpgsql VOLATILE PARALLEL SAFE AS $$
DECLARE
  micros bigint := extract(epoch FROM clock_timestamp()) * 1000000;
BEGIN
  RETURN overlay(gen_random_uuid()::text PLACING
    overlay(lpad(to_hex(micros / 1000), 12, '0') PLACING '-' FROM 9 FOR 0)
    || '-7' || lpad(to_hex((micros % 1000 * 4096 + 999) / 1000), 3, '0') FROM 1 FOR 18)::uuid;
END $$;

-- An id says when: created_at is computed from it. So a false id is a false time, and is refused. Pollers go by the
-- transaction: a false one would hide the entry from them. One expression, since it is asked for each row.
CREATE FUNCTION guard.check_id() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (pg_catalog.uuid_extract_version(NEW.id) OPERATOR(pg_catalog.=) 7
      AND pg_catalog.uuid_extract_timestamp(NEW.id) OPERATOR(pg_catalog.>=)
          (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) interval '1 second')
      AND pg_catalog.uuid_extract_timestamp(NEW.id) OPERATOR(pg_catalog.<=)
          (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) interval '1 second')
      AND NEW.transaction_id OPERATOR(pg_catalog.=) pg_catalog.pg_current_xact_id()::pg_catalog.text::bigint) THEN
    RETURN NEW;
  END IF;
  IF NEW.transaction_id OPERATOR(pg_catalog.<>) pg_catalog.pg_current_xact_id()::pg_catalog.text::bigint THEN
    RAISE EXCEPTION 'The entry says transaction %, which is not its own; leave it to the database', NEW.transaction_id
      USING ERRCODE = 'restrict_violation';
  END IF;
  RAISE EXCEPTION 'The id % does not say the time of now; leave the id to the database', NEW.id
    USING ERRCODE = 'restrict_violation';
END $$;

-- The same of an entry, which also names one actor and one resource, each in one column, and points to its actor or to
-- nobody; and that a row was changed is told by the triggers alone, which run as the owner. No CHECK constraints: PostgreSQL parses and prepares those anew for every INSERT, which takes longer than
-- to write the entry; what a function has prepared is kept.
CREATE FUNCTION guard.check_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (pg_catalog.uuid_extract_version(NEW.id) OPERATOR(pg_catalog.=) 7
      AND pg_catalog.uuid_extract_timestamp(NEW.id) OPERATOR(pg_catalog.>=)
          (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) interval '1 second')
      AND pg_catalog.uuid_extract_timestamp(NEW.id) OPERATOR(pg_catalog.<=)
          (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) interval '1 second')
      AND NEW.transaction_id OPERATOR(pg_catalog.=) pg_catalog.pg_current_xact_id()::pg_catalog.text::bigint
      AND (NEW.actor_uuid IS NULL) OPERATOR(pg_catalog.<>) (NEW.actor_key IS NULL)
      AND (NEW.resource_uuid IS NULL) OPERATOR(pg_catalog.<>) (NEW.resource_key IS NULL)
      AND coalesce(NEW.user_id OPERATOR(pg_catalog.=) NEW.actor_uuid, NEW.user_id IS NULL)
      AND (NOT NEW.captured OR current_user OPERATOR(pg_catalog.=) '{owner}')) THEN
    RETURN NEW;
  END IF;
  IF NEW.transaction_id OPERATOR(pg_catalog.<>) pg_catalog.pg_current_xact_id()::pg_catalog.text::bigint THEN
    RAISE EXCEPTION 'The entry says transaction %, which is not its own; leave it to the database', NEW.transaction_id
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF (NEW.actor_uuid IS NULL) OPERATOR(pg_catalog.=) (NEW.actor_key IS NULL)
     OR (NEW.resource_uuid IS NULL) OPERATOR(pg_catalog.=) (NEW.resource_key IS NULL)
     OR NEW.user_id IS NOT NULL AND (NEW.user_id OPERATOR(pg_catalog.=) NEW.actor_uuid) IS NOT TRUE THEN
    RAISE EXCEPTION 'An entry names one actor and one resource, each in one column, and points to its actor or to nobody'
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF NEW.captured AND current_user OPERATOR(pg_catalog.<>) '{owner}' THEN
    RAISE EXCEPTION 'Only the triggers of captured tables write entries of changed rows'
      USING ERRCODE = 'restrict_violation';
  END IF;
  RAISE EXCEPTION 'The id % does not say the time of now; leave the id to the database', NEW.id
    USING ERRCODE = 'restrict_violation';
END $$;

-- The one change that exists: the guard's function clears the pointer to a deleted user, which is no evidence.
CREATE FUNCTION guard.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP OPERATOR(pg_catalog.=) 'UPDATE' AND TG_NARGS OPERATOR(pg_catalog.=) 1
     AND current_user OPERATOR(pg_catalog.=) '{guard}' THEN
    OLD.user_id := NULL;
    -- The same bytes: `=` would take a jsonb 1.0 for 1.00.
    IF NEW OPERATOR(pg_catalog.*=) OLD THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'Entries are never changed: % of % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

-- Guards of one trail: on the table, and on a partition once it exists (TRUNCATE triggers are not cloned).
CREATE PROCEDURE guard.protect(target regclass, pointer boolean) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TRIGGER check_id BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION guard.%s()',
                 target, CASE WHEN pointer THEN 'check_entry' ELSE 'check_id' END);
  EXECUTE format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION guard.refuse_change(%s)',
                 target, CASE WHEN pointer THEN '''user_id''' ELSE '' END);
  EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER check_id, ENABLE ALWAYS TRIGGER refuse_change', target);
  CALL guard.protect_truncate(target);
END $$;

CREATE PROCEDURE guard.protect_truncate(target regclass) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON %s EXECUTE FUNCTION guard.refuse_change()', target);
  EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER refuse_truncate', target);
END $$;

-- The least id of a moment's millisecond.
CREATE FUNCTION guard.first_id(moment timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN rpad(lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0'), 32, '0')::uuid;

-- One month (in UTC) of a trail as a partition of its own, guarded as the trail is. The month must be to come:
-- PostgreSQL refuses a range that the default partition has rows of.
CREATE PROCEDURE guard.add_partition(trail regclass, month date) LANGUAGE plpgsql AS $$
DECLARE
  first timestamp := date_trunc('month', month);
  part text;
  name text;
BEGIN
  SELECT format('%I.%I', nspname, relname || to_char(first, '_YYYY_MM')), relname INTO part, name
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE pg_class.oid = trail;
  EXECUTE format('CREATE TABLE %s PARTITION OF %s FOR VALUES FROM (%L) TO (%L)', part, trail,
                 guard.first_id(first AT TIME ZONE 'UTC'), guard.first_id((first + interval '1 month') AT TIME ZONE 'UTC'));
  CALL guard.protect_truncate(part::regclass);
  IF to_regclass(trail::text || '_position') IS NOT NULL THEN
    CALL guard.note(part::regclass, name);
  END IF;
END $$;

-- people.delete_user calls this for each tenant that the person ever belonged to. The index on actors finds the
-- entries, since `user_id` is set for people only, and then equals the actor's id.
CREATE FUNCTION guard.clear_user(schema_name text, trail text, person uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  cleared bigint;
BEGIN
  EXECUTE format('UPDATE %I.%I SET user_id = NULL WHERE user_id = $1
                     AND hashtextextended(coalesce(actor_uuid::text, actor_key), 0) = hashtextextended($1::text, 0)', schema_name, trail)
    USING person;
  GET DIAGNOSTICS cleared = ROW_COUNT;
  RETURN cleared;
END $$;

REVOKE ALL ON PROCEDURE guard.protect, guard.protect_truncate, guard.add_partition FROM PUBLIC;
REVOKE ALL ON FUNCTION guard.clear_user FROM PUBLIC;
GRANT EXECUTE ON FUNCTION guard.clear_user TO "{platform}";
ALTER FUNCTION guard.clear_user OWNER TO "{guard}";
