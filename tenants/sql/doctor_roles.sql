-- What some roles (%(roles)s) are, one fact a row: role, kind, subject, name, value. %(known)s are the schemas of which
-- other facts tell.
-- A membership is told at each of its two ends, once for all who granted it.
WITH wanted AS MATERIALIZED (
  SELECT * FROM pg_roles WHERE rolname = ANY (%(roles)s)
)
SELECT rolname::text, 'role', rolname::text, a.name, CASE WHEN a.value THEN 'yes' ELSE 'no' END
  FROM wanted, LATERAL (VALUES ('exists', true), ('login', rolcanlogin), ('superuser', rolsuper), ('inherit', rolinherit),
    ('createrole', rolcreaterole), ('createdb', rolcreatedb), ('replication', rolreplication), ('bypassrls', rolbypassrls)) AS a (name, value)
UNION ALL
SELECT w.rolname, 'member', pg_get_userbyid(m.roleid)::text, pg_get_userbyid(m.member)::text,
       concat_ws(', ', CASE WHEN bool_or(m.inherit_option) THEN 'inherits' END, CASE WHEN bool_or(m.set_option) THEN 'may become it' END,
                 CASE WHEN bool_or(m.admin_option) THEN 'administers' END)
  FROM wanted AS w JOIN pg_auth_members AS m ON w.oid IN (m.roleid, m.member) GROUP BY w.rolname, m.roleid, m.member
UNION ALL
-- What it owns or was granted where no fact of a schema tells: in the catalog, on large objects, in unknown schemas.
SELECT w.rolname, CASE d.deptype WHEN 'o' THEN 'owns' ELSE 'elsewhere' END, pg_describe_object(d.classid, d.objid, 0), w.rolname::text, ''
  FROM wanted AS w JOIN pg_shdepend AS d ON d.refclassid = 'pg_authid'::regclass AND d.refobjid = w.oid AND d.deptype IN ('o', 'a')
 WHERE d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND NOT coalesce((pg_identify_object(d.classid, d.objid, 0)).schema = ANY (%(known)s), false)
   AND NOT EXISTS (SELECT FROM pg_namespace AS n
                    WHERE d.classid = 'pg_namespace'::regclass AND n.oid = d.objid AND n.nspname = ANY (%(known)s))
   AND d.classid <> 'pg_default_acl'::regclass
UNION ALL
-- None has any: each unit of work sets what it needs.
SELECT w.rolname, 'setting', w.rolname, setting, ''
  FROM wanted AS w JOIN pg_db_role_setting AS s ON s.setrole = w.oid, unnest(s.setconfig) AS setting
 WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
