"""Commands work in a scope that their options name, and those of Django that need another way have it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command, get_commands
from django.db import connection
from world import PASSWORD, World, address

from audit.models import AuditLog
from subscriptions.models import PlatformLog
from tenants import gate
from tenants.context import current_scope, scope_or_none
from tenants.management.base import ScopedCommand

ROOT = Path(__file__).resolve().parents[2]
ALICE = ("--tenant", "acme", "--actor", "alice@acme.example")

# The walk-through of the project's first document, but for the model `Organization`, which is an application's own.
WALK_THROUGH = """
from types import SimpleNamespace
from uuid import uuid4

# Get a user
user = User.objects.first()

# Create an organization (manually log it)
org = SimpleNamespace(id=uuid4(), name='Test Corp', slug='test-corp', plan='starter')

# Log the creation
AuditLog.log_action(
    user=user,
    action='created',
    resource_type='organization',
    resource_id=org.id,
    changes={
        'name': org.name,
        'plan': org.plan
    }
)

# Update the org
old_plan = org.plan
org.plan = 'premium'

# Log the update
AuditLog.log_action(
    user=user,
    action='updated',
    resource_type='organization',
    resource_id=org.id,
    changes={
        'field': 'plan',
        'old_value': old_plan,
        'new_value': org.plan
    }
)

# Check user's activity
print(user.audit_logs.all())

# Check org's history
print(AuditLog.get_resource_history('organization', org.id))
"""


def manage(world: World, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run `manage.py` as an operator does, against the test's own database."""
    environment = dict(os.environ)
    for name in ("DATABASE_URL", "MIGRATION_DATABASE_URL"):
        head, _, tail = environment[name].partition("/world")
        assert tail is not None
        environment[name] = f"{head}/{world.database}{tail}"
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=60,
    )


def shell(code: str, *options: str) -> None:
    call_command("shell", *options, "-c", code, verbosity=0)


def test_the_walk_through_of_the_first_document_runs_in_a_tenants_shell(world: World) -> None:
    done = manage(world, "shell", *ALICE, "-v", "0", stdin=WALK_THROUGH)
    assert (done.returncode, done.stderr) == (0, "")
    with world.scope("acme"):
        history = list(AuditLog.objects.filter(resource_type="organization").order_by("-id"))
    entries = [
        f"<AuditLog: alice@acme.example {verb} organization ({history[0].resource_id})>"
        for verb in ("updated", "created")
    ]
    activity, of_resource = done.stdout.splitlines()
    assert of_resource == f"<EntryQuerySet [{', '.join(entries)}]>"
    assert activity == of_resource
    assert [entry.changes for entry in history] == [
        {"field": "plan", "old_value": "starter", "new_value": "premium"},
        {"name": "Test Corp", "plan": "starter"},
    ]
    acting = {(entry.actor_label, entry.source, entry.user_id) for entry in history}
    assert acting == {("alice@acme.example", "command", world.person("alice").pk)}


def test_a_shell_without_a_scope_sends_no_query_and_says_what_to_do(world: World) -> None:
    done = manage(world, "shell", "-v", "0", "-c", "User.objects.count()")
    assert done.returncode == 1
    assert "No tenant and no platform scope is open" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_tenants_shell_sees_its_own_trail_and_nothing_of_others(world: World) -> None:
    with world.scope("globex", "charlie"):
        AuditLog.log_action(None, "created", "invoice", "1")
    for slug, count in (("globex", 1), ("acme", 0)):
        invoices = f"AuditLog.objects.filter(resource_type='invoice').count() == {count}"
        shell(f"assert {invoices}; assert Tenant.objects.get().slug == '{slug}'", "--tenant", slug)


def test_a_shell_that_fails_writes_nothing(world: World) -> None:
    before = world.entries("acme")
    with pytest.raises(ZeroDivisionError):
        shell("AuditLog.log_action(None, 'created', 'invoice', '1'); 1 / 0", *ALICE)
    assert world.entries("acme") == before


@pytest.mark.parametrize(("leave", "kept"), [("exit()", 1), ("exit(0)", 1), ("exit(3)", 0)])
def test_leaving_the_shell_keeps_what_was_written_unless_with_an_error_status(
    world: World, leave: str, kept: int
) -> None:
    before = world.entries("acme")
    done = manage(
        world, "shell", *ALICE, "-v", "0", stdin=f"AuditLog.log_action(None, 'created', 'invoice', '1'); {leave}"
    )
    assert done.returncode == (0 if kept else 3)
    assert world.entries("acme") == before + kept


def test_a_shell_of_the_platform_acts_as_the_member_of_staff(world: World) -> None:
    shell(
        "from subscriptions import platform_log; platform_log.log_action('viewed', 'plan', '1')",
        "--platform",
        "--actor",
        address("sam"),
    )
    with world.platform():
        entry = PlatformLog.objects.get(action="viewed")
    assert (entry.actor_type, entry.actor_label) == ("staff", address("sam"))


def test_thinking_for_a_while_does_not_end_the_shells_transaction(world: World) -> None:
    shell(
        "from django.db import connection; cursor = connection.cursor();"
        "cursor.execute('SHOW idle_in_transaction_session_timeout'); assert cursor.fetchone() == ('0',)",
        "--tenant",
        "acme",
    )
    with world.scope("acme"), connection.cursor() as cursor:
        cursor.execute("SHOW idle_in_transaction_session_timeout")
        assert cursor.fetchone() == ("1min",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tenant", "nope"), "no tenant 'nope'"),
        (("--tenant", "acme", "--actor", "charlie@globex.example"), "neither a member of acme nor platform staff"),
        (("--platform", "--actor", "alice@acme.example"), "not platform staff"),
        (("--tenant", "acme", "--actor", "nobody@nowhere.example"), "no person"),
        (("--actor", "alice@acme.example"), "say --tenant SLUG or --platform"),
        (("--tenant", "acme", "--platform"), "not allowed with"),
    ],
)
def test_a_scope_that_cannot_be_is_refused_before_any_code_runs(
    world: World, options: tuple[str, ...], message: str
) -> None:
    before = world.entries("acme")
    with pytest.raises(CommandError, match=message):
        shell("raise AssertionError('ran')", *options)
    assert scope_or_none() is None
    assert world.entries("acme") == before


def test_a_past_member_cannot_act_any_more(world: World) -> None:
    world.sql("UPDATE shared.tenants_membership SET ended_at = now() WHERE user_id = %s", world.person("alice").pk)
    with pytest.raises(CommandError, match="neither a member"):
        shell("raise AssertionError('ran')", *ALICE)


class Asked(ScopedCommand):
    """A command that says which scope it runs in."""

    def handle(self, *args: Any, **options: Any) -> str:
        scope = current_scope()
        return f"{scope.tenant.slug if scope.tenant else 'platform'} {scope.actor.label}"


def test_a_scoped_command_runs_in_the_scope_that_its_options_name(world: World) -> None:
    for options, said in (
        (ALICE, "acme alice@acme.example"),
        (("--tenant", "globex"), "globex Daybook"),
        (("--platform",), "platform Daybook"),
        (("--tenant", "acme", "--actor", address("sam")), f"acme {address('sam')}"),
    ):
        assert call_command(Asked(), *options, stdout=io.StringIO()) == said


def test_a_scoped_command_without_a_scope_says_which_options_there_are(world: World) -> None:
    with pytest.raises(CommandError, match=r"--tenant SLUG .* --platform"):
        call_command(Asked())


def test_createsuperuser_makes_a_member_of_staff_who_can_sign_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a long secret\n"))
    call_command("createsuperuser", "--email", "Root@daybook.example", "--name", "Root", stdout=io.StringIO())
    person = gate.person(email="root@daybook.example")
    assert person is not None
    assert (person.staff_role, person.name) == ("admin", "Root")
    with world.platform():
        entries = list(PlatformLog.objects.filter(resource_id=str(person.pk)).order_by("id"))
    assert {entry.source for entry in entries} == {"command"}
    assert [entry.action for entry in entries if not entry.captured] == ["user.created", "user.password_set"]
    assert sorted((entry.resource_type, entry.action) for entry in entries if entry.captured) == [
        ("credential", "created"),
        ("user", "created"),
    ]
    form = {"login": "root@daybook.example", "password": "a long secret"}
    assert world.api("platform").client.post("/accounts/login/", form).status_code == 302


def test_createsuperuser_without_input_takes_the_password_from_the_environment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CommandError, match="password is empty"):
        call_command("createsuperuser", "--noinput", "--email", "root@daybook.example")
    assert gate.person(email="root@daybook.example") is None
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "a long secret")
    call_command(
        "createsuperuser", "--noinput", "--email", "root@daybook.example", "--role", "billing", stdout=io.StringIO()
    )
    person = gate.person(email="root@daybook.example")
    assert person is not None
    assert person.staff_role == "billing"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Say --email"),
        (("--email", "root"), "no e-mail address"),
        (("--email", "SAM@daybook.example"), "a person with the address"),
    ],
)
def test_createsuperuser_refuses_in_one_line_and_creates_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "a long secret")
    before = world.sql("SELECT count(*) FROM shared.tenants_user")
    with pytest.raises(CommandError, match=message):
        call_command("createsuperuser", "--noinput", *arguments)
    assert world.sql("SELECT count(*) FROM shared.tenants_user") == before


def test_changepassword_ends_the_old_password_and_the_sessions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    api = world.api("acme")
    assert api.sign_in("alice").status_code == 302
    assert api.get("/api/v1/audit-logs").status_code == 200
    monkeypatch.setattr("sys.stdin", io.StringIO("another secret\n"))
    call_command("changepassword", address("alice"), "--actor", address("sam"), stdout=io.StringIO())
    assert api.get("/api/v1/audit-logs").status_code == 401
    assert world.api("acme").sign_in("alice", PASSWORD).status_code == 200
    assert world.api("acme").sign_in("alice", "another secret").status_code == 302
    with world.platform():
        entry = PlatformLog.objects.filter(action="user.password_set").order_by("id").last()
        assert entry is not None
        assert (entry.actor_label, entry.resource_label) == (address("sam"), address("alice"))


def test_changepassword_asks_twice_at_a_terminal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    before = world.person("alice").password_hash
    typed = iter(["one long secret", "another secret", "one long secret", "one long secret"])
    monkeypatch.setattr("getpass.getpass", lambda _prompt: next(typed))
    with pytest.raises(CommandError, match="differ"):
        call_command("changepassword", address("alice"))
    assert world.person("alice").password_hash == before
    call_command("changepassword", address("alice"), stdout=io.StringIO())
    assert world.person("alice").password_hash != before


def test_changepassword_of_nobody_is_one_line(world: World) -> None:
    with pytest.raises(CommandError, match="no person"):
        call_command("changepassword", "nobody@nowhere.example")


def test_clearsessions_forgets_expired_sessions_alone(world: World) -> None:
    for expiry in ("- interval '1 second'", "+ interval '1 hour'"):
        world.sql(f"INSERT INTO shared.tenants_session VALUES (sha256('{expiry[:1]}'), '', now() {expiry})")
    call_command("clearsessions")
    assert world.sql("SELECT count(*), bool_and(expires_at > now()) FROM shared.tenants_session") == [(1, True)]


def test_a_command_says_in_one_line_that_the_database_does_not_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    def away(*_arguments: object) -> None:
        raise OperationalError("connection refused\nis the server running?")

    monkeypatch.setattr(gate, "_call", away)
    with pytest.raises(CommandError, match=r"^The database did not answer: connection refused\. Is it running"):
        call_command("clearsessions")


def test_migrate_is_the_one_that_migrates_every_tenant() -> None:
    commands = get_commands()
    assert commands["migrate"] == "django_tenants"
    for name in ("shell", "createsuperuser", "changepassword", "clearsessions"):
        assert commands[name] == "tenants"


@pytest.mark.parametrize("command", ["shell", "createsuperuser", "changepassword", "clearsessions", "tenants", "audit"])
def test_each_command_helps(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        call_command(command, "--help")
    assert "usage: " in capsys.readouterr().out
