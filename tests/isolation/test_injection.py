"""SQL injected into a view that forgot to quote, by a tenant's key: an error each, or an answer that reveals nothing.

docs/security.md lists what PostgreSQL cannot stop; the last tests here show that list to be true.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.test import override_settings
from injections import CORPUS, Injection
from loose import loosen, plain_cursor
from psycopg import sql
from psycopg.conninfo import make_conninfo
from world import Api, World, address

from tenants import apikeys, hardening, provisioning, sealing
from tenants.backend.connection import UnitConnection
from tenants.backend.unit import auditor_role, platform_role, tenant_role

SECRET = "globex-only"
# No library for XML in this server; dblink wants a password; a cursor of another name; a value shown in an error.
REACHED = {"0A000", "2F003", "34000", "22P02"}


@pytest.fixture(autouse=True)
def vulnerable() -> Iterator[None]:
    with override_settings(TENANT_URLCONF="vulnerable_urls"):
        yield


@pytest.fixture
def target(world: World) -> World:
    """A world where both tenants have an entry, and dblink was installed before it was hardened."""
    from audit.models import AuditLog

    for slug, thing in (("acme", "acme-only"), ("globex", SECRET)):
        with world.scope(slug, user_agent=f"{thing}/1.0"):
            AuditLog.log_action(None, "waved", "thing", thing, {"name": {"old": thing, "new": thing}})
    world.sql("CREATE EXTENSION dblink SCHEMA shared")
    hardening.harden(superuser(world))
    return world


def superuser(world: World) -> str:
    return make_conninfo(world.superuser, dbname=world.database)


def names(world: World) -> dict[str, str]:
    prefix = settings.DATABASE_ROLE_PREFIX
    return {
        "own": world.acme.schema_name,
        "other": world.globex.schema_name,
        "other_role": tenant_role(world.globex.id),
        "platform": platform_role(),
        "auditor": auditor_role(),
        "owner": settings.DATABASE_OWNER_ROLE,
        "guard": f"{prefix}_guard",
    }


def secrets(world: World) -> list[str]:
    """Return what an answer to acme may not hold: all that is globex's, the platform's or secret."""
    rows = world.sql(
        "SELECT password FROM shared.tenants_credential"
        " UNION ALL SELECT encode(digest, 'hex') FROM shared.tenants_apikey"
        " UNION ALL SELECT data FROM shared.tenants_session UNION ALL SELECT rolpassword FROM pg_authid"
    )
    said = [SECRET, "Globex", "globex", world.globex.schema_name, str(world.globex.id), world.globex.id.hex]
    return [*said, address("charlie"), address("sam"), *(row[0] for row in rows if row[0])]


def send(world: World, injection: Injection, *more: str, limit: bool = False) -> Any:
    """Send one by HTTP, with a key of acme."""
    filled = {"q": injection.text.format(**names(world))}
    extra = {"then": [text.format(**names(world)) for text in more]} if more else {}
    return world.api("acme", "acme.read").get(
        f"/{injection.where}", **filled, **extra, **({"limit": 5} if limit else {})
    )


def state(world: World) -> list[Any]:
    """Return hashes of all that an injection might change."""
    tables = ("audit_log", "usage_log", "audit_user_agent", "audit_answer", "audit_key", "audit_export")
    places = [f"{tenant.schema_name}.{table}" for tenant in (world.acme, world.globex) for table in tables]
    places += ["shared.tenants_tenant", "shared.tenants_user", "shared.tenants_membership"]
    hashes = [world.sql(f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {place} t") for place in places]
    return [*hashes, world.sql("SELECT oid, relacl::text FROM pg_class ORDER BY 1")]


def test_the_corpus_is_large_and_no_text_stands_in_it_twice() -> None:
    texts = [(injection.where, injection.text) for injections in CORPUS.values() for injection in injections]
    assert len(texts) == len(set(texts)) >= 100


def test_the_views_are_vulnerable(target: World) -> None:
    """They run what they are sent: a tenant's own trail comes back, of all types and by whole statements."""
    found = send(target, Injection("x' OR '' = '", "nothing")).json()["rows"]
    assert ["waved", "acme-only"] in found
    found = send(target, Injection("SELECT resource_id FROM audit_log", "nothing", "statement")).json()["rows"]
    assert ["acme-only"] in found


@pytest.mark.parametrize("kind", CORPUS)
def test_an_injection_is_an_error_or_reveals_nothing(target: World, kind: str) -> None:
    before, hidden = state(target), secrets(target)
    for injection in CORPUS[kind]:
        for limit in (False, True) if injection.where == "clause" else (False,):
            answer = send(target, injection, limit=limit)
            body = answer.content.decode()
            assert not [secret for secret in hidden if secret in body], injection
            if injection.refused:
                assert answer.status_code >= 400, injection
    assert state(target) == before
    # And the connection is as good as new for whoever comes next.
    assert send(target, Injection("thing", "nothing")).json() == {"rows": [["waved", "acme-only"]]}


def directly(world: World, injection: Injection, login: dict[str, Any], role: str | None) -> str | None:
    """Run one on a plain connection; return the state of its error, None without one."""
    statement = injection.text.format(**names(world))
    if injection.where == "clause":
        statement = f"SELECT action, resource_id FROM audit_log WHERE resource_type = '{statement}'"
    with psycopg.connect(**login, autocommit=True) as connection, connection.transaction(force_rollback=True):
        connection.execute(sql.SQL("SET LOCAL search_path = {}, shared").format(sql.Identifier(world.acme.schema_name)))
        if role:
            connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
        try:
            connection.execute(statement.encode())
        except psycopg.Error as error:
            return error.sqlstate
    return None


def of(*controls: str) -> list[Injection]:
    return [injection for injections in CORPUS.values() for injection in injections if injection.control in controls]


def test_without_the_hardening_each_gets_through(target: World) -> None:
    login, role = target.dsn("acme"), tenant_role(target.acme.id)
    assert {directly(target, injection, login, role) for injection in of("hardening")} == {"42501"}
    loosen(target)
    for injection in of("hardening"):
        assert directly(target, injection, login, role) in {None, *REACHED}, injection


def test_without_the_hardening_the_view_reveals_other_tenants(target: World) -> None:
    loosen(target)
    hidden = secrets(target)
    for injection in CORPUS["catalogs"][:3]:
        body = send(target, injection).content.decode()
        assert [secret for secret in hidden if secret in body], injection


def test_without_the_hardening_one_injected_expression_makes_the_rest_of_the_request_another_tenants(
    target: World,
) -> None:
    change = Injection("SELECT set_config('role', '{other_role}', true)", "hardening", "statement")
    read = "SELECT resource_id FROM {other}.audit_log"
    assert send(target, change, read).status_code >= 400
    loosen(target)
    assert [SECRET] in send(target, change, read).json()["rows"]


def test_with_djangos_own_cursor_stacked_statements_get_through(target: World) -> None:
    with plain_cursor():
        for injection in of("cursor"):
            assert send(target, injection).status_code == 200, injection
    for injection in of("cursor"):
        assert send(target, injection).status_code >= 400, injection


def test_with_the_rights_of_a_superuser_each_gets_through(target: World) -> None:
    login = {"conninfo": superuser(target)}
    for injection in of("rights"):
        assert directly(target, injection, login, None) in {None, *REACHED}, injection


def test_without_the_guards_the_trail_is_changed(target: World) -> None:
    for table in ("audit_log", "audit_log_default", "usage_log", "usage_log_default"):
        target.sql(f"ALTER TABLE {target.acme.schema_name}.{table} DISABLE TRIGGER USER")
    for injection in of("trigger"):
        assert directly(target, injection, {"conninfo": superuser(target)}, None) is None, injection


# What PostgreSQL cannot stop, as docs/security.md lists it.


def test_casts_reveal_names_that_say_nothing_of_whose_they_are(target: World) -> None:
    text = "x' UNION SELECT n::oid::regnamespace::text, '' FROM generate_series(16384, 40000) AS n -- "
    body = send(target, Injection(text, "nothing")).content.decode()
    assert target.globex.schema_name in body
    assert not [secret for secret in secrets(target) if secret in body and secret != target.globex.schema_name]


CHANGE = Injection('SET LOCAL ROLE "{other_role}"', "nothing", "statement")
READ = "SELECT resource_id FROM {other}.audit_log WHERE action = 'waved'"


def test_a_role_set_by_a_whole_statement_is_gone_before_the_next_statement_of_the_request(target: World) -> None:
    path = Injection("SET LOCAL search_path = {other}", "nothing", "statement")
    context = Injection("SET LOCAL daybook.context = 'x'", "nothing", "statement")
    who = "SELECT current_user, current_setting('search_path'), current_setting('daybook.context')"
    mine = send(target, Injection(who, "nothing", "statement")).json()["rows"]
    for change in (CHANGE, path, context, Injection("RESET ALL", "nothing", "statement")):
        assert send(target, change, READ).status_code >= 400
        assert [row[:2] for row in send(target, change, who).json()["rows"]] == [row[:2] for row in mine]


@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN"])
def test_a_statement_that_ends_the_transaction_ends_the_request(target: World, ending: str) -> None:
    end, session = (Injection(text, "nothing", "statement") for text in (ending, 'SET ROLE "{other_role}"'))
    path = "SET search_path = {other}"
    before = state(target)
    assert send(target, end, READ).status_code >= 400
    assert send(target, session, path, ending, READ).status_code >= 400
    assert state(target) == before
    assert send(target, Injection("thing", "nothing")).json() == {"rows": [["waved", "acme-only"]]}


def test_without_that_two_whole_statements_reach_the_tenants_of_the_same_login(
    target: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UnitConnection, "restore", lambda _connection, _tag=None: None)
    assert send(target, CHANGE, READ).json()["rows"] == [[SECRET]]
    # Whatever the first one sets is gone with its request all the same.
    assert send(target, CHANGE).status_code == 200
    assert send(target, Injection(READ, "nothing", "statement")).status_code >= 400


def test_on_the_sealed_tier_they_reach_nobody(target: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # A tenant of the test's own: logins and roles are the cluster's, which other tests share.
    tenant = sealing.seal_tenant(provisioning.create_tenant(slug="initech", name="Initech", domain="initech.localhost"))
    monkeypatch.setattr(UnitConnection, "restore", lambda _connection, _tag=None: None)
    with target.platform():
        api = Api("initech.localhost", apikeys.issue(name="read", tenant=tenant, scopes=["audit:read"])[1])
    change, read = (text.format(**names(target)) for text in (CHANGE.text, READ))
    try:
        assert api.get("/statement", q=change, then=[read]).status_code >= 400
        assert api.get("/statement", q=change).status_code >= 400
        assert api.get("/statement", q="SELECT current_user").json() == {"rows": [[tenant_role(tenant.id)]]}
    finally:
        provisioning.drop_tenant(tenant)
