"""The shared tables' walls, asked of the database's own catalog: a new table without one fails here."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.db import ProgrammingError, connection, connections, migrations
from django.db.migrations.executor import MigrationExecutor
from world import World

from tenants.models import ApiKey

# Whoever adds a shared table says here who may read it. A table that is in no set holds rows of tenants.
FOR_ALL = {
    "auth_group",
    "auth_group_permissions",
    "auth_permission",
    "django_content_type",
    "subscriptions_plan",
}
FOR_NO_ROLE = {
    "account_emailconfirmation",
    "audit_due",
    "request_count",
    "django_migrations",
    "tenants_credential",
    "tenants_schematemplate",
    "tenants_session",
    "tenants_tenantmigration",
}
# The role of the pages of accounts alone sees these: tests/tenants/accounts/test_walls.py.
FOR_ACCOUNTS = {"account_emailaddress", "mfa_authenticator", "tenants_attempt", "usersessions_usersession"}
PLATFORMS = {"platform_log", "platform_log_position", "platform_log_words", "platform_user_agent"}
FOR_NO_TENANT = FOR_NO_ROLE | FOR_ACCOUNTS | PLATFORMS
# How a row says whose it is, where that is not `tenant_id`.
OWNER_OF_ROW = {
    "tenants_tenant": "id",
    "tenants_user": "(SELECT m.tenant_id FROM shared.tenants_membership m WHERE m.user_id = x.id LIMIT 1)",
}
ROLES = [f"daybook_{role}" for role in ("app", "platform", "auditor", "account", "tenant", "guard", "login", "cell_1")]
WRITES = ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


def shared_tables(world: World) -> dict[str, tuple[bool, bool, bool]]:
    """Return (is a partition, has row security, forces it) of each shared table."""
    query = """
    SELECT relname, relispartition, relrowsecurity, relforcerowsecurity FROM pg_class
     WHERE relnamespace = 'shared'::regnamespace AND relkind IN ('r', 'p', 'f') ORDER BY 1"""
    return {name: flags for name, *flags in world.sql(query)}  # type: ignore[misc]


def whole_tables(world: World) -> list[str]:
    return [name for name, (is_partition, *_) in shared_tables(world).items() if not is_partition]


def privileges(world: World, role: str, table: str) -> set[str]:
    """Return what a role may do with a table, or with any column of it, by whatever membership it inherits."""
    query = """
    SELECT p FROM unnest(%s::text[]) p WHERE has_table_privilege(%s, %s, p)
        OR (p IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') AND has_any_column_privilege(%s, %s, p))"""
    name = f"shared.{table}"
    return {row[0] for row in world.sql(query, ["SELECT", *WRITES], role, name, role, name)}


def tenant_role(world: World, slug: str) -> str:
    return f"daybook_t_{world.tenant(slug).id.hex}"


def test_each_shared_table_has_row_security_that_binds_its_owner_too(world: World) -> None:
    for name, (is_partition, secured, forced) in shared_tables(world).items():
        if not is_partition and name != "django_migrations":
            assert (name, secured, forced) == (name, True, True)


def test_each_shared_table_has_a_policy_that_lets_the_owner_see_it(world: World) -> None:
    query = (
        "SELECT tablename FROM pg_policies WHERE schemaname = 'shared' AND roles = '{daybook_owner}' AND qual = 'true'"
    )
    assert {row[0] for row in world.sql(query)} == set(whole_tables(world)) - {"django_migrations"}


def test_nobody_but_the_owner_may_touch_a_partition_or_the_list_of_migrations(world: World) -> None:
    roles = (*ROLES, tenant_role(world, "acme"))
    bare = [name for name, (is_partition, *_) in shared_tables(world).items() if is_partition]
    assert bare
    for table in (*bare, "django_migrations"):
        assert {role: privileges(world, role, table) for role in roles} == {role: set() for role in roles}


@pytest.mark.parametrize("login", ["daybook_app", "daybook_cell_1"])
def test_a_login_may_touch_no_table_at_all(world: World, login: str) -> None:
    query = """
    SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE (n.nspname = 'shared' OR n.nspname LIKE 't\\_%%') AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
       AND (pg_get_userbyid(c.relowner) <> 'daybook_owner' OR has_table_privilege(%s, c.oid, %s))"""
    assert world.sql(query, login, "SELECT, INSERT, UPDATE, DELETE, TRUNCATE") == []


def test_a_tenants_role_may_write_no_shared_table_and_read_none_that_is_not_for_tenants(world: World) -> None:
    for table in whole_tables(world):
        allowed = privileges(world, tenant_role(world, "acme"), table)
        assert (table, allowed) == (table, set() if table in FOR_NO_TENANT else {"SELECT"})


def test_no_other_role_may_do_anything_with_the_tables_of_accounts(world: World) -> None:
    for table in FOR_ACCOUNTS:
        for role in set(ROLES) - {"daybook_account"}:
            assert (table, role, privileges(world, role, table)) == (table, role, set())


def test_no_role_may_read_credentials_and_sessions(world: World) -> None:
    for table in FOR_NO_ROLE:
        for role in ROLES:
            assert (table, role, privileges(world, role, table)) == (table, role, set())


@pytest.mark.parametrize("role", ROLES)
def test_no_role_may_read_the_digest_of_a_key(world: World, role: str) -> None:
    allowed = "SELECT has_column_privilege(%s, 'shared.tenants_apikey', 'digest', 'SELECT')"
    assert world.sql(allowed, role) == [(False,)]


@pytest.mark.parametrize("scope", ["acme", "platform"])
def test_a_digest_is_refused_to_whoever_asks_for_it(world: World, scope: str) -> None:
    opened = world.platform() if scope == "platform" else world.scope(scope)
    with pytest.raises(ProgrammingError, match="permission denied"), opened, connection.cursor() as cursor:
        cursor.execute("SELECT digest FROM tenants_apikey")
    with world.platform() if scope == "platform" else world.scope(scope):
        assert ApiKey.objects.exists()


def seen(world: World, table: str, slug: str) -> list[Any]:
    """Return the owners (tenants' ids, None for nobody's) of the rows that a tenant's role sees."""
    with world.scope(slug), connection.cursor() as cursor:
        cursor.execute(f"SELECT {OWNER_OF_ROW.get(table, 'tenant_id')} FROM shared.{table} x")
        return [row[0] for row in cursor.fetchall()]


def with_providers(world: World) -> None:
    """Let each tenant have named an identity provider."""
    world.sql(
        "INSERT INTO shared.tenants_identityprovider SELECT id, 'https://login.example', 'a', '{RS256}', 'r', '{}', ''"
        " FROM shared.tenants_tenant"
    )


@pytest.mark.parametrize("slug", ["acme", "globex"])
def test_a_tenants_role_sees_its_own_rows_of_each_shared_table_and_all_of_them(world: World, slug: str) -> None:
    tenant = world.tenant(slug).id
    world.api("acme").sign_in("alice")
    with_providers(world)
    for table in set(whole_tables(world)) - FOR_ALL - FOR_NO_TENANT:
        owner = OWNER_OF_ROW.get(table, "tenant_id")
        whole = [row[0] for row in world.sql(f"SELECT {owner} FROM shared.{table} x")]
        assert len(set(whole)) > 1, f"shared.{table} has no row of another tenant: give the world one"
        assert (table, seen(world, table, slug)) == (table, [tenant] * whole.count(tenant))


@pytest.mark.parametrize("table", sorted(FOR_ALL))
def test_what_is_for_all_is_seen_whole(world: World, table: str) -> None:
    whole = world.sql(f"SELECT count(*) FROM shared.{table}")[0][0]
    with world.scope("acme"), connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM shared.{table}")
        assert cursor.fetchone() == (whole,)


@pytest.mark.parametrize("table", sorted(FOR_NO_TENANT))
def test_what_is_for_no_tenant_is_refused(world: World, table: str) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"):  # noqa: SIM117
        with world.scope("acme"), connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM shared.{table}")


def test_the_sets_above_name_tables_that_exist(world: World) -> None:
    assert FOR_ALL | FOR_NO_TENANT | FOR_NO_ROLE | set(OWNER_OF_ROW) <= set(whole_tables(world))


def test_with_a_wall_down_the_same_question_finds_the_others_rows(world: World) -> None:
    tenant = world.acme.id
    with_providers(world)
    for table in set(whole_tables(world)) - FOR_ALL - FOR_NO_TENANT:
        world.sql(f"ALTER TABLE shared.{table} DISABLE ROW LEVEL SECURITY")
        assert set(seen(world, table, "acme")) > {tenant}, table
        world.sql(f"ALTER TABLE shared.{table} ENABLE ROW LEVEL SECURITY")


def test_a_person_who_left_is_still_seen_where_he_was_and_nowhere_else(world: World) -> None:
    world.sql("UPDATE shared.tenants_membership SET ended_at = now() WHERE user_id = %s", world.person("bob").pk)
    for slug, emails in (("acme", {"alice", "bob", "mia", "olga"}), ("globex", {"charlie"})):
        with world.scope(slug), connection.cursor() as cursor:
            cursor.execute("SELECT split_part(email, '@', 1) FROM tenants_user")
            assert {row[0] for row in cursor.fetchall()} == emails


# --- the owner, whom FORCE binds as well


def count_as_owner(seen_rows: list[int]) -> migrations.RunPython:
    """Return a step of a migration that counts people and tenants by historical models."""

    def count(apps: Any, editor: Any) -> None:
        models = [apps.get_model("tenants", name) for name in ("User", "Tenant", "ApiKey", "Session")]
        seen_rows.extend(model.objects.using(editor.connection.alias).count() for model in models)

    return migrations.RunPython(count, migrations.RunPython.noop)


def run_as_owner(step: migrations.RunPython) -> None:
    owner = connections["owner"]
    state = MigrationExecutor(owner).loader.project_state()
    with owner.schema_editor() as editor:
        step.database_forwards("tenants", editor, state, state)


def test_a_python_step_of_a_migration_sees_every_row_under_forced_row_security(world: World) -> None:
    world.api("acme").sign_in("alice")
    counted: list[int] = []
    run_as_owner(count_as_owner(counted))
    tables = ("user", "tenant", "apikey", "session")
    assert counted == [world.sql(f"SELECT count(*) FROM shared.tenants_{table}")[0][0] for table in tables]
    assert all(counted)


def test_without_the_owners_policy_a_migration_would_see_nothing(world: World) -> None:
    world.sql("DROP POLICY owner ON shared.tenants_user")
    counted: list[int] = []
    run_as_owner(count_as_owner(counted))
    assert counted[0] == 0


def clear_schemas(world: World) -> list[str]:
    """Take the tables of each tenant away; return the schemas' names."""
    schemas = [row[0] for row in world.sql("SELECT schema_name FROM shared.tenants_tenant ORDER BY 1")]
    for schema in schemas:
        world.sql(f"DROP SCHEMA {schema} CASCADE")
        world.sql(f"CREATE SCHEMA {schema} AUTHORIZATION daybook_owner")
    world.sql("DELETE FROM shared.tenants_tenantmigration")
    return schemas


def migrated(world: World) -> list[str]:
    return [row[0] for row in world.sql("SELECT schemaname FROM pg_tables WHERE tablename = 'audit_log' ORDER BY 1")]


@pytest.mark.parametrize("command", ["migrate_schemas", "migrate"])
def test_migrating_really_migrates_every_tenant(world: World, command: str) -> None:
    schemas = clear_schemas(world)
    assert migrated(world) == []
    call_command(command, verbosity=0)
    assert migrated(world) == schemas
    assert len(schemas) == 2


def test_without_the_owners_policy_no_tenant_would_be_migrated_and_no_error_told(world: World) -> None:
    clear_schemas(world)
    world.sql("DROP POLICY owner ON shared.tenants_tenant")
    call_command("migrate_schemas", verbosity=0)
    assert migrated(world) == []


def test_migrating_twice_changes_nothing(world: World) -> None:
    query = "SELECT count(*) FROM pg_class"
    before = world.sql(query)
    call_command("migrate_schemas", verbosity=0)
    assert world.sql(query) == before
