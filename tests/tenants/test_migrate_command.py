"""`manage.py tenants migrate` and `manage.py migrate_schemas`, as an operator types them; and killed half-way."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command
from labs import ADD_NOTE, Lab
from world import World

from tenants import migrator, provisioning

ROOT = Path(__file__).parents[2]
CHECK = 'migrations.RunSQL("ALTER TABLE audit_answer ADD CHECK (status IS NOT NULL)")'
PATIENCE = 60.0


def command(*arguments: str) -> tuple[str, str]:
    """Run a command; return what it wrote to standard output and to standard error."""
    out, err = io.StringIO(), io.StringIO()
    call_command(*arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def schemas(world: World) -> dict[str, str]:
    """Return the tenants' schemas by slug."""
    return dict(world.sql("SELECT slug, schema_name FROM shared.tenants_tenant ORDER BY slug"))


def having(world: World, column: str = "note") -> list[str]:
    """Return the schemas in which audit_answer has a column."""
    query = "SELECT attrelid::regclass::text FROM pg_attribute WHERE attname = %s ORDER BY 1"
    return [name.partition(".")[0] for (name,) in world.sql(query, column) if name.endswith(".audit_answer")]


def test_where_nothing_is_pending_it_says_so(world: World) -> None:
    assert command("tenants", "migrate", "--plan") == ("Nothing to do: every schema is up to date.\n", "")
    assert command("tenants", "migrate") == ("Every tenant is up to date.\n", "")


def test_the_plan_says_which_migration_how_many_tenants_lack_and_changes_nothing(lab: Lab, world: World) -> None:
    lab.add("0901_note", ADD_NOTE)
    lab.add("0902_check", CHECK)
    plan = "audit.0901_note  in 2 tenants\naudit.0902_check  in 2 tenants\n"
    assert command("tenants", "migrate", "--plan") == (plan, "")
    assert (
        command("tenants", "migrate", "--plan", "--tenant", "acme")[0].splitlines()[0] == "audit.0901_note  in 1 tenant"
    )
    assert having(world) == []


def test_it_migrates_and_tells_how_far_it_is_in_plain_lines(lab: Lab, world: World) -> None:
    lab.add("0901_note", ADD_NOTE)
    out, err = command("tenants", "migrate", "--jobs", "1")
    assert out.splitlines() == ["1 of 2 tenants", "2 of 2 tenants", "2 tenants migrated."]
    assert err == ""
    assert having(world) == sorted(schemas(world).values())


def test_at_a_terminal_it_draws_a_bar(lab: Lab, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    lab.add("0901_note", ADD_NOTE)
    out, _ = command("tenants", "migrate")
    assert out == "2 tenants migrated.\n"
    assert "migrating" in terminal.getvalue()
    assert "2/2" in terminal.getvalue()


def test_a_failure_is_named_with_the_tenant_and_what_to_do_and_is_an_error(lab: Lab, world: World) -> None:
    world.sql(f"INSERT INTO {schemas(world)['globex']}.audit_answer (digest, request) VALUES ('a', 'b')")
    lab.add("0901_check", CHECK)
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(CommandError, match=r"^1 failed, 0 not begun\..*run this again, it goes on where it stopped"):
        call_command("tenants", "migrate", "--max-failures", "2", stdout=out, stderr=err)
    assert err.getvalue().startswith("globex: audit.0901_check failed: IntegrityError: ")
    assert "1 tenant migrated." in out.getvalue()


def test_only_the_named_tenants_are_migrated(lab: Lab, world: World) -> None:
    lab.add("0901_note", ADD_NOTE)
    command("tenants", "migrate", "--tenant", "globex")
    assert having(world) == [schemas(world)["globex"]]
    with pytest.raises(CommandError, match=r"no tenant 'nope'; `manage.py tenants list`"):
        command("tenants", "migrate", "--tenant", "nope")


@pytest.mark.parametrize(
    "wrong",
    [("--jobs", "0"), ("--jobs", "two"), ("--max-failures", "-1"), ("--lock-timeout", "0"), ("--lock-timeout", "soon")],
)
def test_a_wrong_number_is_refused(lab: Lab, world: World, wrong: tuple[str, str]) -> None:
    lab.add("0901_note", ADD_NOTE)
    with pytest.raises(CommandError, match=f"argument {wrong[0]}"):
        command("tenants", "migrate", *wrong)
    assert having(world) == []


def test_two_runs_at_once_are_one(lab: Lab, world: World) -> None:
    lab.add("0901_note", ADD_NOTE)
    with migrator._alone(), pytest.raises(CommandError, match="Another run migrates"):
        command("tenants", "migrate")
    assert having(world) == []


def test_a_migration_that_cannot_be_run_is_one_line(lab: Lab, world: World) -> None:
    lab.add("0901_note", ADD_NOTE, attributes="atomic = False")
    with pytest.raises(CommandError, match="is not atomic"):
        command("tenants", "migrate")
    assert having(world) == []


def test_the_help_says_that_the_shared_schema_comes_first_for_one_tenant_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="0"):
        call_command("tenants", "migrate", "--help")
    assert "the shared schema comes first all the same" in " ".join(capsys.readouterr().out.split())


def test_migrate_schemas_of_a_database_that_was_never_migrated_is_one_line(world: World) -> None:
    world.sql("ALTER SCHEMA shared RENAME TO gone")
    with pytest.raises(CommandError, match=r"not been migrated to this release: run `manage.py upgrade`"):
        call_command("migrate_schemas", "--tenant", "--plan", verbosity=0)


@pytest.mark.parametrize("name", ["migrate_schemas", "migrate"])
def test_djangos_commands_migrate_the_tenants_by_the_ledger(lab: Lab, world: World, name: str) -> None:
    lab.add("0901_note", ADD_NOTE)
    call_command(name, verbosity=0)
    assert having(world) == sorted(schemas(world).values())
    states = "SELECT state FROM shared.tenants_tenantmigration WHERE name = '0901_note'"
    assert world.sql(states) == [("applied",), ("applied",)]
    assert world.sql("SELECT count(*) FROM shared.django_migrations WHERE name = '0901_note'") == [(1,)]


def test_migrate_schemas_says_what_it_did_unless_told_to_be_quiet(
    lab: Lab, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("migrate_schemas", "--tenant")
    assert capsys.readouterr().out == "Every tenant is up to date.\n"
    lab.add("0901_note", ADD_NOTE)
    call_command("migrate_schemas", "--tenant")
    assert capsys.readouterr().out == "2 tenants migrated.\n"
    call_command("migrate_schemas", "--tenant", verbosity=0)
    assert capsys.readouterr().out == ""


def test_migrate_schemas_goes_where_it_is_told(lab: Lab, world: World) -> None:
    lab.add("0901_note", ADD_NOTE)
    for shared in (["--shared"], ["tenants"]):
        call_command("migrate_schemas", *shared, verbosity=0)
        assert having(world) == []
    call_command("migrate_schemas", "-s", schemas(world)["globex"], verbosity=0)
    assert having(world) == [schemas(world)["globex"]]
    call_command("migrate_schemas", "audit", "--tenant", verbosity=0)
    assert having(world) == sorted(schemas(world).values())


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("audit", "0001"), "migration_name"),
        (("audit", "zero"), "migration_name"),
        (("--fake",), "fake"),
        (("--fake-initial",), "fake_initial"),
        (("--prune",), "prune"),
        (("--run-syncdb",), "run_syncdb"),
    ],
)
def test_migrate_schemas_refuses_what_the_ledger_cannot_follow(
    lab: Lab, world: World, arguments: tuple[str, ...], option: str
) -> None:
    lab.add("0901_note", ADD_NOTE)
    before = world.sql("SELECT count(*) FROM shared.tenants_tenantmigration")
    with pytest.raises(CommandError, match=f"only go forward.*{option}"):
        call_command("migrate_schemas", *arguments, "--tenant", verbosity=0)
    assert (having(world), world.sql("SELECT count(*) FROM shared.tenants_tenantmigration")) == ([], before)


def test_migrate_schemas_plans_and_checks(lab: Lab, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("migrate_schemas", "--tenant", "--check", verbosity=0)
    lab.add("0901_note", ADD_NOTE)
    call_command("migrate_schemas", "--tenant", "--plan", verbosity=0)
    assert capsys.readouterr().out == "audit.0901_note: 2 tenants\n"
    with pytest.raises(SystemExit, match="1"):
        call_command("migrate_schemas", "--tenant", "--check", verbosity=0)
    assert having(world) == []


def test_migrate_schemas_fails_where_a_tenant_fails(lab: Lab, world: World) -> None:
    world.sql(f"INSERT INTO {schemas(world)['acme']}.audit_answer (digest, request) VALUES ('a', 'b')")
    lab.add("0901_check", CHECK)
    with pytest.raises(CommandError, match=r"audit\.0901_check failed in acme: IntegrityError"):
        call_command("migrate_schemas", verbosity=0)


def start(lab: Lab, world: World) -> subprocess.Popen[str]:
    """Start `tenants migrate` as a process of its own, with the scratch migrations."""
    environment = dict(os.environ)
    for name in ("DATABASE_URL", "MIGRATION_DATABASE_URL"):
        environment[name] = os.environ[name].replace("/world?", f"/{world.database}?")
        assert world.database in environment[name]
    environment |= {"DJANGO_SETTINGS_MODULE": lab.settings_module(), "PYTHONPATH": str(lab.folder)}
    return subprocess.Popen(
        [sys.executable, "manage.py", "tenants", "migrate", "--jobs", "2", "--lock-timeout", "60"],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def state(world: World) -> dict[str, tuple[int, int, int]]:
    """Return by tenant what the ledger, Django's table and the migration's own mark count of the scratch migration."""
    ledger = world.sql(
        "SELECT t.slug, count(m.id) FROM shared.tenants_tenant t LEFT JOIN shared.tenants_tenantmigration m "
        "ON m.tenant_id = t.id AND m.name = '0901_mark' AND m.state = 'applied' GROUP BY 1"
    )
    counts = dict(ledger)
    found: dict[str, tuple[int, int, int]] = {}
    for slug, name in schemas(world).items():
        noted, marks = world.sql(
            f"SELECT (SELECT count(*) FROM {name}.django_migrations WHERE name = '0901_mark'), "
            f"(SELECT count(*) FROM {name}.audit_key WHERE digest LIKE 'mark%%')"
        )[0]
        found[slug] = (counts[slug], noted, marks)
    return found


def wait_for_blocked(world: World, process: subprocess.Popen[str], count: int) -> None:
    """Wait until so many of the run's connections wait for a lock."""
    deadline = time.monotonic() + PATIENCE
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while world.sql(query)[0][0] < count:
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.02)


def test_a_run_that_is_killed_loses_nothing_and_does_nothing_twice(
    lab: Lab, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provisioning, "on_created", [])
    for number in range(18):
        provisioning.create_tenant(slug=f"t{number:02}", name="T", domain=f"t{number:02}.localhost")
    # It leaves a mark each time it runs, and would fail nowhere.
    mark = "INSERT INTO audit_key (digest, entry_id) VALUES (('mark' || uuidv7())::bytea, uuidv7())"
    lab.add("0901_mark", f'migrations.RunSQL("{mark}; ALTER TABLE audit_answer ADD COLUMN IF NOT EXISTS note text")')
    with psycopg.connect(world.superuser, dbname=world.database) as holder:
        # Both threads get stuck in the middle of a tenant, after the mark and before the end.
        for slug in ("t07", "t08"):
            holder.execute(f"LOCK TABLE {schemas(world)[slug]}.audit_answer IN ACCESS SHARE MODE".encode())
        process = start(lab, world)
        wait_for_blocked(world, process, 2)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
        assert process.returncode == -signal.SIGKILL
    killed = state(world)
    assert [slug for slug, counts in killed.items() if counts == (1, 1, 1)] == sorted(killed)[:9]
    assert [slug for slug, counts in killed.items() if counts == (0, 0, 0)] == sorted(killed)[9:]
    assert len(killed) == 20
    again = start(lab, world)
    out, _ = again.communicate(timeout=PATIENCE)
    assert (again.returncode, out.splitlines()[-1]) == (0, "11 tenants migrated.")
    assert set(state(world).values()) == {(1, 1, 1)}
