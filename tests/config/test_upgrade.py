"""`manage.py upgrade`, the way of production: it says how far it is, and leaves the database hardened."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from labs import ADD_NOTE, Lab
from psycopg.conninfo import make_conninfo
from world import World

from config import local
from tenants import migrator
from tenants.migrator import Manner, Outcome

GUARDED = "SELECT count(*) FROM pg_event_trigger WHERE evtenabled = 'A'"
CHECK = 'migrations.RunSQL("ALTER TABLE audit_answer ADD CHECK (status IS NOT NULL)")'


@pytest.fixture
def lab(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Scratch migrations after the real ones, and the superuser's address as the composition's `migrate` has it."""
    monkeypatch.setenv(local.SUPERUSER, make_conninfo(world.superuser, dbname=world.database))
    made = Lab(tmp_path)
    with made.open():
        yield made


def upgrade(*arguments: str) -> list[str]:
    """Run the command; return the lines that it wrote."""
    out = io.StringIO()
    call_command("upgrade", *arguments, stdout=out)
    return out.getvalue().splitlines()


def noted(world: World) -> list[str]:
    """Return the slugs of the tenants that have the scratch migration's column."""
    return [
        slug
        for slug, schema in world.sql("SELECT slug, schema_name FROM shared.tenants_tenant ORDER BY slug")
        if world.sql(
            "SELECT 1 FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'note'", f"{schema}.audit_answer"
        )
    ]


def test_where_nothing_is_pending_it_says_so_and_relaxes_nothing(lab: Lab, world: World) -> None:
    before = world.sql("SELECT count(*) FROM shared.platform_log")
    assert upgrade() == [
        "The shared tables are up to date.",
        "Every tenant is up to date.",
        "The database is up to date.",
    ]
    assert world.sql("SELECT count(*) FROM shared.platform_log") == before


def test_it_says_each_step_and_how_far_it_is(lab: Lab, world: World) -> None:
    guards = world.sql(GUARDED)
    lab.add("0901_note", ADD_NOTE)
    assert upgrade("--jobs", "1") == [
        "Relaxed the database: migrations are pending, which may change trails.",
        "The shared tables are up to date.",
        "1 of 2 tenants",
        "2 of 2 tenants",
        "Hardened the database.",
        "2 tenants migrated.",
        "The database is up to date.",
    ]
    assert noted(world) == ["acme", "globex"]
    assert world.sql(GUARDED) == guards != [(0,)]


def test_a_tenant_that_fails_is_an_error_and_the_others_are_served_from_a_hardened_database(
    lab: Lab, world: World
) -> None:
    guards = world.sql(GUARDED)
    lab.add("0901_note", ADD_NOTE)
    schema = world.sql("SELECT schema_name FROM shared.tenants_tenant WHERE slug = 'globex'")[0][0]
    world.sql(f"INSERT INTO {schema}.audit_answer (digest, request) VALUES ('a', 'b')")
    lab.add("0902_check", CHECK)
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(CommandError, match=r"^1 failed, 0 not begun\..*run this again"):
        call_command("upgrade", "--max-failures", "2", stdout=out, stderr=err)
    assert err.getvalue().startswith("globex: audit.0902_check failed: IntegrityError: ")
    assert "Hardened the database." in out.getvalue()
    assert "The database is up to date." not in out.getvalue()
    assert world.sql(GUARDED) == guards != [(0,)]
    world.sql(f"DELETE FROM {schema}.audit_answer")
    assert "1 tenant migrated." in upgrade()
    assert world.sql(GUARDED) == guards


def test_the_manner_reaches_the_migrator(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Manner] = []

    def run(only: object, manner: Manner, **_rest: Any) -> Outcome:
        assert only is None
        seen.append(manner)
        return Outcome()

    monkeypatch.setattr(migrator, "run", run)
    upgrade("--jobs", "7", "--max-failures", "3", "--lock-timeout", "1.5")
    assert [(one.jobs, one.max_failures, one.lock_timeout) for one in seen] == [(7, 3, 1.5)]
    upgrade()
    assert (seen[1].jobs, seen[1].max_failures) == (migrator.JOBS, migrator.MAX_FAILURES)


@pytest.mark.parametrize("wrong", [("--jobs", "0"), ("--max-failures", "-1"), ("--lock-timeout", "soon")])
def test_a_wrong_number_is_refused_and_nothing_begun(lab: Lab, world: World, wrong: tuple[str, str]) -> None:
    lab.add("0901_note", ADD_NOTE)
    with pytest.raises(CommandError, match=f"argument {wrong[0]}"):
        upgrade(*wrong)
    assert noted(world) == []
