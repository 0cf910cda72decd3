"""`manage.py tenants`, as an operator types it."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from psycopg import errors
from world import World

from audit.models import AuditLog
from subscriptions.models import PlatformLog
from tenants import gate, transfer
from tenants.management.base import one_line
from tenants.transfer import departure

CREATE = ("create", "initech", "--name", "Initech", "--domain", "initech.localhost")


def tenants(*arguments: str, **options: Any) -> tuple[str, str]:
    """Run the command; return what it wrote to standard output and to standard error."""
    out, err = io.StringIO(), io.StringIO()
    call_command("tenants", *arguments, stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


def actors(world: World, action: str) -> list[tuple[str, str]]:
    """Return who did something on the platform, as (type, label)."""
    with world.platform():
        return list(PlatformLog.objects.filter(action=action).values_list("actor_type", "actor_label").order_by("id"))


def test_create_makes_a_tenant_that_the_gate_knows_and_says_where_it_is_served(world: World) -> None:
    out, err = tenants(*CREATE)
    tenant = gate.host("initech.localhost")
    assert tenant is not None
    assert (tenant.slug, tenant.name) == ("initech", "Initech")
    assert out == f"Created initech (schema {tenant.schema_name}), served under initech.localhost.\n"
    assert err == ""
    assert actors(world, "tenant.created")[-1] == ("system", "Daybook")


def test_create_names_the_actor_in_the_platform_log(world: World) -> None:
    tenants(*CREATE, "--actor", "SAM@daybook.example")
    assert actors(world, "tenant.created")[-1] == ("staff", "sam@daybook.example")


def test_create_says_when_the_host_is_not_among_those_served(world: World) -> None:
    _, err = tenants("create", "initech", "--name", "Initech", "--domain", "initech.example")
    assert "add it to ALLOWED_HOSTS" in err


def test_a_taken_slug_is_one_line_and_creates_nothing(world: World) -> None:
    with pytest.raises(CommandError, match=r"^There is a tenant 'acme' already\.$"):
        tenants("create", "acme", "--name", "Other", "--domain", "other.localhost")
    assert gate.host("other.localhost") is None


def test_list_shows_each_tenant_in_a_line_under_a_heading(world: World) -> None:
    tenants("suspend", "globex", "--reason", "unpaid")
    lines = tenants("list")[0].splitlines()
    assert [line.split()[:4] for line in lines] == [
        ["SLUG", "NAME", "STATUS", "DOMAIN"],
        ["acme", "Acme", "active", "acme.localhost"],
        ["globex", "Globex", "suspended", "globex.localhost"],
    ]
    assert len({line.index(word) for line, word in zip(lines, ("STATUS", "active", "suspended"), strict=True)}) == 1


def test_list_as_json_is_for_programs(world: World) -> None:
    listed = json.loads(tenants("list", "--json")[0])
    assert [tenant["slug"] for tenant in listed] == ["acme", "globex"]
    assert list(listed[0]) == ["slug", "name", "status", "domain", "schema", "created"]
    assert listed[0]["schema"] == world.acme.schema_name
    assert listed[0]["created"].endswith("Z")


def test_suspend_and_resume_are_in_the_tenants_own_trail_with_the_reason(world: World) -> None:
    tenants("suspend", "acme", "--reason", "unpaid", "--actor", "sam@daybook.example")
    assert world.acme.suspended
    tenants("resume", "acme", "--reason", "paid")
    assert not world.acme.suspended
    with world.scope("acme"):
        own = AuditLog.objects.filter(resource_type="tenant", captured=False).order_by("id")
        assert [(entry.action, entry.actor_type, entry.description, entry.source) for entry in own] == [
            ("tenant.suspended", "staff", "unpaid", "command"),
            ("tenant.resumed", "system", "paid", "command"),
        ]
        rows = AuditLog.objects.filter(resource_type="tenant", captured=True).order_by("id")
        assert [(entry.action, entry.actor_type, entry.source) for entry in rows] == [
            ("updated", "staff", "command"),
            ("updated", "system", "command"),
        ]
    assert actors(world, "tenant.suspended") == [("staff", "sam@daybook.example")]
    assert actors(world, "tenant.resumed") == [("system", "Daybook")]


@pytest.mark.parametrize("verb", ["suspend", "resume", "drop"])
def test_an_unknown_tenant_is_one_line_that_says_how_to_find_them(world: World, verb: str) -> None:
    arguments = ["--reason", "why"] if verb != "drop" else ["--confirm", "Nope"]
    with pytest.raises(CommandError, match=r"no tenant 'nope'; `manage.py tenants list`"):
        tenants(verb, "nope", *arguments)


@pytest.mark.parametrize(
    ("actor", "message"),
    [
        ("alice@acme.example", "not platform staff"),
        ("nobody@nowhere.example", "no person"),
    ],
)
def test_an_actor_who_is_no_staff_is_refused_and_nothing_changes(world: World, actor: str, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        tenants("suspend", "acme", "--reason", "unpaid", "--actor", actor)
    with pytest.raises(CommandError, match=message):
        tenants(*CREATE, "--actor", actor)
    assert not world.acme.suspended
    assert gate.tenant("initech") is None


def test_an_inactive_actor_is_refused(world: World) -> None:
    world.sql("UPDATE shared.tenants_user SET is_active = false WHERE email = 'sam@daybook.example'")
    with pytest.raises(CommandError, match="not active"):
        tenants("suspend", "acme", "--reason", "unpaid", "--actor", "sam@daybook.example")
    assert not world.acme.suspended


def test_drop_wants_the_name_exactly(world: World) -> None:
    tenants(*CREATE)
    for wrong in ("initech", "Initech ", "", "Acme"):
        with pytest.raises(CommandError, match=r"^Nothing was dropped"):
            tenants("drop", "initech", "--confirm", wrong)
    assert gate.tenant("initech") is not None
    tenants("drop", "initech", "--confirm", "Initech", "--actor", "sam@daybook.example")
    assert gate.tenant("initech") is None
    assert actors(world, "tenant.deleted") == [("staff", "sam@daybook.example")]


def test_drop_asks_at_the_terminal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tenants(*CREATE)
    asked: list[str] = []

    def hesitate(question: str) -> str:
        asked.append(question)
        return "no"

    monkeypatch.setattr("builtins.input", hesitate)
    with pytest.raises(CommandError, match=r"^Nothing was dropped"):
        tenants("drop", "initech")
    assert gate.tenant("initech") is not None
    assert "for ever" in asked[0]
    monkeypatch.setattr("builtins.input", lambda _question: "Initech")
    tenants("drop", "initech")
    assert gate.tenant("initech") is None


def test_drop_writes_a_final_export_first_once_nothing_is_added_any_more(world: World, tmp_path: Path) -> None:
    tenants(*CREATE)
    with world.scope("initech"):
        AuditLog.log_action(None, "created", "organization", "the-last-one")
    place = tmp_path / "initech"
    out, _ = tenants("drop", "initech", "--confirm", "Initech", "--export", str(place))
    assert out == f"Exported initech to {place}.\nDropped initech.\n"
    assert gate.tenant("initech") is None
    assert "the-last-one" in (place / "tables" / "audit_log.copy").read_text()
    # The suspension is the last thing that the exported trail says.
    assert "tenant.suspended" in (place / "tables" / "audit_log.copy").read_text().splitlines()[-1]
    assert (place / "manifest.json").exists()


def test_a_final_export_that_fails_keeps_the_tenant_and_serves_it_again(world: World, tmp_path: Path) -> None:
    (tmp_path / "in the way").write_text("")
    before = world.acme
    with pytest.raises(CommandError):
        tenants("drop", "acme", "--confirm", "Acme", "--export", str(tmp_path))
    assert world.acme == before
    assert not world.acme.suspended
    assert actors(world, "tenant.deleted") == []
    assert len(actors(world, "tenant.resumed")) == 1


def test_a_tenant_that_was_suspended_before_stays_so_when_its_final_export_fails(world: World, tmp_path: Path) -> None:
    (tmp_path / "in the way").write_text("")
    tenants("suspend", "acme", "--reason", "unpaid")
    with pytest.raises(CommandError):
        tenants("drop", "acme", "--confirm", "Acme", "--export", str(tmp_path))
    assert world.acme.suspended
    assert actors(world, "tenant.resumed") == []


@contextmanager
def writing(world: World, name: str) -> Iterator[Callable[[], None]]:
    """Hold a unit of work of the tenant open, with an entry that is committed by what is given, or at the end."""
    wrote, go_on = threading.Event(), threading.Event()

    def write() -> None:
        try:
            with world.scope("initech"):
                AuditLog.log_action(None, "created", "organization", name)
                wrote.set()
                assert go_on.wait(30)
        finally:
            connections.close_all()

    thread = threading.Thread(target=write)

    def commit() -> None:
        go_on.set()
        thread.join()

    thread.start()
    assert wrote.wait(30)
    try:
        yield commit
    finally:
        commit()


def after_the_export(monkeypatch: pytest.MonkeyPatch, step: Callable[[], object]) -> None:
    """Let something happen between the final export and the drop."""
    whole = transfer.export_tenant

    def export(*arguments: Any, **options: Any) -> Any:
        written = whole(*arguments, **options)
        step()
        return written

    monkeypatch.setattr(transfer, "export_tenant", export)


def test_drop_keeps_a_tenant_to_which_an_open_unit_adds_after_the_final_export(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants(*CREATE)
    drop = ("drop", "initech", "--confirm", "Initech", "--export")
    with writing(world, "the-late-one") as commit, monkeypatch.context() as patch:
        after_the_export(patch, commit)
        with pytest.raises(CommandError, match=r"audit_log changed after the final export.*suspended.*another dir"):
            tenants(*drop, str(tmp_path / "first"))
    assert actors(world, "tenant.deleted") == []
    assert "the-late-one" not in (tmp_path / "first" / "tables" / "audit_log.copy").read_text()
    with world.scope("initech"):
        assert AuditLog.objects.filter(resource_id="the-late-one").exists()
    tenants(*drop, str(tmp_path / "second"))
    assert gate.tenant("initech") is None
    assert "the-late-one" in (tmp_path / "second" / "tables" / "audit_log.copy").read_text()


def test_drop_does_not_go_past_a_unit_that_stays_open(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants(*CREATE)
    monkeypatch.setattr(departure, "PATIENCE", 0.2)
    with (
        writing(world, "the-open-one"),
        pytest.raises(CommandError, match=r"somebody still works in it.*another dir"),
    ):
        tenants("drop", "initech", "--confirm", "Initech", "--export", str(tmp_path / "out"))
    assert actors(world, "tenant.deleted") == []
    with world.scope("initech"):
        assert AuditLog.objects.filter(resource_id="the-open-one").exists()


def test_drop_keeps_a_tenant_that_was_resumed_after_the_final_export(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants(*CREATE)
    after_the_export(monkeypatch, lambda: tenants("resume", "initech"))
    with pytest.raises(CommandError, match=r"audit_log changed after the final export.*is active now"):
        tenants("drop", "initech", "--confirm", "Initech", "--export", str(tmp_path / "out"))
    tenant = gate.tenant("initech")
    assert tenant is not None
    assert not tenant.suspended


@pytest.mark.parametrize(
    "arguments",
    [("list",), CREATE, ("export", "acme", "/nowhere/out"), ("doctor",), ("migrate", "--plan"), ("key", "acme")],
)
def test_a_database_that_was_never_migrated_is_one_line(world: World, arguments: tuple[str, ...]) -> None:
    world.sql("ALTER SCHEMA shared RENAME TO gone; ALTER SCHEMA gate RENAME TO no_gate")
    with pytest.raises(CommandError, match=r"^The database has not been migrated to this release: run `manage.py up"):
        tenants(*arguments)


@pytest.mark.parametrize("kind", [errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedFunction])
def test_so_is_what_the_driver_says_without_django(kind: type[Exception]) -> None:
    with pytest.raises(CommandError, match=r"`manage.py upgrade`\. \(no such thing\)$"), one_line():
        raise kind("no such thing")
    with pytest.raises(errors.SyntaxError), one_line():
        raise errors.SyntaxError("a mistake of ours")


def test_drop_without_a_terminal_says_how_to_confirm(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(_question: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", ended)
    with pytest.raises(CommandError, match="--confirm NAME"):
        tenants("drop", "acme")
    assert gate.tenant("acme") is not None


@pytest.mark.parametrize(
    "arguments", [(), ("rename", "acme"), ("create", "initech"), ("suspend", "acme"), ("list", "--actor", "x@y.z")]
)
def test_a_wrong_call_is_refused_with_the_usage(world: World, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="Error:"):
        tenants(*arguments)
    assert not world.acme.suspended


def test_the_help_names_each_verb_and_what_it_does(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        call_command("tenants", "--help")
    text = capsys.readouterr().out
    assert all(verb in text for verb in ("create", "list", "suspend", "resume", "migrate", "drop", "no way back"))
