"""Requests that claim another side of the walls: forged hosts, sessions carried over, keys and names used twice."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings
from gunicorn.config import Config
from gunicorn.http.errors import NoMoreData, ParseException
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import create
from world import World, address

from audit import replay
from config.wsgi import application
from tenants import callers, people
from tenants.models import Tenant, User

TRAIL = "/api/v1/audit-logs"
Answer = tuple[int, str]


class _Socket:
    """As much of a socket as gunicorn looks at."""

    def getsockname(self) -> tuple[str, int]:
        return ("127.0.0.1", 8000)


def spoken(name: str, me: str) -> Answer:
    """Send a forged request through the server's own parser; return the first status, and all bodies in one."""
    first, *headers = FORGED[name]
    config, data = Config(), "\r\n".join([first, me, *headers, "", ""]).encode("latin-1")
    said, bodies = list[str](), list[str]()
    answer: Any = application
    try:
        for parsed in RequestParser(config, iter([data]), ("203.0.113.7", 5)):
            _response, environ = create(parsed, _Socket(), ("203.0.113.7", 5), ("127.0.0.1", 8000), config)
            whole = {**environ, "wsgi.errors": io.StringIO()}
            bodies += [part.decode() for part in answer(whole, lambda status, *_headers: said.append(status))]
    except (ParseException, NoMoreData) as error:  # which the server answers with 400
        said.append(f"400 {error!r}")
    return int(said[0].partition(" ")[0]), "".join(bodies)


ACME, GLOBEX = "Host: acme.localhost", "Host: globex.localhost"
ASK = f"GET {TRAIL} HTTP/1.1"
# How a request of acme can name globex: its first line, and its headers but the one that says who asks.
FORGED = {
    "X-Forwarded-Host": (ASK, ACME, "X-Forwarded-Host: globex.localhost"),
    "Forwarded": (ASK, ACME, "Forwarded: for=203.0.113.9;host=globex.localhost"),
    "other headers": (
        ASK,
        ACME,
        "X-Host: globex.localhost",
        "X-Forwarded-Server: globex.localhost",
        "X-Tenant: globex",
    ),
    "X-Original-URL": (ASK, ACME, f"X-Original-URL: http://globex.localhost{TRAIL}"),
    "a header that looks the same": (ASK, ACME, "X_Forwarded_Host: globex.localhost"),
    "absolute URI": (f"GET http://globex.localhost{TRAIL} HTTP/1.1", ACME),
    "two hosts": (ASK, ACME, GLOBEX),
    "two hosts in one": (ASK, "Host: acme.localhost, globex.localhost"),
    "a user in the host": (ASK, "Host: acme.localhost@globex.localhost"),
    "a folded header": (ASK, ACME, "X-A: b", " Host: globex.localhost"),
    "a second request": (ASK, ACME, "Content-Length: 0", "", ASK, GLOBEX),
    "parameters": (f"GET {TRAIL}?tenant=globex&host=globex.localhost HTTP/1.1", ACME),
    "the host itself": (ASK, GLOBEX),
    "the host in capitals": (ASK, "Host: GLOBEX.localhost:8000"),
    "the host with a dot": (ASK, "Host: globex.localhost."),
    "the host by an old protocol": (f"GET {TRAIL} HTTP/1.0", GLOBEX),
}
NAMES_GLOBEX = [name for name in FORGED if name.startswith("the host")]


@pytest.fixture
def member_of_both(world: World) -> Iterator[str]:
    """The header of a session of alice's, begun on acme's host. She belongs to globex too."""
    with world.platform():
        people.set_role(User.objects.get(email=address("alice")), Tenant.objects.get(slug="globex"), "admin")
    signed_in = world.api("acme")
    assert signed_in.sign_in("alice").status_code == 302
    with override_settings(ALLOWED_HOSTS=[".localhost"]):
        yield f"Cookie: daybook_session={signed_in.client.cookies['daybook_session'].value}"


def shows_globex(world: World, answer: Answer) -> bool:
    """Tell whether an answer has something of globex's trail in it."""
    return world.globex.id.hex in answer[1].replace("-", "") or '"slug":"globex"' in answer[1]


def denials(world: World, slug: str) -> list[tuple[str, str]]:
    """Return who was denied in a tenant's trail: type and label."""
    trail = f"{world.tenant(slug).schema_name}.audit_log"
    query = f"SELECT actor_type, actor_label FROM {trail} WHERE action = 'access.denied' ORDER BY id"
    return [(kind, label) for kind, label in world.sql(query)]


def test_no_request_of_acme_becomes_one_of_globex_by_what_it_says(world: World, member_of_both: str) -> None:
    keys = {"a key": f"Authorization: Bearer {world.keys['acme.read']}", "a session": member_of_both}
    for who, me in keys.items():
        for name in FORGED:
            answer = spoken(name, me)
            assert not shows_globex(world, answer), (who, name)
            assert answer[0] in ({200, 400} if name not in NAMES_GLOBEX else {400, 401, 403}), (who, name, answer)


def test_whoever_names_globex_outright_is_recorded_in_his_own_trail(world: World, member_of_both: str) -> None:
    key = f"Authorization: Bearer {world.keys['acme.read']}"
    for me in (key, member_of_both):
        for name in NAMES_GLOBEX:
            assert spoken(name, me)[0] in {401, 403}
    assert denials(world, "acme") == [("api_key", "acme read")] * 4 + [("user", address("alice"))] * 4
    assert denials(world, "globex") == []


def anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a session hold wherever its person belongs."""
    monkeypatch.setattr(callers, "realm_of", lambda _tenant: "anywhere")
    monkeypatch.setattr("tenants.sign_ins.realm_of", lambda _tenant: "anywhere")


def sign_in_again(world: World) -> str:
    signed_in = world.api("acme")
    assert signed_in.sign_in("alice").status_code == 302
    return f"Cookie: daybook_session={signed_in.client.cookies['daybook_session'].value}"


@pytest.mark.usefixtures("member_of_both")
def test_control_a_server_that_believes_forwarded_hosts_shows_globex(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    anywhere(monkeypatch)
    me = sign_in_again(world)
    with override_settings(USE_X_FORWARDED_HOST=True):
        assert shows_globex(world, spoken("X-Forwarded-Host", me))
    for name in NAMES_GLOBEX[:2]:
        assert shows_globex(world, spoken(name, me))


# --- a person who is moved


def test_a_session_does_not_move_with_its_person(world: World) -> None:
    acme, globex = world.api("acme"), world.api("globex")
    assert acme.sign_in("alice").status_code == 302
    assert acme.get(TRAIL).status_code == 200
    globex.client.cookies = acme.client.cookies
    with world.platform():
        alice, tenants = User.objects.get(email=address("alice")), {it.slug: it for it in Tenant.objects.all()}
        people.end_membership(alice, tenants["acme"])
        people.set_role(alice, tenants["globex"], "admin")
    assert (acme.get(TRAIL).status_code, globex.get(TRAIL).status_code) == (401, 401)
    assert globex.sign_in("alice").status_code == 302
    assert {entry["tenant"]["slug"] for entry in globex.get(TRAIL).json()["results"]} == {"globex"}
    assert acme.get(TRAIL).status_code == 401


def test_control_without_its_side_a_session_moves_with_its_person(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    anywhere(monkeypatch)
    acme, globex = world.api("acme"), world.api("globex")
    assert acme.sign_in("alice").status_code == 302
    globex.client.cookies = acme.client.cookies
    with world.platform():
        people.set_role(User.objects.get(email=address("alice")), Tenant.objects.get(slug="globex"), "admin")
    assert {entry["tenant"]["slug"] for entry in globex.get(TRAIL).json()["results"]} == {"globex"}


# --- one name in two tenants

EVENT = {"action": "created", "resource": {"type": "x", "id": "1"}}
KEYED = {**EVENT, "idempotency_key": "the-same"}
NAMED = {"request": (EVENT, {"idempotency-key": "the-same"}), "event": (KEYED, {})}


def written(world: World, name: str) -> list[tuple[int, str, bool]]:
    """Write under one name in both tenants; return status, id and whether an earlier answer was given again."""
    event, headers = NAMED[name]
    answers = [world.api(slug, f"{slug}.write").post(TRAIL, event, **headers) for slug in ("acme", "globex")]
    return [(it.status_code, it.json()["id"], "Idempotency-Replayed" in it) for it in answers]


@pytest.mark.parametrize("name", NAMED)
def test_one_key_in_two_tenants_is_two_things(world: World, name: str) -> None:
    before = world.entries("acme"), world.entries("globex")
    (first, first_id, first_again), (second, second_id, second_again) = written(world, name)
    assert (first, second, first_again, second_again) == (201, 201, False, False)
    assert first_id != second_id
    assert (world.entries("acme"), world.entries("globex")) == (before[0] + 1, before[1] + 1)
    assert second_id not in world.api("acme", "acme.read").get(TRAIL).content.decode()


@pytest.mark.parametrize("name", NAMED)
def test_control_with_one_list_of_keys_globex_gets_acmes_answer(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Were the lists of keys one table, and the caller not part of the key."""
    monkeypatch.setattr(replay, "_digest", lambda key: key.encode())
    role = f"{settings.DATABASE_ROLE_PREFIX}_t_{world.globex.id.hex}"
    for table in ("audit_answer", "audit_key"):
        whole = f"{world.globex.schema_name}.{table}"
        world.sql(f"""DROP TABLE {whole}; CREATE VIEW {whole} AS SELECT * FROM {world.acme.schema_name}.{table};
            GRANT SELECT, INSERT, UPDATE, DELETE ON {whole} TO {role}""")
    (_, first_id, _), (second, second_id, _) = written(world, name)
    assert (second in {200, 201}, second_id) == (True, first_id)
