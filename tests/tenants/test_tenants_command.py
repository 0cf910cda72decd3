"""`manage.py tenants`, as an operator types it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from world import World

from audit.models import AuditLog
from subscriptions.models import PlatformLog
from tenants import gate

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
        own = AuditLog.objects.filter(resource_type="tenant").order_by("id")
        assert [(entry.action, entry.actor_type, entry.description, entry.source) for entry in own] == [
            ("tenant.suspended", "staff", "unpaid", "command"),
            ("tenant.resumed", "system", "paid", "command"),
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
    assert all(verb in text for verb in ("create", "list", "suspend", "resume", "drop", "no way back"))
