-- What stands in some schemas (%(schemas)s), one fact a row: schema, kind, subject, name, value.
-- The reader's search_path is empty, so that every name in a definition comes with its schema.
WITH spaces AS MATERIALIZED (
  SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE nspname = ANY (%(schemas)s)
), relations AS MATERIALIZED (
  SELECT c.oid, s.nspname, c.relname, c.relkind, c.relpersistence, c.relowner, c.relacl, c.relrowsecurity, c.relforcerowsecurity
    FROM pg_class AS c JOIN spaces AS s ON s.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
), routines AS MATERIALIZED (
  SELECT p.oid, s.nspname, p.proowner, p.proacl, p.proconfig, p.prosrc, p.prosecdef, p.provolatile, p.prokind, p.prolang, p.prorettype,
         p.proname::text || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS signature
    FROM pg_proc AS p JOIN spaces AS s ON s.oid = p.pronamespace
), rights AS (
  SELECT nspname::text, '(schema)'::text AS subject, ''::text AS part, nspowner AS owner, coalesce(nspacl, acldefault('n', nspowner)) AS acl FROM spaces
  UNION ALL
  SELECT nspname, relname, '', relowner, coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))
    FROM relations
  UNION ALL
  SELECT r.nspname, r.relname, ' (' || a.attname || ')', r.relowner, a.attacl
    FROM relations AS r JOIN pg_attribute AS a ON a.attrelid = r.oid WHERE a.attacl IS NOT NULL
  UNION ALL
  SELECT nspname, signature, '', proowner, coalesce(proacl, acldefault('f', proowner)) FROM routines
)
-- The first row's types are all rows' types: without the casts texts would be cut to the length of names.
SELECT nspname::text, 'schema'::text, '(schema)'::text, ''::text, ''::text FROM spaces
UNION ALL
SELECT nspname, 'owner', '(schema)', '', pg_get_userbyid(nspowner) FROM spaces
UNION ALL
SELECT r.nspname, 'grant', r.subject, CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(g.grantee) END || ' ' || g.privilege_type || r.part,
       CASE WHEN bool_or(g.is_grantable) THEN 'may pass it on' ELSE '' END
  FROM rights AS r, aclexplode(r.acl) AS g WHERE g.grantee <> r.owner GROUP BY 1, 3, 4
UNION ALL
SELECT r.nspname, 'table', r.relname, '',
       CASE r.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
                      WHEN 'f' THEN 'foreign table' ELSE 'sequence' END
       || CASE r.relpersistence WHEN 'p' THEN '' ELSE ', not durable' END
       || coalesce((SELECT ' of ' || string_agg(inhparent::regclass::text, ', ') FROM pg_inherits WHERE inhrelid = r.oid), '')
  FROM relations AS r
UNION ALL
SELECT nspname, 'owner', relname, '', pg_get_userbyid(relowner) FROM relations
UNION ALL
SELECT nspname, 'rls', relname, '', CASE WHEN relrowsecurity THEN 'on' ELSE 'off' END FROM relations WHERE relkind IN ('r', 'p')
UNION ALL
SELECT nspname, 'force', relname, '', CASE WHEN relforcerowsecurity THEN 'on' ELSE 'off' END FROM relations WHERE relkind IN ('r', 'p')
UNION ALL
SELECT r.nspname, 'column', r.relname, a.attname,
       concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'NOT NULL' END,
                 CASE WHEN a.attgenerated <> '' THEN 'GENERATED' WHEN d.oid IS NOT NULL THEN 'DEFAULT' END, pg_get_expr(d.adbin, d.adrelid),
                 CASE a.attidentity WHEN 'a' THEN 'IDENTITY ALWAYS' WHEN 'd' THEN 'IDENTITY' END)
  FROM relations AS r JOIN pg_attribute AS a ON a.attrelid = r.oid
  LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attnum > 0 AND NOT a.attisdropped AND r.relkind <> 'S'
UNION ALL
-- An index or a constraint of a partition goes by the name it has on the whole. (A dump restores the casts of texts
-- in a condition in other places: without them it reads the same.)
SELECT r.nspname, 'index', r.relname, coalesce(parent.relname, c.relname),
       concat_ws(' ', CASE WHEN i.indisunique THEN 'UNIQUE' END, CASE WHEN NOT i.indisvalid THEN 'INVALID' END,
                 translate(regexp_replace(substring(pg_get_indexdef(i.indexrelid) FROM 'USING .*'),
                                          '::(text|character varying)(\[\])?', '', 'g'), '()', ''))
  FROM relations AS r JOIN pg_index AS i ON i.indrelid = r.oid JOIN pg_class AS c ON c.oid = i.indexrelid
  LEFT JOIN pg_inherits AS h ON h.inhrelid = i.indexrelid LEFT JOIN pg_class AS parent ON parent.oid = h.inhparent
UNION ALL
SELECT r.nspname, 'constraint', r.relname, coalesce(parent.conname, k.conname),
       pg_get_constraintdef(k.oid) || CASE WHEN k.convalidated AND k.conenforced THEN '' ELSE ' NOT ENFORCED' END
  FROM relations AS r JOIN pg_constraint AS k ON k.conrelid = r.oid LEFT JOIN pg_constraint AS parent ON parent.oid = k.conparentid
 WHERE k.contype <> 'n'
UNION ALL
SELECT r.nspname, 'trigger', r.relname, t.tgname,
       CASE t.tgenabled WHEN 'A' THEN 'ALWAYS' WHEN 'D' THEN 'DISABLED' WHEN 'R' THEN 'REPLICA' ELSE 'ORIGIN' END || ' ' || pg_get_triggerdef(t.oid)
  FROM relations AS r JOIN pg_trigger AS t ON t.tgrelid = r.oid WHERE NOT t.tgisinternal
UNION ALL
SELECT r.nspname, 'policy', r.relname, p.polname,
       concat_ws(' ', CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END, p.polcmd, 'TO',
                 (SELECT string_agg(CASE o WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(o) END, ', ' ORDER BY pg_get_userbyid(o)) FROM unnest(p.polroles) AS o),
                 'USING', pg_get_expr(p.polqual, p.polrelid), 'CHECK', pg_get_expr(p.polwithcheck, p.polrelid))
  FROM relations AS r JOIN pg_policy AS p ON p.polrelid = r.oid
UNION ALL
SELECT r.nspname, 'rule', r.relname, w.rulename, pg_get_ruledef(w.oid)
  FROM relations AS r JOIN pg_rewrite AS w ON w.ev_class = r.oid WHERE w.rulename <> '_RETURN'
UNION ALL
SELECT r.nspname, 'child', r.relname, c.oid::regclass::text, ''
  FROM relations AS r JOIN pg_inherits AS h ON h.inhparent = r.oid JOIN pg_class AS c ON c.oid = h.inhrelid
 WHERE c.relnamespace <> (SELECT relnamespace FROM pg_class WHERE oid = r.oid)
UNION ALL
SELECT p.nspname, 'function', p.signature, '',
       concat_ws(' ', CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'f' THEN 'function' ELSE 'aggregate' END, l.lanname,
                 'returns ' || format_type(p.prorettype, NULL), CASE WHEN p.prosecdef THEN 'definer' ELSE 'invoker' END,
                 CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END)
       || E'\n' || coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)
  FROM routines AS p JOIN pg_language AS l ON l.oid = p.prolang
UNION ALL
SELECT nspname, 'owner', signature, '', pg_get_userbyid(proowner) FROM routines
UNION ALL
SELECT nspname, 'path', signature, '', coalesce(array_to_string(proconfig, '; '), '') FROM routines
UNION ALL
-- Types, operators, statistics, publications: whatever else hangs on the schema or on its tables.
SELECT s.nspname, 'object', pg_describe_object(d.classid, d.objid, 0), '', ''
  FROM spaces AS s JOIN pg_depend AS d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = s.oid
 WHERE d.classid NOT IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_default_acl'::regclass)
UNION ALL
SELECT r.nspname, 'object', pg_describe_object('pg_publication_rel'::regclass, p.oid, 0), '', ''
  FROM relations AS r JOIN pg_publication_rel AS p ON p.prrelid = r.oid
UNION ALL
SELECT s.nspname, 'default', pg_get_userbyid(d.defaclrole), d.defaclobjtype::text, d.defaclacl::text
  FROM spaces AS s JOIN pg_default_acl AS d ON d.defaclnamespace = s.oid
