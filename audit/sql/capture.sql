-- How row changes are captured: what installs the triggers, and what their functions call. Loaded once, into `guard`.
-- The text of a table's function is made by audit/capture/body.py; migrations hand it to guard.capture.

-- Install the capture of a table of the schema that comes first in the path, or renew it. The function runs with the
-- owner's rights, so that nobody can change a row whose entry he may not write; its path is fixed for the same reason.
-- So is what times and numbers look like as text: the same value, and the same key, is told alike of each session.
-- Its statements are planned once for a connection, not anew for each of the first five times: half a millisecond each.
CREATE PROCEDURE guard.capture(relation text, routine text, body text) LANGUAGE plpgsql AS $$
DECLARE
  place text := quote_ident(current_schema());
  event text;
BEGIN
  EXECUTE format('CREATE OR REPLACE FUNCTION %s.%I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
                  SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
                  SET timezone = ''UTC'' SET datestyle = ''ISO, YMD'' SET extra_float_digits = 1 AS %L', place, routine, replace(body, '{schema}', place));
  EXECUTE format('REVOKE ALL ON FUNCTION %s.%I() FROM PUBLIC', place, routine);
  FOREACH event IN ARRAY ARRAY['insert', 'update', 'delete', 'truncate'] LOOP
    EXECUTE format('CREATE OR REPLACE TRIGGER daybook_%1$s %2$s %3$s ON %4$s.%5$I %6$s FOR EACH STATEMENT EXECUTE FUNCTION %4$s.%7$I()',
                   event, CASE event WHEN 'truncate' THEN 'BEFORE' ELSE 'AFTER' END, upper(event), place, relation,
                   CASE event WHEN 'insert' THEN 'REFERENCING NEW TABLE AS new_rows'
                              WHEN 'update' THEN 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows'
                              WHEN 'delete' THEN 'REFERENCING OLD TABLE AS old_rows' ELSE '' END, routine);
    -- ALWAYS: also in a session that plays a replica.
    EXECUTE format('ALTER TABLE %s.%I ENABLE ALWAYS TRIGGER daybook_%s', place, relation, event);
  END LOOP;
END $$;

-- End the capture of a table, which may be gone by now.
CREATE PROCEDURE guard.release(relation text, routine text) LANGUAGE plpgsql AS $$
DECLARE
  place text := quote_ident(current_schema());
  event text;
BEGIN
  IF to_regclass(format('%s.%I', place, relation)) IS NOT NULL THEN
    FOREACH event IN ARRAY ARRAY['insert', 'update', 'delete', 'truncate'] LOOP
      EXECUTE format('DROP TRIGGER IF EXISTS daybook_%s ON %s.%I', event, place, relation);
    END LOOP;
  END IF;
  EXECUTE format('DROP FUNCTION IF EXISTS %s.%I()', place, routine);
END $$;
REVOKE ALL ON PROCEDURE guard.capture, guard.release FROM PUBLIC;

-- Changes whose values are too large for an entry: each that is longer than `most` bytes is told by its size and hash.
CREATE FUNCTION guard.shortened(changes jsonb, most integer) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN (
  SELECT jsonb_object_agg(field, (
           SELECT jsonb_object_agg(side, CASE WHEN octet_length(value::text) <= most THEN value ELSE jsonb_build_object(
                    'bytes', octet_length(value::text), 'sha256', encode(sha256(convert_to(value::text, 'UTF8')), 'hex')) END)
             FROM jsonb_each(sides) AS each_side(side, value)))
    FROM jsonb_each(changes) AS each_field(field, sides));

-- An interval in the form of ISO 8601, with days, hours, minutes and seconds, as Django's JSON writes durations. In
-- numeric: the longest that Python has are more microseconds than a bigint counts.
CREATE FUNCTION guard.duration(span interval) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN (
  SELECT CASE WHEN isfinite(span) THEN format('%sP%sDT%sH%sM%s%sS', CASE WHEN micros < 0 THEN '-' ELSE '' END,
                div(abs(micros), 86400000000), lpad((div(abs(micros), 3600000000) % 24)::text, 2, '0'),
                lpad((div(abs(micros), 60000000) % 60)::text, 2, '0'), lpad((div(abs(micros), 1000000) % 60)::text, 2, '0'),
                CASE WHEN micros % 1000000 = 0 THEN '' ELSE '.' || lpad((abs(micros) % 1000000)::text, 6, '0') END)
              ELSE span::text END
    FROM (SELECT trunc(extract(epoch FROM span) * 1000000) AS micros) AS whole);
