-- What holds in the database as a whole, one fact a row: place, kind, subject, name, value.
WITH own AS (
  SELECT * FROM pg_database WHERE datname = current_database()
)
SELECT 'database', 'grant', '(database)', CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(g.grantee)::text END || ' ' || g.privilege_type,
       CASE WHEN bool_or(g.is_grantable) THEN 'may pass it on' ELSE '' END
  FROM own, aclexplode(coalesce(datacl, acldefault('d', datdba))) AS g WHERE g.grantee <> datdba GROUP BY 4
UNION ALL
SELECT 'database', 'setting', '(database)', setting, ''
  FROM own JOIN pg_db_role_setting AS s ON s.setdatabase IN (0, own.oid) AND s.setrole = 0, unnest(s.setconfig) AS setting
 WHERE split_part(setting, '=', 1) IN ('search_path', 'role', 'session_replication_role', 'row_security', 'session_preload_libraries',
                                       'local_preload_libraries', 'event_triggers')
UNION ALL
SELECT 'database', 'default', pg_get_userbyid(defaclrole), defaclobjtype::text, defaclacl::text FROM pg_default_acl WHERE defaclnamespace = 0
UNION ALL
SELECT 'database', 'parameter', parname, CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(g.grantee) END, g.privilege_type
  FROM pg_parameter_acl, aclexplode(paracl) AS g
 WHERE g.grantee = 0 OR pg_get_userbyid(g.grantee) = ANY (%(roles)s)
UNION ALL
-- Whatever the server's makers kept from everyone, and somebody has since given to PUBLIC.
SELECT 'database', 'catalog', pg_describe_object(i.classoid, i.objoid, 0), g.privilege_type, ''
  FROM pg_init_privs AS i
  LEFT JOIN pg_proc AS p ON i.classoid = 'pg_proc'::regclass AND p.oid = i.objoid
  LEFT JOIN pg_class AS c ON i.classoid = 'pg_class'::regclass AND c.oid = i.objoid, aclexplode(coalesce(p.proacl, c.relacl)) AS g
 WHERE g.grantee = 0 AND i.objsubid = 0 AND i.privtype = 'i'
   AND NOT EXISTS (SELECT FROM aclexplode(i.initprivs) AS was WHERE was.grantee = 0 AND was.privilege_type = g.privilege_type)
UNION ALL
SELECT 'database', 'extension', extname, '', '' FROM pg_extension WHERE extname = ANY (%(dangerous)s)
UNION ALL
SELECT 'database', 'language', lanname, '', '' FROM pg_language WHERE NOT lanpltrusted AND lanname NOT IN ('internal', 'c')
UNION ALL
SELECT 'database', 'server', srvname, '', '' FROM pg_foreign_server
