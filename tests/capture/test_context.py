"""Who did it, from where: whichever way he proved it, and never somebody else."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hostapp.models import Organization
from rest_framework.authtoken.models import Token
from rest_framework_simplejwt.tokens import AccessToken
from units import raw, run
from world import Api, World

from audit.models import AuditLog
from tenants.context import SYSTEM, Actor, act_as, scope_or_none
from tenants.errors import NoScope


def made(world: World, name: str) -> AuditLog:
    """Return the entry that says that the organization of this name was created."""
    with world.scope("acme"):
        (entry,) = [
            entry
            for entry in AuditLog.objects.of_resource_type("organization").of_action("created")
            if entry.all_changes["name"]["new"] == name
        ]
    found: AuditLog = entry
    return found


def person(entry: AuditLog) -> tuple[Any, ...]:
    return entry.actor_type, entry.actor_id, entry.actor_label, entry.user_id


def alice(world: World) -> tuple[Any, ...]:
    known = world.person("alice")
    return "user", str(known.pk), known.email, known.pk


def test_a_token_of_drfs_that_the_view_looks_up_names_the_person(world: World) -> None:
    known = world.person("alice")
    with world.scope("acme"):
        token = Token.objects.create(user=known)
    answer = Api("acme.localhost").post("/app/token", {"name": "by token"}, authorization=f"Token {token.key}")
    assert answer.status_code == 201
    assert person(made(world, "by token")) == alice(world)


def test_a_json_web_token_that_the_view_verifies_names_the_person(world: World) -> None:
    bearer = AccessToken.for_user(world.person("alice"))
    answer = Api("acme.localhost").post("/app/jwt", {"name": "by jwt"}, authorization=f"Bearer {bearer}")
    assert answer.status_code == 201
    assert person(made(world, "by jwt")) == alice(world)


def test_a_web_token_of_another_tenants_person_is_nobodys(world: World) -> None:
    bearer = AccessToken.for_user(world.person("charlie"))
    before = world.entries("acme")
    answer = Api("acme.localhost").post("/app/jwt", {"name": "foreign"}, authorization=f"Bearer {bearer}")
    assert answer.status_code == 401
    assert world.entries("acme") == before


def test_a_key_of_daybooks_is_never_left_to_the_view(world: World) -> None:
    before = world.entries("acme")
    answer = Api("acme.localhost").post("/app/jwt", {"name": "x"}, authorization="Bearer dbk_unknown")
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_key")
    assert world.entries("acme") == before


def test_a_session_names_the_person(world: World) -> None:
    api = Api("acme.localhost")
    api.sign_in("alice")
    assert api.client.get("/app/session?name=mine", headers={"user-agent": "probe/2"}).status_code == 201
    entry = made(world, "mine")
    assert person(entry) == alice(world)
    with world.scope("acme"):
        assert AuditLog.objects.select_related("agent").get(pk=entry.pk).agent.user_agent == "probe/2"


def test_an_anonymous_request_has_its_address_and_its_id(world: World) -> None:
    answer = Api("acme.localhost").post("/app/anybody", {"name": "nobody's"}, **{"X-Request-ID": "r-77"})
    assert answer.status_code == 201
    entry = made(world, "nobody's")
    assert (entry.actor_type, entry.user_id, entry.request_id, entry.source) == ("anonymous", None, "r-77", "request")
    assert entry.ip == "127.0.0.1"


def test_a_view_that_does_not_say_so_has_no_unit_of_work_for_nobody(world: World) -> None:
    answer = Api("acme.localhost").post("/app/unmarked", {"name": "x"})
    assert answer.status_code == 500
    with world.scope("acme"):
        assert not Organization.objects.exists()


def test_who_acts_under_another_name_stands_beside_it(world: World) -> None:
    api = Api("acme.localhost")
    api.sign_in("alice")
    assert api.client.get("/app/impersonate", {"as": "u-9"}).status_code == 201
    entry = made(world, "impersonated")
    assert (entry.actor_id, entry.actor_label, entry.user_id) == ("u-9", "under another name", None)
    assert (entry.impersonator_type, entry.impersonator_id) == ("user", str(world.person("alice").pk))


@pytest.mark.parametrize("end", ["", "missing", "broken", "streaming"])
def test_after_a_request_nothing_of_it_is_left(world: World, end: str) -> None:
    api = Api("acme.localhost")
    api.sign_in("alice")
    answer: Any = api.client.get("/app/session", {"name": "left", "end": end})
    list(answer.streaming_content) if end == "streaming" else answer.content
    assert scope_or_none() is None
    with pytest.raises(NoScope):
        Organization.objects.count()
    # The same connection, for somebody else.
    with world.scope("acme", "bob"):
        Organization.objects.create(name="the next", slug="next")
    assert made(world, "the next").actor_label == "bob@acme.example"
    login = world.acme.login
    assert "alice" not in str(raw(login).pgconn.exec_(b"SHOW daybook.context").get_value(0, 0))


def test_a_request_that_fails_leaves_neither_the_row_nor_its_entry(world: World) -> None:
    api = Api("acme.localhost")
    api.sign_in("alice")
    before = world.entries("acme")
    assert api.client.get("/app/session", {"end": "broken"}).status_code == 500
    assert world.entries("acme") == before
    with world.scope("acme"):
        assert not Organization.objects.exists()


@pytest.mark.parametrize("sent", ["x" * 1_000_000, "with space", "line\nbreak", "\u00e9"])
def test_a_request_id_that_is_no_id_is_made_anew(world: World, sent: str) -> None:
    answer = Api("acme.localhost").post("/app/anybody", {"name": "ids"}, **{"X-Request-ID": sent})
    assert answer.status_code == 201
    entry = made(world, "ids")
    assert entry.request_id == answer["X-Request-ID"] != sent
    assert len(str(entry.request_id)) == 32


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "198.51.100.1", "127.0.0.1"),
        (1, "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        (2, "198.51.100.1, 203.0.113.9", "198.51.100.1"),
        (1, "not-an-ip", None),
        (1, "", None),
        (1, "2001:db8::1%eth0", "2001:db8::1"),
        (1, "198.51.100.1, 999.1.1.1", None),
    ],
)
def test_the_address_is_the_right_most_that_is_no_proxy_of_ours(
    world: World, settings_of: Any, proxies: int, forwarded: str, address: str | None
) -> None:
    settings_of(TRUSTED_PROXIES=proxies)
    answer = Api("acme.localhost").post("/app/anybody", {"name": "from"}, **{"X-Forwarded-For": forwarded})
    assert answer.status_code == 201
    assert made(world, "from").ip == address


def test_who_acts_is_said_again_after_a_savepoint_that_was_rolled_back(world: World) -> None:
    from django.db import transaction

    with world.scope("acme", "bob"):
        act_as(Actor("user", "late", "Late"))
        with transaction.atomic():
            Organization.objects.create(name="undone", slug="x")
            transaction.set_rollback(True)
        Organization.objects.create(name="done", slug="x")
    assert made(world, "done").actor_label == "Late"


def test_four_threads_with_different_people_write_no_entry_of_another(world: World) -> None:
    people = {name: world.actor(name) for name in ("alice", "bob", "olga", "mia")}
    acme = world.acme

    def work(name: str) -> None:
        from django.db import connection

        from tenants.context import tenant_scope

        for number in range(200):
            with tenant_scope(acme, actor=people[name]):
                Organization.objects.create(name=f"{name} {number}", slug=name)
        connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, people))
    with world.scope("acme"):
        entries = list(AuditLog.objects.of_resource_type("organization"))
    wrong = [entry for entry in entries if not entry.actor_label.startswith(entry.all_changes["slug"]["new"])]
    assert (len(entries), wrong) == (800, [])


def test_fifty_requests_at_once_write_no_entry_of_another(world: World) -> None:
    from asgi import ask

    names = ["alice", "bob", "olga", "mia"]
    cookies = {}
    for name in names:
        api = Api("acme.localhost")
        api.sign_in(name)
        cookies[name] = "; ".join(f"{key}={morsel.value}" for key, morsel in api.client.cookies.items())

    async def main() -> list[tuple[int, Any]]:
        return await asyncio.gather(
            *(
                ask(
                    f"/app/async?name={names[number % 4]}",
                    {"host": "acme.localhost", "cookie": cookies[names[number % 4]]},
                )
                for number in range(50)
            )
        )

    assert {status for status, _ in asyncio.run(main())} == {201}
    with world.scope("acme"):
        entries = list(AuditLog.objects.of_resource_type("organization").order_by("id"))
    told = {str(entry.resource_id): entry.all_changes["name"]["new"] for entry in entries if entry.action == "created"}
    wrong = [entry for entry in entries if not entry.actor_label.startswith(told[entry.resource_id].partition(" ")[0])]
    assert (len(entries), wrong) == (50 * 4, [])


def test_the_orm_of_an_async_view_keeps_the_actor(world: World) -> None:
    api = Api("acme.localhost")
    api.sign_in("alice")
    answer = api.client.get("/app/async?name=awaited")
    with world.scope("acme"):
        entries = AuditLog.get_resource_history("organization", answer.json()["id"])
        assert [(entry.action, entry.actor_label) for entry in entries] == [
            ("updated", "alice@acme.example"),
            ("created", "alice@acme.example"),
        ]


def test_a_command_is_named_where_a_request_names_its_user_agent(world: World) -> None:
    from django.core.management import call_command

    with world.scope("acme"):
        made_here = Organization.objects.create(name="by command", slug="x")
    code = "from hostapp.models import Organization as O; O.objects.update(plan='premium')"
    call_command("shell", tenant="acme", command=code, verbosity=0)
    with world.scope("acme"):
        entry = AuditLog.get_resource_history("organization", made_here.pk).select_related("agent")[0]
    assert (entry.source, entry.agent.user_agent, entry.actor_label) == ("command", "manage.py shell", SYSTEM.label)


def test_two_units_on_one_connection_share_no_context(world: World) -> None:
    with world.scope("acme", "alice", request_id="first"):
        assert "first" in run("SELECT current_setting('daybook.context')")
    with world.scope("acme", "bob"):
        said = run("SELECT current_setting('daybook.context')")
    assert "bob" in said
    assert "first" not in said
    assert "alice" not in said
