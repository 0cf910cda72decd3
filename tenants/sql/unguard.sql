-- The beginning of `harden.sql` and of `relax.sql`, in the same transaction as a superuser: takes away what hardening
-- made, and whatever else has its names, so that nothing that somebody prepared is taken for it.

SET LOCAL search_path = pg_catalog, pg_temp;
DROP EVENT TRIGGER IF EXISTS daybook_start, daybook_commands, daybook_drops;
DO $$
DECLARE
  routine regprocedure;
BEGIN
  IF to_regprocedure('guard.make_partition(regclass, date)') IS NOT NULL THEN
    DROP PROCEDURE IF EXISTS guard.add_partition(regclass, date);
    ALTER PROCEDURE guard.make_partition(regclass, date) RENAME TO add_partition;
  END IF;
  ALTER PROCEDURE guard.add_partition(regclass, date) OWNER TO "{owner}";
  ALTER PROCEDURE guard.add_partition(regclass, date) SECURITY INVOKER;
  FOR routine IN
    SELECT oid FROM pg_proc WHERE pronamespace = 'guard'::regnamespace AND (
      proname IN ('watch_start', 'watch_commands', 'watch_drops', 'drop_schema', 'deletion_recorded', 'forbidden',
                  'kin_forbidden', 'register', 'refuse_command', 'make_partition')
      OR proname = 'add_partition' AND oid <> 'guard.add_partition(regclass, date)'::regprocedure)
  LOOP
    EXECUTE format('DROP ROUTINE %s', routine);
  END LOOP;
END $$;
DROP TABLE IF EXISTS guard.protected, guard.growing;
