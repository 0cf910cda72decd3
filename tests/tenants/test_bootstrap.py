"""Preparing an empty PostgreSQL: roles that own and inherit no more than they should, a database closed to others."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tenants.bootstrap import bootstrap

ROLES = ("owner", "app", "platform", "auditor", "account", "guard", "tenant", "login")


@pytest.fixture
def prepared(superuser: psycopg.Connection[Any]) -> Iterator[str]:
    """A database and roles of their own, named by one word; they are gone afterwards."""
    name = f"boot{uuid.uuid4().hex[:12]}"
    assert prepare(name)
    yield name
    superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")
    for role in reversed(ROLES):
        superuser.execute(f"DROP ROLE {name}_{role}")


def prepare(name: str) -> bool:
    """Prepare the database and roles that a word names."""
    admin = os.environ["DAYBOOK_TEST_SUPERUSER"]
    return bootstrap(admin, database=name, owner_password="it's o", app_password='a"a', prefix=name)


def login(name: str, role: str, password: str, database: str | None = None) -> psycopg.Connection[Any]:
    """Connect as one of the logins."""
    admin = os.environ["DAYBOOK_TEST_SUPERUSER"]
    return psycopg.connect(admin, user=f"{name}_{role}", password=password, dbname=database or name, autocommit=True)


def test_a_second_run_changes_nothing(prepared: str, superuser: psycopg.Connection[Any]) -> None:
    before = superuser.execute("SELECT oid, rolname FROM pg_roles ORDER BY 1").fetchall()
    assert not prepare(prepared)
    assert superuser.execute("SELECT oid, rolname FROM pg_roles ORDER BY 1").fetchall() == before


def test_the_two_logins_come_in_with_passwords_of_any_characters(prepared: str) -> None:
    for role, password in (("owner", "it's o"), ("app", 'a"a')):
        with login(prepared, role, password) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (f"{prepared}_{role}",)


def test_nobody_is_a_superuser_and_the_application_can_make_nothing(
    prepared: str, superuser: psycopg.Connection[Any]
) -> None:
    rows = superuser.execute(
        "SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolcanlogin, rolinherit"
        " FROM pg_roles WHERE rolname LIKE %s",
        [f"{prepared}\\_%"],
    ).fetchall()
    found = {name.removeprefix(f"{prepared}_"): rest for name, *rest in rows}
    assert set(found) == set(ROLES)
    assert not any(row[0] or row[2] or row[3] for row in found.values())
    assert [name for name, row in found.items() if row[1]] == ["owner"]
    assert {name for name, row in found.items() if row[4]} == {"owner", "app"}
    assert not found["app"][5]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE shared.t (x int)",
        "CREATE TABLE public.t (x int)",
        "CREATE SCHEMA mine",
        "CREATE TEMP TABLE t (x int)",
        "CREATE FUNCTION guard.f() RETURNS int LANGUAGE sql RETURN 1",
        "CREATE ROLE another",
        "SET ROLE {name}_owner",
        "SET ROLE {name}_guard",
        "SET ROLE {name}_tenant",
    ],
)
def test_the_application_may_not(prepared: str, statement: str) -> None:
    with login(prepared, "app", 'a"a') as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.replace("{name}", prepared))


def test_the_application_may_become_the_platform_but_does_not_inherit_from_it(prepared: str) -> None:
    with login(prepared, "app", 'a"a') as connection:
        row = connection.execute(
            "SELECT pg_has_role(%s, 'SET'), pg_has_role(%s, 'USAGE')", [f"{prepared}_platform"] * 2
        )
        assert row.fetchone() == (True, False)


def test_other_logins_cannot_connect(prepared: str, superuser: psycopg.Connection[Any]) -> None:
    stranger = f"{prepared}_stranger"
    superuser.execute(f"CREATE ROLE {stranger} LOGIN PASSWORD 'x'")
    try:
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            login(prepared, "stranger", "x")
    finally:
        superuser.execute(f"DROP ROLE {stranger}")


def test_a_database_whose_preparation_was_cut_short_is_completed(superuser: psycopg.Connection[Any]) -> None:
    name = f"boot{uuid.uuid4().hex[:12]}"
    superuser.execute(f"CREATE DATABASE {name}")
    try:
        assert prepare(name)
        with login(name, "owner", "it's o") as connection:
            found = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname IN ('shared', 'gate', 'guard')")
            assert len(found.fetchall()) == 3
    finally:
        superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")
        for role in reversed(ROLES):
            superuser.execute(f"DROP ROLE IF EXISTS {name}_{role}")
