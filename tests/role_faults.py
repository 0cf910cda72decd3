"""Faults of roles and logins, planted as those of `faults` are, and what rights a role has where it should have none.

Roles are the cluster's: these are of the sick tenant's own, or of rights, which are one database's.
"""

from __future__ import annotations

from faults import FAULTS, Fault, sick

ROLE_FAULTS = {
    # roles and logins
    "a tenant's role that can sign in": Fault(
        "ALTER ROLE {role} LOGIN", {sick("role.login", "{role} login")}, undo="ALTER ROLE {role} NOLOGIN"
    ),
    "a tenant's role that row security spares": Fault(
        "ALTER ROLE {role} BYPASSRLS",
        {sick("role.bypassrls", "{role} bypassrls"), sick("proof.directory", "{role}")},
        undo="ALTER ROLE {role} NOBYPASSRLS",
    ),
    "a tenant's role that makes roles": Fault(
        "ALTER ROLE {role} CREATEROLE",
        {sick("role.createrole", "{role} createrole")},
        undo="ALTER ROLE {role} NOCREATEROLE",
    ),
    "a login that inherits": Fault(
        "ALTER ROLE {login} INHERIT",
        {("{login}", "login.inherit", "{login} inherit")},
        undo="ALTER ROLE {login} NOINHERIT",
    ),
    "a login that makes databases": Fault(
        "ALTER ROLE {login} CREATEDB",
        {("{login}", "login.createdb", "{login} createdb")},
        undo="ALTER ROLE {login} NOCREATEDB",
    ),
    "a login that is a superuser": Fault(
        "ALTER ROLE {login} SUPERUSER",
        {("{login}", "login.superuser", "{login} superuser"), sick("proof.platform_role", "{role}")},
        undo="ALTER ROLE {login} NOSUPERUSER",
    ),
    "a login with another password": Fault(
        "ALTER ROLE {login} PASSWORD 'another'",
        {("{login}", "login.refused", "{login}")},
        undo="ALTER ROLE {login} PASSWORD '{password}'",
    ),
    "a tenant's role for another login": Fault(
        "GRANT {role} TO {cell} WITH INHERIT FALSE, SET TRUE",
        {sick("membership.extra", "{role} {cell}")},
        undo="REVOKE {role} FROM {cell}",
    ),
    "a tenant's role for the application": Fault(
        "GRANT {role} TO {app} WITH INHERIT FALSE, SET TRUE",
        {sick("membership.extra", "{role} {app}")},
        undo="REVOKE {role} FROM {app}",
    ),
    "a tenant that is the platform": Fault(
        "GRANT {platform} TO {role}",
        {sick("membership.extra", "{platform} {role}"), sick("proof.platform_role", "{role}"),
         sick("proof.read_platform_log", "{role}"), sick("proof.directory", "{role}")},
        undo="REVOKE {platform} FROM {role}",
    ),
    "a tenant that is a server program": Fault(
        "GRANT pg_execute_server_program TO {role} WITH INHERIT FALSE",
        {sick("membership.extra", "pg_execute_server_program {role}")},
        undo="REVOKE pg_execute_server_program FROM {role}",
    ),
    "a login that has the tenant's rights at once": Fault(
        "GRANT {role} TO {login} WITH INHERIT TRUE",
        {sick("membership.inherit", "{role} {login}")},
        undo="REVOKE {role} FROM {login}",
    ),
    "a login that lost its tenant": Fault(
        "REVOKE {role} FROM {login} GRANTED BY {owner}",
        {sick("membership.missing", "{role} {login}")},
        undo="GRANT {role} TO {login} WITH INHERIT FALSE, SET TRUE GRANTED BY {owner}",
    ),
    "a login with the auditor's role": Fault(
        "GRANT {auditor} TO {login} WITH INHERIT FALSE",
        {("{login}", "membership.extra", "{auditor} {login}")},
        undo="REVOKE {auditor} FROM {login}",
    ),
    "a tenant's role with a setting": Fault(
        "ALTER ROLE {role} SET work_mem = '1GB'",
        {sick("setting.dangerous", "{role} work_mem=1GB")},
        undo="ALTER ROLE {role} RESET ALL",
    ),
    "a login that begins as another role": Fault(
        "ALTER ROLE {login} IN DATABASE {database} SET role = '{role}'",
        {("{login}", "setting.dangerous", "{login} role={role}")},
    ),
    "a platform with a setting": Fault(
        "ALTER ROLE {platform} IN DATABASE {database} SET jit = off",
        {("roles", "setting.dangerous", "{platform} jit=off")},
    ),
    "a login that plays a replica": Fault(
        "ALTER ROLE {login} SET session_replication_role = replica",
        {("{login}", "setting.dangerous", "{login} session_replication_role=replica")},
        undo="ALTER ROLE {login} RESET ALL",
    ),
    # rights of the roles that every installation has
    "files for all tenants": Fault(
        "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO {tenant}",
        {("roles", "grant.elsewhere", "function pg_read_file(text) {tenant}")},
    ),
    "the server's passwords for the platform": Fault(
        "GRANT SELECT ON pg_authid TO {platform}", {("roles", "grant.elsewhere", "table pg_authid {platform}")}
    ),
    "set_config for the application": Fault(
        "GRANT EXECUTE ON FUNCTION set_config TO {app}",
        {("roles", "grant.elsewhere", "function set_config(text,text,boolean) {app}")},
    ),
    "a schema that no migration made": Fault(
        "CREATE SCHEMA lair; CREATE TABLE lair.loot (); GRANT USAGE ON SCHEMA lair TO {tenant}, {login_group};"
        "GRANT SELECT ON lair.loot TO {platform}, {auditor}, {guard}",
        {("roles", "grant.elsewhere", "schema lair {tenant}"),
         ("roles", "grant.elsewhere", "schema lair {login_group}"),
         ("roles", "grant.elsewhere", "table lair.loot {platform}"),
         ("roles", "grant.elsewhere", "table lair.loot {auditor}"),
         ("roles", "grant.elsewhere", "table lair.loot {guard}")},
    ),
}  # fmt: skip

ALL_FAULTS = FAULTS | ROLE_FAULTS
