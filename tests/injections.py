"""Texts that an attacker would send where a view forgot to quote, by what they go for.

{own}, {other}: the schemas of the tenant and of another; {other_role}, {platform}, {owner}: roles.
Each says what its control takes away: `hardening` (what PostgreSQL gives everybody is given back), `cursor` (Django's
own, which sends several statements), `rights` (it is run as a superuser), `trigger` (the same, without the guards), or
`nothing`, where it may be answered, and the answer has to reveal nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Injection:
    """One text: into a `clause` or as a whole `statement`; `refused` unless it may be answered."""

    text: str
    control: str
    where: str = "clause"
    refused: bool = True


def _union(*selects: str, control: str = "hardening", refused: bool = True) -> list[Injection]:
    return [Injection(f"x' UNION SELECT {select} -- ", control, refused=refused) for select in selects]


def _calls(*calls: str, control: str = "hardening", refused: bool = True) -> list[Injection]:
    return _union(*(f"({call})::text, ''" for call in calls), control=control, refused=refused)


def _whole(*statements: str, control: str = "rights", refused: bool = True) -> list[Injection]:
    return [Injection(statement, control, "statement", refused) for statement in statements]


_STACKED = (
    "UPDATE audit_answer SET status = 200",
    "INSERT INTO audit_key (digest, entry_id) VALUES (gen_random_uuid()::text::bytea, gen_random_uuid())",
    "COMMIT",
    'SET SESSION ROLE "{other_role}"',
)

CORPUS: dict[str, list[Injection]] = {
    "stacked statements": [
        *(Injection(f"x'; {text}; SELECT '', '' -- ", "cursor") for text in _STACKED),
        *(Injection(f"{text}; SELECT 1", "cursor", "statement") for text in _STACKED),
        Injection("x'; SELECT ''; -- ", "cursor"),
    ],
    "set_config": [
        *_calls(
            "set_config('role', '{other_role}', true)",
            "set_config('search_path', '{other}', false)",
            "set_config('daybook.context', 'forged', true)",
            "set_config('statement_timeout', '0', false)",
        ),
        Injection("x' OR set_config('role', '{other_role}', true) = 'y", "hardening"),
    ],
    "pg_settings": _whole(
        "UPDATE pg_settings SET setting = '{other_role}' WHERE name = 'role'",
        "UPDATE pg_catalog.pg_settings SET setting = 'off' WHERE name = 'row_security'",
        control="hardening",
    ),
    "SQL from text": [
        *_calls(
            "query_to_xml('SELECT resource_id FROM audit_log', true, true, '')",
            "query_to_xml_and_xmlschema('SELECT 1', true, true, '')",
            "table_to_xml('{own}.audit_log', true, true, '')",
            "schema_to_xml('{own}', true, true, '')",
            "schema_to_xmlschema('shared', true, true, '')",
            "database_to_xml(true, true, '')",
            "cursor_to_xml('mine', 1, true, true, '')",
            "ts_rewrite('a'::tsquery, 'SELECT ''a''::tsquery, ''b''::tsquery')",
        ),
        *_union("word, '' FROM ts_stat('SELECT to_tsvector(slug::text) FROM shared.tenants_tenant')"),
        *_union("a, b FROM dblink('dbname=postgres', 'SELECT 1, 2') AS t(a text, b text)"),
        *_calls("dblink_connect('mine', 'dbname=postgres')", "dblink_exec('dbname=postgres', 'SELECT 1')"),
    ],
    "code": [
        *_whole(
            "DO $$ BEGIN EXECUTE 'SET LOCAL ROLE \"{other_role}\"'; END $$",
            "DO LANGUAGE plpgsql 'BEGIN PERFORM 1; END'",
            control="hardening",
        ),
        *_whole(
            "CREATE FUNCTION {own}.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE PROCEDURE {own}.mine() LANGUAGE sql AS 'SELECT 1'",
            "CREATE TEMPORARY TABLE audit_log (id int)",
            "CREATE TABLE {own}.mine (id int)",
            "CREATE VIEW {own}.mine AS SELECT * FROM {other}.audit_log",
            "CREATE SCHEMA mine",
            "CREATE EXTENSION pg_trgm",
            "LOAD 'plpgsql'",
        ),
    ],
    "other roles": [
        *_whole(
            'SET ROLE "{platform}"',
            'SET LOCAL ROLE "{auditor}"',
            'SET ROLE "{owner}"',
            'SET ROLE "{guard}"',
            "SET ROLE postgres",
            "SET SESSION AUTHORIZATION postgres",
            'SET LOCAL SESSION AUTHORIZATION "{owner}"',
            "SET session_replication_role = replica",
            "ALTER ROLE CURRENT_USER SUPERUSER",
            "ALTER ROLE CURRENT_USER LOGIN",
            "ALTER ROLE SESSION_USER PASSWORD 'mine'",
            "CREATE ROLE mine",
            'GRANT "{other_role}" TO CURRENT_USER',
        ),
        *_whole("RESET ROLE", "SET SESSION AUTHORIZATION DEFAULT", "RESET ALL", control="nothing", refused=False),
    ],
    "another tenant": [
        *_union(
            "action, resource_id FROM {other}.audit_log",
            "metric, '' FROM {other}.usage_log",
            "user_agent, '' FROM {other}.audit_user_agent",
            "status::text, answer FROM {other}.audit_answer",
            control="rights",
        ),
        *_whole(
            "INSERT INTO {other}.audit_answer (digest, request) VALUES ('x', 'x')",
            "SELECT count(*) FROM {other}.audit_log",
            "TABLE {other}.audit_log",
            "LOCK TABLE {other}.audit_log IN ACCESS SHARE MODE",
            "SELECT last_value FROM {other}.audit_user_agent_id_seq",
        ),
        *_union(
            "slug, name FROM shared.tenants_tenant",
            "domain, '' FROM shared.tenants_domain",
            "email, name FROM shared.tenants_user",
            "name, prefix FROM shared.tenants_apikey",
            "role, '' FROM shared.tenants_membership",
            control="nothing",
            refused=False,
        ),
    ],
    "what nobody reads": [
        *_union(
            "password, '' FROM shared.tenants_credential",
            "data, '' FROM shared.tenants_session",
            "encode(digest, 'hex'), '' FROM shared.tenants_apikey",
            "action, description FROM shared.platform_log",
            "state, error FROM shared.tenants_tenantmigration",
            "rolpassword, rolname FROM pg_authid",
            control="rights",
        ),
        Injection("x' OR 1 = (SELECT password FROM shared.tenants_credential LIMIT 1)::int OR action = 'y", "rights"),
        *_calls("gate.key('x')", "gate.load_session('x')", control="rights"),
        *_calls("guard.set_password(gen_random_uuid(), 'x')", control="rights"),
    ],
    "the trail": _whole(
        "WITH gone AS (DELETE FROM audit_log RETURNING 1) SELECT count(*) FROM gone",
        "WITH changed AS (UPDATE audit_log SET action = 'forged' RETURNING 1) SELECT count(*) FROM changed",
        "WITH changed AS (UPDATE usage_log SET quantity = 0 RETURNING 1) SELECT count(*) FROM changed",
        "TRUNCATE audit_log",
        "MERGE INTO audit_log USING (SELECT 1) ON true WHEN MATCHED THEN DELETE",
        "LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE",
        control="trigger",
    ),
    "files and programs": [
        *_whole(
            "COPY audit_answer TO PROGRAM 'cat > /dev/null'",
            "COPY audit_key FROM PROGRAM 'true'",
            "COPY audit_answer TO '/dev/null'",
            "COPY audit_key FROM '/dev/null'",
        ),
        *_calls(
            "pg_read_file('/etc/hostname')",
            "pg_read_binary_file('/etc/hostname')",
            "pg_ls_dir('.')",
            "(pg_stat_file('/etc/hostname')).size",
            "lo_import('/etc/hostname')",
            control="rights",
        ),
    ],
    "large objects": _calls(
        "lo_create(0)",
        "lo_creat(-1)",
        "lo_from_bytea(0, 'x')",
        "lo_open(lo_create(0), 131072)",
        "lo_unlink(lo_create(0))",
        "lo_put(lo_create(0), 0, 'x')",
    ),
    "catalogs": [
        *_union(
            "nspname, '' FROM pg_namespace",
            "relname, relnamespace::regnamespace::text FROM pg_class",
            "rolname, '' FROM pg_roles",
            "roleid::regrole::text, member::regrole::text FROM pg_auth_members",
            "datname, '' FROM pg_database",
            "schemaname, tablename FROM pg_tables",
            "schemaname, policyname FROM pg_policies",
            "proname, prosrc FROM pg_proc",
            "schemaname, relname FROM pg_stat_user_tables",
            "usename, application_name FROM pg_stat_activity",
            "locktype, relation::regclass::text FROM pg_locks",
            "attname, attrelid::regclass::text FROM pg_attribute",
            "tgname, tgrelid::regclass::text FROM pg_trigger",
            "schemaname, indexname FROM pg_indexes",
            "schemaname, sequencename FROM pg_sequences",
            "name, setting FROM pg_settings",
            "name, statement FROM pg_prepared_statements",
            "schema_name, '' FROM information_schema.schemata",
            "table_schema, table_name FROM information_schema.tables",
        ),
        *_calls(
            "SELECT string_agg(nspname, ',') FROM pg_catalog.pg_namespace",
            "pg_total_relation_size(16384)",
            "pg_stat_get_live_tuples(16384)",
            "pg_describe_object(2615, 2200, 0)",
            "(pg_identify_object(2615, 2200, 0)).name",
            "pg_get_userbyid(10)",
            "pg_get_functiondef('guard.check_id'::regproc)",
            "obj_description(1, 'pg_class')",
            "has_schema_privilege('{other}', 'USAGE')",
            "pg_has_role('{other_role}', 'MEMBER')",
            "(pg_stat_get_activity(NULL)).usesysid",
            "pg_database_size('postgres')",
        ),
    ],
    "prepared statements": _whole("PREPARE mine AS SELECT 1", "DEALLOCATE ALL", control="nothing", refused=False),
    "signals": [
        *_calls(
            "pg_terminate_backend(2147483647)",
            "pg_cancel_backend(2147483647)",
            "pg_notify('daybook', 'x')",
            "pg_export_snapshot()",
            "pg_advisory_lock(1)",
            "pg_advisory_lock_shared(1)",
            "pg_try_advisory_lock(1, 2)",
            "pg_logical_emit_message(true, 'x', 'y')",
            "pg_listening_channels()",
        ),
        *_whole("LISTEN daybook", "NOTIFY daybook, 'x'", "UNLISTEN *", control="nothing", refused=False),
    ],
    "time": [
        *_union("'', '' WHERE pg_sleep(0.01) IS NOT NULL", control="nothing", refused=False),
        Injection("x' OR (SELECT pg_sleep(0.01)) IS NOT NULL AND action = 'y", "nothing", refused=False),
        *_calls(
            "CASE WHEN (SELECT count(*) FROM {other}.audit_log) > 0 THEN pg_sleep(0.01) END", control="rights",
        ),
    ],
    "rights": [
        *_whole(
            "ALTER TABLE audit_log DISABLE TRIGGER ALL",
            "DROP TABLE audit_log",
            "ALTER TABLE audit_log DISABLE ROW LEVEL SECURITY",
            "DROP POLICY tenant ON shared.tenants_tenant",
            "CHECKPOINT",
        ),
        # PostgreSQL answers these with a warning that nothing was granted or dropped.
        *_whole(
            "GRANT SELECT ON audit_log TO PUBLIC", "DROP OWNED BY CURRENT_USER", control="nothing", refused=False
        ),
    ],
}  # fmt: skip
