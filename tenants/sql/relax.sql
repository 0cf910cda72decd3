-- Run by `manage.py tenants relax` as a superuser after `unguard.sql`, any number of times: gives the owner back what
-- migrations of trails and guards need. What tenants may call and read stays as `harden.sql` left it.

DO $$
DECLARE
  routine regprocedure;
BEGIN
  FOR routine IN SELECT oid FROM pg_proc WHERE pronamespace = 'guard'::regnamespace AND NOT prosecdef LOOP
    EXECUTE format('ALTER ROUTINE %s OWNER TO %I', routine, '{owner}');
  END LOOP;
END $$;
ALTER SCHEMA guard OWNER TO "{owner}";
GRANT EXECUTE ON PROCEDURE guard.add_partition TO "{owner}";
GRANT CREATE, USAGE ON SCHEMA guard TO "{guard}";
GRANT "{guard}" TO "{owner}" WITH INHERIT FALSE, SET TRUE;
SET LOCAL search_path TO DEFAULT;
