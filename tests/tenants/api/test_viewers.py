"""Viewer tokens: what is embedded shows what its maker chose, for ten minutes, on the pages that it is for."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core import signing
from django.test import override_settings
from probing import HOSTS, _patterns
from world import World, address

from audit.models import AuditLog
from tenants import viewing

TOKENS, SELF, TRAIL = "/api/v1/viewer-tokens", "/api/v1/viewer-tokens/self", "/api/v1/audit-logs"
PAGE = "https://app.example"


def reader(world: World) -> Any:
    return world.api("acme", "acme.read")


def made(world: World, by: Any = None, **body: Any) -> dict[str, Any]:
    answer = (by or reader(world)).post(TOKENS, body)
    assert answer.status_code == 201, answer.content
    found: dict[str, Any] = answer.json()
    return found


def bearer(world: World, token: str, host: str = "acme") -> Any:
    return world.api(host).bearing(token)


@pytest.fixture
def notes(world: World) -> dict[str, str]:
    """Entries about note 7 by bob and mia, about note 8 by bob; their ids by `bob.7` and so on."""
    written = {}
    for name, note in (("bob", "7"), ("mia", "7"), ("bob", "8")):
        with world.scope("acme", name):
            written[f"{name}.{note}"] = str(AuditLog.log_action(None, "updated", "note", note).pk)
    return written


def shown(api: Any, path: str = TRAIL, **query: str) -> set[str]:
    answer = api.get(path, **query)
    assert answer.status_code == 200, answer.content
    return {entry["id"] for entry in answer.json()["results"]}


def denied(world: World) -> list[str]:
    with world.scope("acme"):
        return [entry.description for entry in AuditLog.objects.of_action("access.denied")]


def test_a_token_reads_the_trail_for_ten_minutes(world: World, notes: dict[str, str]) -> None:
    token = made(world)
    left = datetime.fromisoformat(token["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=9) < left <= timedelta(minutes=10)
    assert shown(bearer(world, token["token"])) >= set(notes.values())
    assert shown(bearer(world, token["token"], "platform")) >= set(notes.values())


def test_what_a_token_shows_is_told_by_itself_without_the_token(world: World) -> None:
    token = made(world, resource_type="note", resource_id="7", actor="a", origin=PAGE, seconds=60)
    answer = bearer(world, token["token"]).get(SELF)
    assert answer.json() == {name: value for name, value in token.items() if name != "token"}
    assert (answer.json()["access"], answer.json()["resource_id"], answer.json()["origin"]) == ("read", "7", PAGE)
    assert reader(world).get(SELF).status_code == 403


@pytest.mark.parametrize(
    ("bound", "names"),
    [
        ({"resource_type": "note", "resource_id": "7"}, {"bob.7", "mia.7"}),
        ({"actor": "{bob}"}, {"bob.7", "bob.8"}),
        ({"resource_type": "note", "resource_id": "7", "actor": "{bob}"}, {"bob.7"}),
        ({"resource_type": "note", "resource_id": "9"}, set()),
    ],
)
def test_a_bound_token_finds_what_it_is_bound_to_and_nothing_else_anywhere(
    world: World, notes: dict[str, str], bound: dict[str, str], names: set[str]
) -> None:
    bob = str(world.person("bob").pk)
    api = bearer(world, made(world, **{key: value.replace("{bob}", bob) for key, value in bound.items()})["token"])
    allowed = {notes[name] for name in names}
    assert shown(api) == allowed
    # No filter widens it, and each other way to ask shows no more.
    for query in ({"resource_type": "note"}, {"actor": bob}, {"action": "upd*"}, {"order": "asc"}, {"limit": "1000"}):
        assert shown(api, **query) <= allowed
    for note in ("7", "8"):
        assert shown(api, f"/api/v1/resources/note/{note}/history") <= allowed
    assert shown(api, f"/api/v1/actors/{bob}/activity") <= allowed
    assert shown(api, f"/api/v1/actors/{world.person('mia').pk}/activity") <= allowed
    counted = api.get(f"{TRAIL}/stats").json()
    assert counted["total"] == len(allowed)
    assert {one["value"] for one in counted["actions"]} <= {"updated"}
    assert shown(api, q="updated") <= allowed
    for key in notes.values():
        assert api.get(f"{TRAIL}/{key}").status_code == (200 if key in allowed else 404)


def test_a_cursor_is_for_tokens_that_show_the_same(world: World, notes: dict[str, str]) -> None:
    bound = {"resource_type": "note", "resource_id": "7"}
    cursor = bearer(world, made(world, **bound)["token"]).get(TRAIL, limit="1").json()["next_cursor"]
    assert bearer(world, made(world, **bound)["token"]).get(TRAIL, cursor=cursor).status_code == 200
    for other in (
        bearer(world, made(world)["token"]),
        bearer(world, made(world, resource_type="note", resource_id="8")["token"]),
        reader(world),
    ):
        assert other.get(TRAIL, cursor=cursor).status_code == 400
    whole = reader(world).get(TRAIL, limit="1").json()["next_cursor"]
    assert bearer(world, made(world, **bound)["token"]).get(TRAIL, cursor=whole).status_code == 400


# --- what it may not


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", TOKENS), ("POST", TRAIL), ("GET", "/api/v1/api-keys"), ("POST", "/api/v1/api-keys"),
        ("GET", "/api/v1/events"), ("GET", "/api/v1/audit-logs/export"), ("GET", "/api/v1/exports"),
        ("GET", "/api/v1/members"), ("GET", "/api/v1/members/invitations"), ("GET", "/api/v1/subscription"),
        ("GET", "/api/v1/platform/tenants"),
    ],
)  # fmt: skip
def test_a_token_only_reads_and_makes_no_tokens(world: World, method: str, path: str) -> None:
    api = bearer(world, made(world)["token"], "platform" if "platform" in path else "acme")
    before = world.sql("SELECT count(*) FROM shared.tenants_apikey")
    answer = api.send(method, path, {"action": "x", "resource": {"type": "note"}} if path == TRAIL else {})
    assert answer.status_code == (404 if "platform" in path else 403), answer.content
    assert world.sql("SELECT count(*) FROM shared.tenants_apikey") == before


def test_each_view_that_a_token_may_use_asks_what_it_shows() -> None:
    """A view that does not name the right is closed to tokens: nothing is open by having been forgotten."""
    from django.urls import get_resolver

    from audit.api.views import ShowingView
    from tenants.api.viewers import ViewerTokenView
    from tenants.roles import Right

    patterns = [it for conf in HOSTS.values() for _route, it in _patterns(get_resolver(conf).url_patterns)]
    views = {getattr(pattern.callback, "cls", None) for pattern in patterns} - {None}
    rights = {view: getattr(view, "rights", {}).values() for view in views}
    open_to_tokens: set[Any] = {view for view in views if any(Right.READ_VIEW in asked for asked in rights[view])}
    assert len(views) > 25
    assert ViewerTokenView in open_to_tokens
    assert {view for view in open_to_tokens if not issubclass(view, ShowingView)} == {ViewerTokenView}


@pytest.mark.parametrize("name", ["mia", "acme.write"])
def test_whoever_may_not_read_the_whole_trail_makes_no_token(world: World, name: str) -> None:
    api = world.api("acme", name if "." in name else None)
    if "." not in name:
        api.sign_in(name)
    assert api.post(TOKENS, {}).status_code == 403


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"resource_type": "note"}, ""), ({"resource_id": "7"}, ""), ({"seconds": 0}, "/seconds"),
        ({"seconds": 601}, "/seconds"), ({"seconds": "9"}, "/seconds"), ({"actor": ""}, "/actor"),
        ({"origin": "app.example"}, "/origin"), ({"origin": "https://app.example/"}, "/origin"),
        ({"origin": "https://App.example"}, "/origin"), ({"origin": "*"}, "/origin"), ({"origin": "null"}, "/origin"),
        ({"origin": "https://a.example\n"}, "/origin"), ({"rights": ["write"]}, "/rights"),
    ],
)  # fmt: skip
def test_it_refuses_what_no_token_can_be_bound_to(world: World, body: Any, pointer: str) -> None:
    answer = reader(world).post(TOKENS, body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, pointer)


def test_an_idempotency_key_is_refused_since_nothing_keeps_a_token(world: World) -> None:
    answer = reader(world).post(TOKENS, {}, **{"Idempotency-Key": "once"})
    (fault,) = answer.json()["errors"]
    assert (answer.status_code, fault["parameter"], fault["code"]) == (400, "Idempotency-Key", "not_taken")
    with world.scope("acme"):
        assert not AuditLog.objects.of_action("viewer_token.created").exists()


# --- when it ends


def test_an_expired_token_is_refused_and_that_is_no_entry(world: World) -> None:
    """A page that stays open asks on: its refusals would fill the trail."""
    token = made(world, seconds=1)["token"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(viewing, "datetime", Later)
        answer = bearer(world, token).get(TRAIL)
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_key")
    assert denied(world) == []


class Later(datetime):
    """A clock that is two seconds ahead."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(tz) + timedelta(seconds=2)


def test_no_token_outlives_ten_minutes_whatever_it_says_of_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = made(world)["token"]
    payload = signing.loads(token.removeprefix(viewing.PREFIX), salt="daybook.viewer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time", lambda: datetime.now(UTC).timestamp() - 601)
        old = viewing.PREFIX + signing.dumps({**payload, "e": payload["e"] + 10**6}, salt="daybook.viewer")
    assert viewing.read(token) is not None
    assert viewing.read(old) is None


@pytest.mark.parametrize("end", ["revoked", "expired", "removed", "demoted", "switched off", "suspended"])
def test_a_token_ends_with_the_rights_of_its_maker(world: World, end: str) -> None:
    bob = world.api()
    bob.sign_in("bob")
    by_key = end in {"revoked", "expired"}
    api = bearer(world, made(world, None if by_key else bob)["token"])
    assert api.get(TRAIL).status_code == 200
    user = world.person("bob").pk
    key = "UPDATE shared.tenants_apikey SET {} = now() WHERE name = 'acme read'"
    statements: dict[str, tuple[Any, ...]] = {
        "revoked": (key.format("revoked_at"),),
        "expired": (key.format("expires_at"),),
        "removed": ("UPDATE shared.tenants_membership SET ended_at = now() WHERE user_id = %s", user),
        "demoted": ("UPDATE shared.tenants_membership SET role = 'member' WHERE user_id = %s", user),
        "switched off": ("UPDATE shared.tenants_user SET is_active = false WHERE id = %s", user),
        "suspended": ("UPDATE shared.tenants_tenant SET status = 'suspended' WHERE slug = 'acme'",),
    }
    world.sql(*statements[end])
    assert api.get(TRAIL).status_code == (403 if end == "suspended" else 401)


@pytest.mark.parametrize("how", ["altered", "another tenant", "unsigned", "empty", "of another salt"])
def test_a_token_that_was_not_made_here_is_refused(world: World, how: str) -> None:
    token = made(world)["token"]
    body, rest = token.removeprefix("dbv_").split(":", 1)
    content = json.loads(base64.urlsafe_b64decode(body + "=="))
    content["t"] = world.globex.id.hex
    forged = base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")
    tokens = {
        "altered": token[:-2] + ("AA" if token[-2:] != "AA" else "BB"), "another tenant": f"dbv_{forged}:{rest}",
        "unsigned": f"dbv_{body}", "empty": "dbv_", "of another salt": "dbv_" + signing.dumps(content, salt="other"),
    }  # fmt: skip
    answer = bearer(world, tokens[how]).get(TRAIL)
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_key")


def test_a_token_is_refused_on_another_tenants_host(world: World) -> None:
    answer = bearer(world, made(world)["token"], "globex").get(TRAIL)
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign_key_host")


def test_a_token_survives_the_rotation_of_the_secret_key(world: World) -> None:
    from django.conf import settings

    token = made(world)["token"]
    with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        assert viewing.read(token) is not None
    with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=[]):
        assert viewing.read(token) is None


# --- who it is in the trail, and who can read what of it


def test_a_token_names_nobody_to_whoever_holds_it(world: World) -> None:
    alice = world.api()
    alice.sign_in("alice")
    token = made(world, alice)["token"]
    content = base64.urlsafe_b64decode(token.removeprefix("dbv_").split(":")[0] + "==")
    assert b"alice" not in content
    assert b"acme" not in content


def test_making_a_token_is_an_entry_without_the_token(world: World) -> None:
    token = made(world, resource_type="note", resource_id="7", origin=PAGE)
    with world.scope("acme"):
        entry = AuditLog.objects.of_action("viewer_token.created").get()
    assert (entry.resource_type, entry.resource_id, entry.actor_label) == ("viewer_token", token["id"], "acme read")
    assert (entry.changes["resource"], entry.changes["origin"]) == (["note", "7"], PAGE)
    assert token["token"][12:] not in str(world.sql(f"SELECT t::text FROM {world.acme.schema_name}.audit_log t"))


@pytest.mark.accesses
def test_who_looks_with_a_token_is_its_maker_and_the_token_is_said(world: World) -> None:
    alice = world.api()
    alice.sign_in("alice")
    alice.get(TRAIL)
    token = made(world, alice)
    for _ in range(2):
        bearer(world, token["token"]).get(TRAIL)
    with world.scope("acme"):
        looks = list(AuditLog.objects.of_action("trail.read").order_by("id"))
    assert [(look.actor_label, look.impersonator_id) for look in looks] == [
        (address("alice"), None), (address("alice"), token["id"]),
    ]  # fmt: skip
    assert (looks[1].impersonator_type, looks[1].impersonator_label) == ("anonymous", "viewer token")
    assert UUID(looks[1].impersonator_id)


# --- origins


@pytest.mark.parametrize("origin", ["https://evil.example", "http://app.example", "https://app.example:444", "null"])
def test_a_token_for_pages_of_one_origin_is_refused_to_others_and_that_is_an_entry(world: World, origin: str) -> None:
    api = bearer(world, made(world, origin=PAGE)["token"])
    answer = api.client.get(TRAIL, headers={**api.headers, "Origin": origin})
    assert answer.status_code == 403
    assert denied(world) == ["This viewer token is for pages of another origin."]


def test_its_own_pages_are_answered_and_so_is_whoever_says_no_origin(world: World) -> None:
    api = bearer(world, made(world, origin=PAGE)["token"])
    answer = api.client.get(TRAIL, headers={**api.headers, "Origin": PAGE})
    assert (answer.status_code, answer["Access-Control-Allow-Origin"]) == (200, PAGE)
    assert "Origin" in answer["Vary"]
    assert api.get(TRAIL).status_code == 200
