"""The file of expected facts is what the migrations make, and the doctor finds nothing on a fresh database."""

from __future__ import annotations

import os
import re
from pathlib import Path

from psycopg.conninfo import make_conninfo
from world import World

from tenants import hardening
from tenants.doctor import directory, expected
from tenants.doctor.examination import Report, examine, sections
from tenants.doctor.facts import Facts, connect

RECORD = "RECORD_WALLS"


def live(world: World, slug: str) -> dict[str, Facts]:
    """Return the facts of the database as the file keeps them, the tenant's those of one."""
    with connect("owner") as connection:
        row = next(row for row in directory.read(connection) if row.slug == slug)
        return sections(connection, row)


def both(world: World) -> dict[str, Facts]:
    """Return the facts of the database, relaxed, and those in which the hardened one differs."""
    superuser = make_conninfo(world.superuser, dbname=world.database)
    hard = live(world, "acme")
    hardening.relax(superuser, reason="to see the difference")
    soft = live(world, "acme")
    hardening.harden(superuser)
    assert live(world, "acme") == hard
    return {**soft, **{f"{place} hardened": facts for place, facts in hard.items() if facts != soft[place]}}


def test_the_file_of_walls_is_what_the_migrations_make(world: World) -> None:
    (path,) = expected.files
    text = expected.render(both(world))
    if os.environ.get(RECORD):
        path.write_text(text, encoding="utf-8")
    kept = set(path.read_text(encoding="utf-8").splitlines())
    made = set(text.splitlines())
    told = [*(f"- {line}" for line in sorted(kept - made)), *(f"+ {line}" for line in sorted(made - kept))]
    assert not told, f"Look at each change of a wall, then run this test with {RECORD}=1:\n" + "\n".join(told)


def test_what_is_kept_is_read_as_it_was_written(world: World) -> None:
    facts = live(world, "acme")
    assert expected.parse(expected.render(facts)) == {place: found for place, found in facts.items() if found}


def test_all_tenants_are_made_alike(world: World) -> None:
    assert live(world, "acme") == live(world, "globex")


def test_a_fresh_database_has_no_finding(world: World) -> None:
    assert examine() == Report(2, [])


def test_expected_facts_name_no_role_and_no_tenant_of_this_installation(world: World) -> None:
    text = Path(expected.files[0]).read_text(encoding="utf-8")
    assert "daybook_" not in re.sub(r"\bdaybook_(start|commands|(insert|update|delete|truncate)\b|capture_)", "", text)
    assert world.acme.schema_name not in text
