"""The benchmark of thousands of tenants works with four of them. Its figures are not looked at: machines differ."""

from __future__ import annotations

import importlib
from pathlib import Path
from time import monotonic

import pytest
from psycopg.conninfo import make_conninfo
from world import World

from bench import start
from bench.base import Bench, Figure
from bench.tenants import export, memory, migration
from bench.tenants.stage import Stage, crowded, populate

COUNT = 4


@pytest.fixture
def stage(world: World, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The world with two tenants more, made as a run makes them; commands in processes of their own find it."""
    import os

    for name in ("DATABASE_URL", "MIGRATION_DATABASE_URL"):
        monkeypatch.setenv(name, os.environ[name].replace("/world?", f"/{world.database}?"))
    superuser = make_conninfo(world.superuser, dbname=world.database)
    bench = Bench(superuser, world.acme, world.globex, world.actor("alice"), world.keys["acme.read"], COUNT)
    stage, figures = populate(bench, COUNT)
    assert (stage.count, world.sql("SELECT count(*) FROM shared.tenants_tenant")) == (COUNT, [(COUNT,)])
    assert [figure.value > 0 for figure in figures] == [True] * 3
    return stage


@pytest.mark.parametrize("part", ["creation", "stall", "memory"])
def test_a_part_measures_and_leaves_the_tenants_as_they_were(
    stage: Stage, world: World, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(f"bench.tenants.{part}")
    monkeypatch.setattr(module, "ROUNDS", 2)
    before = world.sql("SELECT slug, login FROM shared.tenants_tenant ORDER BY slug")
    figures = list(module.run(stage))
    assert figures
    assert not [figure.name for figure in figures if not figure.value and "stall" not in figure.name]
    assert world.sql("SELECT slug, login FROM shared.tenants_tenant ORDER BY slug") == before


def test_a_crowded_login_takes_on_every_tenants_role_and_goes_again(stage: Stage, world: World) -> None:
    roles = "SELECT count(*) FROM pg_auth_members AS m JOIN pg_roles AS r ON r.oid = m.member WHERE r.rolname = %s"
    with crowded(stage) as login:
        assert world.sql(roles, login) == [(COUNT + 1,)]  # and that of all logins
    assert world.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", login) == []


def test_an_export_is_timed(stage: Stage, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "ENTRIES", 300)
    assert [figure.value > 0 for figure in export.run(stage)] == [True]
    assert world.entries("acme") >= 300


def test_a_killed_migration_is_counted_and_taken_back(stage: Stage, world: World) -> None:
    counted = {figure.name.partition(",")[0]: figure.value for figure in migration._killed(stage, None)}
    assert counted.pop("killed and resumed") > 0
    assert counted == {
        "tenants left half-way by the kill": 0,
        "tenants in which anything was done twice": 0,
        "tenants not migrated in the end": 0,
    }
    left = migration._state(stage.bench, migration.TABLE)
    assert (left.touched, left.complete) == (set(), set())


def test_what_is_done_again_shows(stage: Stage, world: World) -> None:
    def made() -> migration._State:
        return migration._state(stage.bench, migration.TABLE)

    tenant = world.acme
    change = f"CREATE INDEX {migration.COLUMN} ON {tenant.schema_name}.{migration.TABLE} ({migration.COLUMN})"
    world.sql(f"ALTER TABLE {tenant.schema_name}.{migration.TABLE} ADD COLUMN {migration.COLUMN} text")
    world.sql(change)
    assert (made().touched, made().complete) == ({tenant.schema_name}, set())
    note = "INSERT INTO {}.django_migrations (app, name, applied) VALUES ('audit', '{}', now())"
    world.sql(note.format(tenant.schema_name, migration.NAME))
    ledger = "INSERT INTO shared.tenants_tenantmigration (tenant_id, app, name, state, error)"
    world.sql(f"{ledger} VALUES (%s, 'audit', %s, 'applied', '')", tenant.id, migration.NAME)
    before = made()
    assert (before.complete, made().again(before)) == ({tenant.schema_name}, set())
    world.sql(f"DROP INDEX {tenant.schema_name}.{migration.COLUMN}")
    world.sql(change)
    assert made().again(before) == {tenant.schema_name}
    world.sql(note.format(tenant.schema_name, migration.NAME))
    assert made().complete == set()


def test_the_growth_is_that_of_the_change_alone() -> None:
    names = [migration.CHANGE, f"{migration.CHANGE}, of the trail itself", migration.NOTHING]
    figures = [
        Figure(f"{name}, at {count:,} tenants", seconds, "s")
        for count, seconds in ((1000, 4.0), (5000, 22.0))
        for name in names
    ]
    grown = list(migration.growth(figures))
    assert [(figure.name, figure.value) for figure in grown] == [
        (f"{migration.CHANGE}: time(5,000 / 1,000)", 5.5),
    ]
    assert list(migration.growth(figures[:3])) == []


def test_private_memory_is_that_of_the_process_alone(tmp_path: Path) -> None:
    import os

    assert 1 < memory.private(os.getpid()) < 4096
    assert memory.private(2**22 + 1) == 0


def test_a_benchmark_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    from bench.__main__ import main

    assert main(["tenant"]) == 2
    assert "There is no benchmark tenant. There are: size, " in capsys.readouterr().err


def checkout(folder: Path, *commands: str) -> Path:
    """Return a copy of a checkout whose `make run` runs these commands of the shell; what was made in it stays."""
    (folder / "source" / ".venv").mkdir(parents=True)
    lines = "\n".join(f"\t@{command}" for command in commands)
    (folder / "source" / "Makefile").write_text(f"run:\n{lines}\n", encoding="utf-8")
    return start.copied(folder / "source", folder / "copy")


def test_a_start_is_timed_from_a_bare_copy_to_the_line_that_says_so_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIGRATION_DATABASE_URL", "postgresql://of.another")
    copy = checkout(
        tmp_path, "env > environment", "sleep 0.2", "echo; echo 'Daybook is ready. Ctrl-C stops it.'", "sleep 60"
    )
    assert [file.name for file in copy.iterdir()] == ["Makefile"]
    began = monotonic()
    assert start.started(copy) > 0.2
    assert monotonic() - began < 30
    environment = (copy / "environment").read_text(encoding="utf-8")
    assert "\nPORT=" in f"\n{environment}"
    assert "DATABASE_URL" not in environment
    assert not [link for link in Path("/proc").glob("[0-9]*/cwd") if str(copy) in where(link)]


def where(link: Path) -> str:
    """Return the folder that a process works in, as far as it may be known."""
    try:
        return str(link.readlink())
    except OSError:
        return ""


def test_a_start_that_fails_says_the_last_line(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"before it was ready: .*Error 3"):
        start.started(checkout(tmp_path, "echo no such thing", "exit 3"))
