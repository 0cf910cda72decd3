"""Faults of the walls: what is done to a database, and what the doctor must find, where, about what."""

from __future__ import annotations

from dataclasses import dataclass

SICK = "hooli"


@dataclass(frozen=True)
class Fault:
    """What is done to the database, as superuser; what undoes it, where it is done to the whole cluster; the findings.

    Words in braces are names: `schema`, `role` and `login` those of the sick tenant.
    """

    plant: str
    findings: set[tuple[str, str, str]]
    undo: str = ""


def sick(name: str, about: str) -> tuple[str, str, str]:
    """Return a finding of the sick tenant."""
    return (SICK, name, about)


FAULTS = {
    # rights
    "a right too many": Fault(
        "GRANT DELETE ON {schema}.audit_export TO {role}", {sick("grant.extra", "audit_export {role} DELETE")}
    ),
    "a right to change the trail": Fault(
        "GRANT UPDATE ON {schema}.audit_log TO {role}",
        {sick("grant.extra", "audit_log {role} UPDATE"), sick("proof.update_audit_log", "{role}")},
    ),
    "a right to change one column": Fault(
        "GRANT UPDATE (action) ON {schema}.audit_log TO {role}",
        {sick("grant.extra", "audit_log {role} UPDATE (action)"), sick("proof.update_audit_log", "{role}")},
    ),
    "a right to empty the usage": Fault(
        "GRANT TRUNCATE ON {schema}.usage_log TO {role}", {sick("grant.extra", "usage_log {role} TRUNCATE")}
    ),
    "a right that is missing": Fault(
        "REVOKE INSERT ON {schema}.audit_log FROM {role}", {sick("grant.missing", "audit_log {role} INSERT")}
    ),
    "a right that may be passed on": Fault(
        "GRANT SELECT ON {schema}.audit_log TO {role} WITH GRANT OPTION",
        {sick("grant.changed", "audit_log {role} SELECT")},
    ),
    "a trail for everyone": Fault(
        "GRANT SELECT ON {schema}.audit_log TO PUBLIC", {sick("grant.extra", "audit_log PUBLIC SELECT")}
    ),
    "a schema for another tenant": Fault(
        "GRANT USAGE ON SCHEMA {schema} TO {other_role}", {sick("grant.extra", "(schema) {other_role} USAGE")}
    ),
    "a partition for the platform": Fault(
        "GRANT SELECT ON {schema}.audit_log_default TO {platform}",
        {sick("grant.extra", "audit_log_default {platform} SELECT")},
    ),
    "a schema to create in": Fault(
        "GRANT CREATE ON SCHEMA {schema} TO {role}",
        {sick("schema.create", "(schema) {role} CREATE"), sick("proof.create_table", "{role}")},
    ),
    "rights in the catalog": Fault(
        "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO {role}",
        {sick("grant.elsewhere", "function pg_read_file(text) {role}")},
    ),
    "a shared table of a tenant's own": Fault(
        "GRANT SELECT ON shared.tenants_session TO {role}",
        {("shared", "grant.extra", "tenants_session {role} SELECT")},
    ),
    "credentials for a tenant": Fault(
        "GRANT SELECT ON shared.tenants_credential TO {role}",
        {("shared", "grant.extra", "tenants_credential {role} SELECT"), sick("proof.credentials", "{role}")},
    ),
    "temporary tables": Fault(
        "GRANT TEMPORARY ON DATABASE {database} TO {role}",
        {("database", "temp.allowed", "(database) {role} TEMPORARY"), sick("proof.create_temporary", "{role}")},
    ),
    "public for everyone": Fault(
        "GRANT CREATE ON SCHEMA public TO PUBLIC", {("public", "schema.public_create", "(schema) PUBLIC CREATE")}
    ),
    "rights to come": Fault(
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} GRANT SELECT ON TABLES TO {platform}",
        {sick("default_privileges", "{owner} r")},
    ),
    "rights to come anywhere": Fault(
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT SELECT ON TABLES TO {platform}",
        {("database", "default_privileges", "{owner} r")},
    ),
    "files for everyone": Fault(
        "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO PUBLIC",
        {("database", "catalog.widened", "function pg_read_file(text) EXECUTE")},
    ),
    "a setting that switches guards off": Fault(
        "GRANT SET ON PARAMETER session_replication_role TO {role}",
        {("database", "parameter.granted", "session_replication_role {role}")},
        undo="REVOKE SET ON PARAMETER session_replication_role FROM {role}",
    ),
    "a platform that may forget": Fault(
        "GRANT DELETE ON shared.platform_log TO {platform}",
        {
            ("shared", "grant.extra", "platform_log {platform} DELETE"),
            ("shared", "proof.delete_platform_log", "{platform}"),
        },
    ),
    # row security
    "no row security on the trail": Fault(
        "ALTER TABLE {schema}.audit_log DISABLE ROW LEVEL SECURITY",
        {sick("rls.off", "audit_log"), sick("proof.reads_without_reason", "{auditor}")},
    ),
    "no row security on keys": Fault(
        "ALTER TABLE shared.tenants_apikey DISABLE ROW LEVEL SECURITY", {("shared", "rls.off", "tenants_apikey")}
    ),
    "row security that spares the owner": Fault(
        "ALTER TABLE shared.tenants_domain NO FORCE ROW LEVEL SECURITY",
        {("shared", "rls.not_forced", "tenants_domain")},
    ),
    "a policy that is missing": Fault(
        "DROP POLICY read ON {schema}.audit_log", {sick("policy.missing", "audit_log read")}
    ),
    "a policy too many": Fault(
        "CREATE POLICY open ON {schema}.audit_log FOR SELECT TO {auditor} USING (true)",
        {sick("policy.extra", "audit_log open"), sick("proof.reads_without_reason", "{auditor}")},
    ),
    "a policy that says another thing": Fault(
        "ALTER POLICY tenant ON shared.tenants_apikey USING (true)",
        {("shared", "policy.changed", "tenants_apikey tenant")},
    ),
    # guards
    "no guard against TRUNCATE": Fault(
        "DROP TRIGGER refuse_truncate ON {schema}.audit_log", {sick("trigger.missing", "audit_log refuse_truncate")}
    ),
    "no guard against TRUNCATE on a partition": Fault(
        "DROP TRIGGER refuse_truncate ON {schema}.audit_log_default",
        {sick("trigger.missing_on_partition", "audit_log_default refuse_truncate")},
    ),
    "a new partition without a guard": Fault(
        "CREATE TABLE {schema}.audit_log_2099_01 PARTITION OF {schema}.audit_log "
        "FOR VALUES FROM ('03b00000-0000-0000-0000-000000000000') TO ('03b10000-0000-0000-0000-000000000000');"
        "ALTER TABLE {schema}.audit_log_2099_01 OWNER TO {owner}",
        {
            sick("trigger.missing_on_partition", "audit_log_2099_01 refuse_truncate"),
            sick("trigger.missing_on_partition", "audit_log_2099_01 note_entries"),
        },
    ),
    "a guard that is off": Fault(
        "ALTER TABLE {schema}.audit_user_agent DISABLE TRIGGER refuse_change",
        {sick("trigger.disabled", "audit_user_agent refuse_change")},
    ),
    "a guard that is off on a partition": Fault(
        "ALTER TABLE {schema}.audit_log_default DISABLE TRIGGER refuse_change",
        {sick("trigger.disabled", "audit_log_default refuse_change")},
    ),
    "a guard that a replica's session does not have": Fault(
        "ALTER TABLE {schema}.usage_log_default ENABLE TRIGGER refuse_truncate",
        {sick("trigger.not_always", "usage_log_default refuse_truncate")},
    ),
    "a guard with another function": Fault(
        "CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE OR REPLACE TRIGGER refuse_truncate BEFORE TRUNCATE ON {schema}.audit_log "
        "EXECUTE FUNCTION public.nothing()",
        {
            sick("trigger.changed", "audit_log refuse_truncate"),
            ("public", "function.extra", "nothing()"),
        },
    ),
    "a trigger of somebody's": Fault(
        "CREATE TRIGGER spy BEFORE INSERT ON {schema}.audit_key FOR EACH ROW EXECUTE FUNCTION guard.check_id()",
        {sick("trigger.extra", "audit_key spy")},
    ),
    "a rule that swallows": Fault(
        "CREATE RULE swallow AS ON INSERT TO {schema}.audit_key DO INSTEAD NOTHING",
        {sick("rule.extra", "audit_key swallow")},
    ),
    "a trail that is not registered": Fault(
        "DELETE FROM guard.protected WHERE object = '{schema}.audit_log'::regclass",
        {sick("hardening.unprotected", "audit_log")},
    ),
    "the platform's guard is off": Fault(
        "ALTER TABLE shared.platform_log_default DISABLE TRIGGER refuse_change",
        {("shared", "trigger.disabled", "platform_log_default refuse_change")},
    ),
    # functions
    "a guard that lets pass": Fault(
        "CREATE OR REPLACE FUNCTION guard.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        {("guard", "function.changed", "refuse_change()")},
    ),
    "a gate that goes by the caller's path": Fault(
        "ALTER FUNCTION gate.host RESET search_path", {("gate", "search_path.function", "host(host text)")}
    ),
    "a definer that is an invoker": Fault(
        "ALTER FUNCTION gate.ready SECURITY INVOKER", {("gate", "function.changed", "ready()")}
    ),
    "passwords by everyone": Fault(
        "GRANT EXECUTE ON FUNCTION guard.set_password TO PUBLIC",
        {("guard", "function.public", "set_password(person uuid, new_password text) PUBLIC EXECUTE")},
    ),
    "a function that shadows": Fault(
        "CREATE FUNCTION {schema}.hashtext(text) RETURNS integer LANGUAGE sql RETURN 0",
        {sick("function.extra", "hashtext(text)")},
    ),
    # owners
    "a table of a login's": Fault(
        "ALTER TABLE {schema}.audit_key OWNER TO {login}", {sick("owner.wrong", "audit_key")}
    ),
    "a gate of the platform's": Fault(
        "ALTER FUNCTION gate.ready OWNER TO {platform}", {("gate", "owner.wrong", "ready()")}
    ),
    "a schema of a tenant's role": Fault(
        "CREATE SCHEMA lair AUTHORIZATION {role}", {sick("role.owns", "schema lair {role}")}
    ),
    "a schema of a login": Fault(
        "CREATE SCHEMA lair AUTHORIZATION {login}", {("{login}", "login.owns", "schema lair {login}")}
    ),
    # what stands in the schema
    "a table that is shared too": Fault(
        "CREATE TABLE {schema}.tenants_user ()", {sick("table.in_both", "tenants_user")}
    ),
    "a table too many": Fault("CREATE TABLE {schema}.notes ()", {sick("table.extra", "notes")}),
    "a view into another schema": Fault(
        "CREATE VIEW {schema}.peek AS SELECT * FROM {other}.audit_key", {sick("table.extra", "peek")}
    ),
    "a table that is missing": Fault("DROP TABLE {schema}.audit_answer", {sick("table.missing", "audit_answer")}),
    "a table that a crash empties": Fault(
        "ALTER TABLE {schema}.audit_key SET UNLOGGED", {sick("table.changed", "audit_key")}
    ),
    "a child in another schema": Fault(
        "ALTER TABLE {other}.audit_answer INHERIT {schema}.audit_answer",
        {
            sick("table.child_elsewhere", "audit_answer {other}.audit_answer"),
            ("initech", "table.changed", "audit_answer"),
        },
    ),
    "a type": Fault("CREATE TYPE {schema}.mood AS ENUM ('bad')", {sick("object.extra", "type {schema}.mood")}),
    "a publication": Fault(
        "CREATE PUBLICATION leak FOR TABLE {schema}.usage_log",
        {sick("object.extra", "publication of table {schema}.usage_log in publication leak")},
    ),
    "a column of another type": Fault(
        "ALTER TABLE {schema}.audit_answer ALTER answer TYPE varchar(5)",
        {sick("column.changed", "audit_answer answer")},
    ),
    "a check that is missing": Fault(
        "ALTER TABLE {schema}.audit_answer DROP CONSTRAINT audit_answer_pkey",
        {sick("constraint.missing", "audit_answer audit_answer_pkey")},
    ),
    "an index that is missing": Fault(
        "DROP INDEX {schema}.audit_answer_created_at",
        {sick("index.missing", "audit_answer audit_answer_created_at")},
    ),
    "an index that is broken": Fault(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{schema}.audit_answer_created_at'::regclass",
        {sick("index.changed", "audit_answer audit_answer_created_at")},
    ),
    # the database
    "a database with another path": Fault(
        "ALTER DATABASE {database} SET search_path = public",
        {("database", "setting.dangerous", "(database) search_path=public")},
    ),
    # the directory
    "a schema of no tenant": Fault(
        "CREATE SCHEMA t_0123456789abcdef", {("directory", "schema.orphan", "t_0123456789abcdef")}
    ),
    "a role of no tenant": Fault(
        "CREATE ROLE {orphan}; CREATE SCHEMA lair AUTHORIZATION {orphan}",
        {("directory", "role.orphan", "{orphan}")},
        undo="DROP OWNED BY {orphan} CASCADE; DROP ROLE {orphan}",
    ),
    "a tenant without its schema": Fault(
        "DROP SCHEMA {schema} CASCADE", {sick("tenant.schema_missing", "{schema}")}
    ),
    "a schema that tells the customer": Fault(
        "ALTER SCHEMA {schema} RENAME TO hooli;"
        "UPDATE shared.tenants_tenant SET schema_name = 'hooli' WHERE slug = 'hooli'",
        {sick("schema.name", "hooli")},
    ),
    "a sealed login of two tenants": Fault(
        "UPDATE shared.tenants_tenant SET login = '{login}' WHERE slug = 'initech';"
        "REVOKE {other_role} FROM {cell} GRANTED BY {owner}; GRANT {other_role} TO {login} WITH INHERIT FALSE",
        {("initech", "login.shared", "{login}")},
        undo="REVOKE {other_role} FROM {login}; GRANT {other_role} TO {cell} WITH INHERIT FALSE GRANTED BY {owner}",
    ),
    # migrations
    "a migration that was not run": Fault(
        "DELETE FROM {schema}.django_migrations WHERE name = '0002_trail';"
        "DELETE FROM shared.tenants_tenantmigration WHERE tenant_id = '{id}' AND name = '0002_trail'",
        {sick("migration.pending", "audit.0002_trail")},
    ),
    "a migration that the ledger does not know": Fault(
        "DELETE FROM shared.tenants_tenantmigration WHERE tenant_id = '{id}' AND name = '0002_trail'",
        {sick("migration.ledger", "audit.0002_trail")},
    ),
    "a migration that the schema does not know": Fault(
        "DELETE FROM {schema}.django_migrations WHERE name = '0002_trail'",
        {sick("migration.ledger", "audit.0002_trail")},
    ),
    "a migration that failed": Fault(
        "UPDATE shared.tenants_tenantmigration SET state = 'failed', error = 'lock timeout' "
        "WHERE tenant_id = '{id}' AND name = '0002_trail'",
        {sick("migration.failed", "audit.0002_trail")},
    ),
    "a migration of another version": Fault(
        "INSERT INTO {schema}.django_migrations (app, name, applied) VALUES ('audit', '0099_later', now())",
        {sick("migration.unknown", "audit.0099_later")},
    ),
    # what only a superuser closes
    "set_config is open again": Fault(
        "GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO PUBLIC",
        {("database", "hardening.set_config", "set_config")},
    ),
    "blocks of code are open again": Fault(
        "GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC", {("database", "hardening.do", "do")}
    ),
    "an event trigger that is off": Fault(
        "ALTER EVENT TRIGGER daybook_drops DISABLE", {("database", "hardening.event_trigger", "daybook_drops")}
    ),
    "a foreign server": Fault(
        "CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing",
        {("database", "server.foreign", "elsewhere")},
    ),
    "blocks of code in another language": Fault(
        "CREATE TRUSTED LANGUAGE another HANDLER plpgsql_call_handler INLINE plpgsql_inline_handler",
        {("database", "hardening.language", "another")},
    ),
    "a language that no wall holds": Fault(
        "CREATE LANGUAGE another HANDLER plpgsql_call_handler", {("database", "language.untrusted", "another")}
    ),
    "an extension that reaches other servers": Fault(
        "CREATE SCHEMA lair; CREATE EXTENSION dblink SCHEMA lair", {("database", "extension.dangerous", "dblink")}
    ),
}  # fmt: skip
