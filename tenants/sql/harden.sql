-- Run by `manage.py tenants harden` as a superuser after `unguard.sql`, in one transaction, any number of times. What
-- only a superuser can do: take from PUBLIC what PostgreSQL gives to everybody, and take the guards of the trails out of
-- the owner's hands. docs/security.md says what each part stops. `{names}` are filled in.
-- Nothing here may read or write the owner's relations, or call what the owner wrote, with a superuser's rights: a view,
-- a trigger, an index or a function would run with them. What has to is a function that runs with the owner's, and is
-- called in the owner's sessions alone, since code can wait for the end of a transaction.

-- No tenant is being made meanwhile: what stands now is all there is to register. (A lock runs nobody's code.)
LOCK TABLE shared.tenants_tenant IN SHARE MODE;

-- 1. What a statement of a tenant, the platform or the auditor may call and read. --------------------------------

-- Of the system's own functions named pg_... those alone that look at nothing but the caller's transaction and
-- arguments; of the others none that runs SQL from text, changes a setting, keeps large objects or tells of
-- objects and rights. The owner keeps them. Those and the catalogs that tell of the server are also for pg_monitor,
-- which a superuser grants to those who watch it.
DO $$
DECLARE
  taken text;
BEGIN
  FOR taken IN
    SELECT format('FUNCTION %s', p.oid::regprocedure) FROM pg_proc AS p
     WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f'
       AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) WHERE grantee = 0)
       AND (p.proname ~ '^pg_' AND p.proname NOT IN (
              'pg_current_xact_id', 'pg_current_xact_id_if_assigned', 'pg_current_snapshot', 'pg_snapshot_xmin',
              'pg_snapshot_xmax', 'pg_snapshot_xip', 'pg_visible_in_snapshot', 'pg_advisory_xact_lock',
              'pg_advisory_xact_lock_shared', 'pg_try_advisory_xact_lock', 'pg_try_advisory_xact_lock_shared',
              'pg_advisory_unlock_all', 'pg_backend_pid', 'pg_client_encoding', 'pg_collation_for', 'pg_column_size',
              'pg_input_error_info', 'pg_input_is_valid', 'pg_is_in_recovery', 'pg_size_bytes', 'pg_size_pretty',
              'pg_sleep', 'pg_sleep_for', 'pg_sleep_until', 'pg_trigger_depth', 'pg_typeof')
              AND p.proname !~ '^pg_(lsn|ndistinct|dependencies|mcv_list|snapshot|node_tree|ddl_command)_?(in|out|recv|send|eq|ne|lt|le|gt|ge|cmp|hash.*|larger|smaller|mi|mii|pli)$'
            -- (Of one's own rights on one function the application asks when it connects.)
            OR p.proname ~ '^has_.*_privilege$' AND p.oid <> 'has_function_privilege(text, text)'::regprocedure
            OR p.proname ~ '_to_xml' OR p.proname ~ '^lo_'
            OR p.proname ~ '^binary_upgrade_' OR p.proname ~ '_description$' OR p.proname ~ '^inet_(client|server)_'
            OR p.proname IN ('set_config', 'ts_stat', 'loread', 'lowrite', 'row_security_active', 'currtid2')
            OR p.oid = 'pg_catalog.ts_rewrite(tsquery, text)'::regprocedure)
    UNION ALL
    -- Extensions whose functions take SQL as text or reach other servers.
    SELECT format('FUNCTION %s', p.oid::regprocedure) FROM pg_proc AS p
      JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
      JOIN pg_extension AS e ON e.oid = d.refobjid
     WHERE e.extname IN ('dblink', 'tablefunc', 'xml2', 'postgres_fdw', 'lo', 'pg_stat_statements', 'pgrowlocks', 'plproxy')
       AND p.prokind = 'f' AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) WHERE grantee = 0)
    UNION ALL
    -- Catalogs and views over them: names, sizes, definitions and statistics of other tenants' objects.
    SELECT format('TABLE pg_catalog.%I', c.relname) FROM pg_class AS c
     WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind IN ('r', 'v')
       AND c.relname <> 'pg_subscription' AND EXISTS (SELECT FROM aclexplode(c.relacl) WHERE grantee = 0)
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM PUBLIC', taken);
    EXECUTE format('GRANT %s ON %s TO %I', CASE WHEN taken LIKE 'TABLE%' THEN 'SELECT' ELSE 'EXECUTE' END, taken, '{owner}');
    IF taken ~ '^(TABLE pg_catalog.pg_|FUNCTION pg_)' THEN
      EXECUTE format('GRANT %s ON %s TO pg_monitor', CASE WHEN taken LIKE 'TABLE%' THEN 'SELECT' ELSE 'EXECUTE' END, taken);
    END IF;
  END LOOP;
  -- Of this one everybody might read some columns; another holds passwords of other servers. (Not for the owner: with
  -- rights on columns alone DROP OWNED would fail.)
  REVOKE ALL ON pg_subscription FROM PUBLIC, "{owner}", pg_monitor;
  EXECUTE (SELECT format('GRANT SELECT (%s) ON pg_subscription TO pg_monitor', string_agg(quote_ident(attname), ', '))
             FROM pg_attribute WHERE attrelid = 'pg_subscription'::regclass AND attnum > 0 AND attname <> 'subconninfo');
  -- A block of code (DO) runs SQL from text. (There is none of the language sql.)
  FOR taken IN SELECT lanname FROM pg_language WHERE lanpltrusted AND lanname <> 'sql' LOOP
    EXECUTE format('REVOKE USAGE ON LANGUAGE %I FROM PUBLIC', taken);
    EXECUTE format('GRANT USAGE ON LANGUAGE %I TO %I', taken, '{owner}');
  END LOOP;
END $$;
REVOKE USAGE ON SCHEMA information_schema FROM PUBLIC;
GRANT USAGE ON SCHEMA information_schema TO "{owner}", pg_monitor;

-- 2. The guards belong to the superuser: the owner may call them, not replace them. -------------------------------

-- What nobody but a superuser changes: trails, their partitions, indexes and sequences, the schemas that they stand
-- in, and the functions of the guards. In the transaction that registered it (the one that makes the tenant) the owner may still work on it.
CREATE TABLE guard.protected (
  kind regclass NOT NULL,
  object oid NOT NULL,
  tenant uuid,
  since xid8 NOT NULL DEFAULT pg_current_xact_id(),
  PRIMARY KEY (object, kind)
);
-- Trails that are getting a partition at this moment, by guard.add_partition.
CREATE TABLE guard.growing (trail regclass PRIMARY KEY);

CREATE FUNCTION guard.register(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  place oid := (SELECT relnamespace FROM pg_class WHERE oid = relation);
BEGIN
  INSERT INTO guard.protected (kind, object)
  SELECT 'pg_class'::regclass, relation
  UNION ALL SELECT 'pg_class'::regclass, indexrelid FROM pg_index WHERE indrelid = relation
  UNION ALL SELECT 'pg_class'::regclass, d.objid FROM pg_depend AS d JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
             WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = relation AND d.classid = 'pg_class'::regclass
  ON CONFLICT DO NOTHING;
  IF NOT EXISTS (SELECT FROM guard.protected WHERE object = place AND kind = 'pg_namespace'::regclass) THEN
    -- The tenant is the one whose role may enter the schema: catalogs say it, which nobody writes but by commands.
    INSERT INTO guard.protected (kind, object, tenant)
    SELECT 'pg_namespace'::regclass, place, CASE WHEN count(*) = 1 THEN min(right(r.rolname, 32))::uuid END
      FROM pg_namespace AS n, aclexplode(n.nspacl) AS a JOIN pg_authid AS r ON r.oid = a.grantee
     WHERE n.oid = place AND a.privilege_type = 'USAGE'
       AND left(r.rolname, -32) = '{prefix}_t_' AND right(r.rolname, 32) ~ '^[0-9a-f]+$'
    ON CONFLICT DO NOTHING;
  END IF;
END $$;

-- Refuse a command of anyone but a superuser's session. (The watchers below set the path for what they call.)
CREATE FUNCTION guard.refuse_command(command text, subject text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF NOT (SELECT rolsuper FROM pg_authid WHERE rolname = session_user) THEN
    RAISE EXCEPTION '% is refused: % belongs to a trail or its guards', command, subject
      USING ERRCODE = 'restrict_violation', HINT = 'A migration that has to change it runs between '
        '`manage.py tenants relax --reason "..."` and `manage.py tenants harden`.';
  END IF;
END $$;

-- Commands that commit half-way, before their end is watched, do so by this word alone, and only on their own.
CREATE FUNCTION guard.watch_start() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF current_query() ~* '\mconcurrently\M' THEN
    PERFORM guard.refuse_command(tg_tag || ' CONCURRENTLY', 'something that it may reach');
  END IF;
END $$;

CREATE FUNCTION guard.watch_commands() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  done record;
  relation oid;
BEGIN
  FOR done IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE objid IS NOT NULL LOOP
    CASE done.classid
      WHEN 'pg_class'::regclass THEN
        relation := coalesce((SELECT indrelid FROM pg_index WHERE indexrelid = done.objid), done.objid);
      WHEN 'pg_trigger'::regclass THEN
        relation := (SELECT tgrelid FROM pg_trigger WHERE oid = done.objid);
        -- Whatever gets a guard's trigger is guarded for good.
        IF EXISTS (SELECT FROM pg_trigger WHERE oid = done.objid AND tgfoid = 'guard.refuse_change'::regproc) THEN
          PERFORM guard.register(relation);
        END IF;
      WHEN 'pg_policy'::regclass THEN relation := (SELECT polrelid FROM pg_policy WHERE oid = done.objid);
      WHEN 'pg_rewrite'::regclass THEN relation := (SELECT ev_class FROM pg_rewrite WHERE oid = done.objid);
      WHEN 'pg_constraint'::regclass THEN relation := (SELECT conrelid FROM pg_constraint WHERE oid = done.objid);
      ELSE relation := done.objid;
    END CASE;
    IF done.schema_name = 'guard' OR guard.forbidden(done.classid, done.objid, relation)
       -- Parents and children come by these commands alone.
       OR done.command_tag IN ('CREATE TABLE', 'ALTER TABLE', 'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE')
          AND guard.kin_forbidden(relation) THEN
      PERFORM guard.refuse_command(done.command_tag, done.object_identity);
    END IF;
    -- So are the indexes that it gets in the same transaction.
    IF done.command_tag = 'CREATE INDEX' AND EXISTS (
         SELECT FROM guard.protected WHERE object = relation AND kind = 'pg_class'::regclass) THEN
      PERFORM guard.register(relation);
    END IF;
  END LOOP;
END $$;

-- Whether an object is protected since an earlier transaction, or the table that it is of.
CREATE FUNCTION guard.forbidden(class oid, thing oid, relation oid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM guard.protected AS p WHERE p.since <> pg_current_xact_id() AND (
      p.object = thing AND p.kind = class OR p.object = relation AND p.kind = 'pg_class'::regclass));
END $$;

-- Whether a table that it inherits from is protected so (unless it is growing), or one that inherits from it.
CREATE FUNCTION guard.kin_forbidden(relation oid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN EXISTS (
    WITH RECURSIVE above(oid) AS (
      SELECT inhparent FROM pg_inherits WHERE inhrelid = relation
      UNION SELECT inhparent FROM pg_inherits JOIN above ON inhrelid = above.oid
    ), below(oid) AS (
      SELECT inhrelid FROM pg_inherits WHERE inhparent = relation
      UNION SELECT inhrelid FROM pg_inherits JOIN below ON inhparent = below.oid
    ), kin(oid) AS (
      SELECT oid FROM below UNION ALL SELECT oid FROM above WHERE oid NOT IN (SELECT trail FROM guard.growing)
    )
    SELECT FROM kin WHERE guard.forbidden('pg_class'::regclass, kin.oid, kin.oid));
END $$;

CREATE FUNCTION guard.watch_drops() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  gone record;
BEGIN
  FOR gone IN
    SELECT o.classid, o.objid, o.object_identity, o.schema_name,
           -- What is a part of a table that still stands: a trigger, a policy, a rule, a constraint, a default.
           CASE WHEN o.object_type IN ('trigger', 'policy', 'rule', 'table constraint', 'default value')
                THEN to_regclass(format('%I.%I', o.address_names[1], o.address_names[2])) END AS relation
      FROM pg_event_trigger_dropped_objects() AS o
  LOOP
    IF gone.schema_name = 'guard' OR gone.relation IS NOT NULL AND guard.forbidden(gone.classid, gone.objid, gone.relation)
       OR EXISTS (SELECT FROM guard.protected WHERE kind = gone.classid AND object = gone.objid AND since <> pg_current_xact_id()) THEN
      PERFORM guard.refuse_command(tg_tag, gone.object_identity);
    END IF;
    DELETE FROM guard.protected WHERE kind = gone.classid AND object = gone.objid;
  END LOOP;
END $$;

-- Whether this transaction has written into the platform log that a tenant is deleted. With the owner's rights.
CREATE FUNCTION guard.deletion_recorded(wanted uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN EXISTS (SELECT FROM shared.platform_log
                  WHERE tenant_id = wanted AND action = 'tenant.deleted'
                    AND id > guard.first_id(transaction_timestamp() - interval '1 minute')
                    AND transaction_id = pg_current_xact_id()::text::bigint);
END $$;
ALTER FUNCTION guard.deletion_recorded OWNER TO "{owner}";

-- Drop a tenant's schema with its trail: for a transaction that has written into the platform log that it does.
CREATE FUNCTION guard.drop_schema(wanted uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  place regnamespace;
BEGIN
  IF NOT guard.deletion_recorded(wanted) THEN
    RAISE EXCEPTION 'The platform log does not say in this transaction that tenant % is deleted', wanted
      USING ERRCODE = 'restrict_violation', HINT = 'Drop it by `manage.py tenants drop`.';
  END IF;
  SELECT object::regnamespace INTO place FROM guard.protected WHERE kind = 'pg_namespace'::regclass AND tenant = wanted;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'No guarded schema of a tenant % is known', wanted USING ERRCODE = 'undefined_object';
  END IF;
  -- A restore gives schemas new numbers: that of this tenant may be another's until the database is hardened again.
  IF NOT has_schema_privilege('{prefix}_t_' || translate(wanted::text, '-', ''), place::oid, 'USAGE') THEN
    RAISE EXCEPTION 'The schema % is not that of tenant %', place, wanted
      USING ERRCODE = 'restrict_violation', HINT = 'After a restore run `manage.py tenants harden` first.';
  END IF;
  DELETE FROM guard.protected AS p USING pg_class AS c
   WHERE p.kind = 'pg_class'::regclass AND p.object = c.oid AND c.relnamespace = place;
  DELETE FROM guard.protected WHERE kind = 'pg_namespace'::regclass AND object = place;
  EXECUTE format('DROP SCHEMA %s CASCADE', place);
END $$;

DO $$
DECLARE
  routine regprocedure;
BEGIN
  -- The owner's own procedure makes a partition with the owner's rights; it is let do so by the one below alone.
  ALTER PROCEDURE guard.add_partition(regclass, date) RENAME TO make_partition;
  ALTER PROCEDURE guard.make_partition(regclass, date) SECURITY DEFINER;
  -- Those that run with the rights of their owner keep him: they need no more.
  FOR routine IN SELECT oid FROM pg_proc WHERE pronamespace = 'guard'::regnamespace AND NOT prosecdef LOOP
    EXECUTE format('ALTER ROUTINE %s OWNER TO %I', routine, current_user);
    EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I', routine, '{owner}');
  END LOOP;
  EXECUTE format('ALTER SCHEMA guard OWNER TO %I', current_user);
END $$;

CREATE PROCEDURE guard.add_partition(trail regclass, month date)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO guard.growing (trail) VALUES (trail);
  CALL guard.make_partition(trail, month);
  DELETE FROM guard.growing;
END $$;

REVOKE ALL ON guard.protected, guard.growing FROM PUBLIC;
GRANT SELECT ON guard.protected TO "{owner}";
REVOKE ALL ON FUNCTION guard.deletion_recorded FROM PUBLIC;
REVOKE ALL ON FUNCTION guard.register, guard.refuse_command, guard.forbidden, guard.kin_forbidden, guard.watch_start, guard.watch_commands,
  guard.watch_drops, guard.drop_schema FROM PUBLIC, "{owner}";
REVOKE ALL ON PROCEDURE guard.add_partition, guard.make_partition FROM PUBLIC;
GRANT EXECUTE ON FUNCTION guard.drop_schema TO "{owner}";
GRANT EXECUTE ON PROCEDURE guard.add_partition TO "{owner}";
REVOKE CREATE ON SCHEMA guard FROM "{guard}", "{owner}";
GRANT USAGE ON SCHEMA guard TO "{owner}";
DO $$
DECLARE
  other name;
BEGIN
  -- Each grantor's grant is one of its own.
  FOR other IN SELECT pg_get_userbyid(grantor) FROM pg_auth_members
                WHERE pg_get_userbyid(roleid) = '{guard}' AND pg_get_userbyid(member) = '{owner}' LOOP
    EXECUTE format('REVOKE %I FROM %I GRANTED BY %I CASCADE', '{guard}', '{owner}', other);
  END LOOP;
END $$;

-- What stands is registered.
SELECT guard.register(tgrelid::regclass)
  FROM (SELECT DISTINCT tgrelid FROM pg_trigger WHERE tgfoid = 'guard.refuse_change'::regproc) AS guarded;
INSERT INTO guard.protected (kind, object)
SELECT 'pg_proc'::regclass, oid FROM pg_proc WHERE pronamespace = 'guard'::regnamespace;

-- 3. From here on the owner's commands are watched; ALWAYS: also those of a session that plays a replica. ---------
CREATE EVENT TRIGGER daybook_start ON ddl_command_start
  WHEN TAG IN ('CREATE INDEX', 'DROP INDEX', 'ALTER TABLE') EXECUTE FUNCTION guard.watch_start();
CREATE EVENT TRIGGER daybook_commands ON ddl_command_end EXECUTE FUNCTION guard.watch_commands();
CREATE EVENT TRIGGER daybook_drops ON sql_drop EXECUTE FUNCTION guard.watch_drops();
COMMENT ON EVENT TRIGGER daybook_commands IS '{version}';
ALTER EVENT TRIGGER daybook_start ENABLE ALWAYS;
ALTER EVENT TRIGGER daybook_commands ENABLE ALWAYS;
ALTER EVENT TRIGGER daybook_drops ENABLE ALWAYS;

-- 4. Nothing of it may be another's than was meant. -----------------------------------------------------------------
DO $$
DECLARE
  wrong text;
BEGIN
  SELECT string_agg(object, ', ') INTO wrong FROM (
    SELECT oid::regclass::text AS object FROM pg_class
     WHERE oid IN ('guard.protected'::regclass, 'guard.growing'::regclass) AND pg_get_userbyid(relowner) <> current_user
    UNION ALL SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'guard'::regnamespace AND pg_get_userbyid(proowner) <>
      CASE WHEN proname IN ('make_partition', 'deletion_recorded') THEN '{owner}' ELSE current_user END
      AND (NOT prosecdef OR proname IN ('make_partition', 'deletion_recorded', 'watch_start', 'watch_commands',
                                        'watch_drops', 'drop_schema', 'add_partition'))
    UNION ALL SELECT 'the schema guard' FROM pg_namespace WHERE nspname = 'guard' AND pg_get_userbyid(nspowner) <> current_user
    UNION ALL SELECT 'CREATE in the schema guard' FROM pg_namespace AS n, aclexplode(n.nspacl) AS a
               WHERE nspname = 'guard' AND privilege_type = 'CREATE' AND grantee <> nspowner
    UNION ALL SELECT evtname FROM pg_event_trigger WHERE evtname ~ '^daybook_' AND pg_get_userbyid(evtowner) <> current_user
    UNION ALL SELECT 'the role {guard}' WHERE pg_has_role('{owner}', '{guard}', 'MEMBER')
  ) AS found;
  IF wrong IS NOT NULL THEN
    RAISE EXCEPTION 'The database cannot be hardened: somebody else has %', wrong
      USING HINT = 'Take it away (DROP, REVOKE) and harden again.';
  END IF;
END $$;
SET LOCAL search_path TO DEFAULT;
