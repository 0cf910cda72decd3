-- What captures changes in some schemas (%(schemas)s), one trigger or function a row. The reader's path is empty.
-- A function's text names its schema in places; it is compared with that taken out.
WITH routines AS (
  SELECT p.oid, n.nspname, p.proname, quote_ident(n.nspname) || '.' AS place,
         p.prosecdef AND p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'plpgsql') AND p.proowner = n.nspowner
           AND p.proconfig = ARRAY['search_path=pg_catalog, pg_temp', 'plan_cache_mode=force_generic_plan', 'TimeZone=UTC',
             'DateStyle=ISO, YMD', 'extra_float_digits=1'] AS sound,
         p.prosrc
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
   WHERE n.nspname = ANY (%(schemas)s) AND p.proname LIKE 'daybook\_capture\_%%'
)
SELECT r.nspname, 'function' AS kind, '' AS relation, r.proname AS name, r.proname AS routine, r.sound,
       encode(sha256(convert_to(replace(r.prosrc, r.place, '{schema}.'), 'UTF8')), 'hex') AS text, 0 AS type, '' AS tables
  FROM routines AS r
UNION ALL
SELECT n.nspname, 'trigger', c.relname, t.tgname, coalesce(r.proname, p.proname::text),
       t.tgenabled = 'A' AND r.oid IS NOT NULL AND t.tgqual IS NULL AND t.tgnargs = 0 AND t.tgattr = ''::int2vector,
       '', t.tgtype::int, concat_ws(' ', t.tgoldtable, t.tgnewtable)
  FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_proc AS p ON p.oid = t.tgfoid LEFT JOIN routines AS r ON r.oid = t.tgfoid AND r.nspname = n.nspname
 WHERE n.nspname = ANY (%(schemas)s) AND NOT t.tgisinternal
   AND (t.tgname LIKE 'daybook\_%%' OR p.proname LIKE 'daybook\_capture\_%%')
