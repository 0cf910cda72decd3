"""Keys over HTTP: a secret is shown once, a rotation overlaps, a revocation is at once, and each is an entry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from world import World, address

from audit.models import AuditLog
from tenants import gate
from tenants.roles import RIGHTS_OF_SCOPE, KeyScope

KEYS = "/api/v1/api-keys"
TRAIL = "/api/v1/audit-logs"
NEW = {"name": "siem", "scopes": ["audit:read"]}
SHOWN = {
    "id", "name", "prefix", "scopes", "created_at", "created_by", "expires_at", "last_used_at", "revoked_at",
    "replaced_by",
}  # fmt: skip
ROWS = (
    "SELECT (id, tenant_id, user_id, name, scopes, expires_at, revoked_at, replaced_by_id)::text"
    " FROM shared.tenants_apikey k ORDER BY id"
)


def admin(world: World) -> Any:
    return world.api("acme", "acme.admin")


def made(world: World, **body: Any) -> dict[str, Any]:
    answer = admin(world).post(KEYS, {**NEW, **body})
    assert answer.status_code == 201, answer.content
    found: dict[str, Any] = answer.json()
    return found


def works(world: World, secret: str) -> bool:
    status = world.api("acme").bearing(secret).get(TRAIL).status_code
    assert status in {200, 401}
    return bool(status == 200)


def said(world: World, action: str) -> list[Any]:
    with world.scope("acme"):
        return list(AuditLog.objects.of_action(action).filter(captured=False))


def test_a_key_that_was_made_works_and_its_secret_is_shown_in_that_answer_alone(world: World) -> None:
    answer = admin(world).post(KEYS, NEW)
    key = answer.json()
    assert set(key) == SHOWN | {"secret"}
    assert answer["Cache-Control"] == "no-store"
    assert key["prefix"] == key["secret"][:12]
    assert works(world, key["secret"])
    for path in (KEYS, f"{KEYS}/{key['id']}", TRAIL):
        text = admin(world).get(path).content.decode()
        assert key["id"] in text
        assert key["secret"][12:] not in text
        assert gate.digest(key["secret"]).hex() not in text


def test_the_list_shows_own_keys_and_nothing_of_a_digest(world: World) -> None:
    revoked = made(world)["id"]
    admin(world).send("DELETE", f"{KEYS}/{revoked}")
    results = admin(world).get(KEYS).json()["results"]
    own = world.sql("SELECT id::text FROM shared.tenants_apikey WHERE tenant_id = %s ORDER BY id", world.acme.id)
    assert [key["id"] for key in results] == [row[0] for row in own]
    assert all(set(key) == SHOWN for key in results)
    assert revoked in {key["id"] for key in results if key["revoked_at"]}
    assert "digest" not in str(results)


def test_the_list_is_read_page_by_page(world: World) -> None:
    first = admin(world).get(KEYS, limit="2").json()
    second = admin(world).get(KEYS, limit="2", cursor=first["next_cursor"]).json()
    whole = admin(world).get(KEYS).json()
    assert [*first["results"], *second["results"]] == whole["results"]
    assert (second["next_cursor"], whole["next_cursor"]) == (None, None)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "cursor=x", "cursor=%00", "digest=1"]
)
def test_an_unknown_or_bad_parameter_is_refused_by_name(world: World, query: str) -> None:
    answer = admin(world).get(f"{KEYS}?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["parameter"] == query.partition("=")[0]


def test_it_is_said_who_made_a_key(world: World) -> None:
    by_key = made(world)["created_by"]
    alice = world.api()
    alice.sign_in("alice")
    by_alice = alice.send("POST", KEYS, NEW).json()["created_by"]
    assert (by_key["type"], by_key["label"]) == ("api_key", "acme admin")
    assert by_alice == {"type": "user", "id": str(world.person("alice").pk), "label": address("alice")}
    by_platform = admin(world).get(KEYS).json()["results"][0]["created_by"]
    assert by_platform["type"] == "system"


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({**NEW, "scopes": ["everything"]}, "/scopes/0", "unknown_word"),
        ({**NEW, "scopes": []}, "/scopes", "too_short"),
        ({"scopes": ["admin"]}, "/name", "required"),
        ({**NEW, "name": ""}, "/name", "too_short"),
        ({**NEW, "name": "x" * 201}, "/name", "too_long"),
        ({**NEW, "expires_at": "2020-01-01T00:00:00Z"}, "/expires_at", "in_the_past"),
        ({**NEW, "expires_at": "tomorrow"}, "/expires_at", "bad_time"),
        ({**NEW, "tenant_id": "x"}, "/tenant_id", "unknown_field"),
        ({**NEW, "user_id": "x"}, "/user_id", "unknown_field"),
        ({**NEW, "digest": "x"}, "/digest", "unknown_field"),
        ([], "", "not_an_object"),
    ],
)
def test_it_refuses_a_key_that_cannot_be_and_makes_none(world: World, body: Any, pointer: str, code: str) -> None:
    before = world.sql("SELECT count(*) FROM shared.tenants_apikey")
    answer = admin(world).post(KEYS, body)
    assert answer.status_code == 400, answer.content
    assert (answer.json()["errors"][0]["pointer"], answer.json()["errors"][0]["code"]) == (pointer, code)
    assert world.sql("SELECT count(*) FROM shared.tenants_apikey") == before


@pytest.mark.parametrize("path", [KEYS, KEYS + "/{id}/rotate"])
def test_an_idempotency_key_is_refused_since_nothing_keeps_an_answer_with_a_secret(world: World, path: str) -> None:
    path = path.replace("{id}", made(world)["id"])
    before = world.sql(ROWS)
    answer = admin(world).post(path, NEW if path == KEYS else {}, **{"Idempotency-Key": "once"})
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, "Idempotency-Key")
    assert world.sql(ROWS) == before
    assert world.sql(f"SELECT count(*) FROM {world.acme.schema_name}.audit_answer") == [(0,)]


def test_a_key_is_good_until_it_expires(world: World) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    key = made(world, expires_at=soon)
    assert datetime.fromisoformat(key["expires_at"]) == datetime.fromisoformat(soon)
    assert works(world, key["secret"])
    world.sql("UPDATE shared.tenants_apikey SET expires_at = now() WHERE id = %s", key["id"])
    assert not works(world, key["secret"])


# --- rotation


def rotated(world: World, key: dict[str, Any], **body: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Rotate a key; return the old one as it is now, and the new one."""
    answer = admin(world).post(f"{KEYS}/{key['id']}/rotate", body)
    assert answer.status_code == 201, answer.content
    return admin(world).get(f"{KEYS}/{key['id']}").json(), answer.json()


def test_both_keys_work_for_a_day_after_a_rotation(world: World) -> None:
    key = made(world, scopes=["audit:read", "audit:write"])
    old, new = rotated(world, key)
    assert works(world, key["secret"])
    assert works(world, new["secret"])
    assert (new["name"], new["scopes"], new["expires_at"]) == (key["name"], key["scopes"], None)
    assert old["replaced_by"] == new["id"]
    left = datetime.fromisoformat(old["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=23, minutes=59) < left <= timedelta(hours=24)
    world.sql("UPDATE shared.tenants_apikey SET expires_at = now() WHERE id = %s", key["id"])
    assert not works(world, key["secret"])
    assert works(world, new["secret"])


def test_without_an_overlap_the_old_key_ends_at_once(world: World) -> None:
    key = made(world)
    _, new = rotated(world, key, overlap_hours=0)
    assert not works(world, key["secret"])
    assert works(world, new["secret"])


def test_an_overlap_never_makes_the_old_key_last_longer(world: World) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    old, new = rotated(world, made(world, expires_at=soon.isoformat()), overlap_hours=24)
    assert datetime.fromisoformat(old["expires_at"]) == soon
    # The new one lives as long as the old one was made for.
    length = datetime.fromisoformat(new["expires_at"]) - datetime.fromisoformat(new["created_at"])
    assert timedelta(minutes=59) < length <= timedelta(hours=1, seconds=1)


def test_the_key_after_one_of_the_last_year_lasts_as_long_as_a_time_can(world: World) -> None:
    _, new = rotated(world, made(world, expires_at="9999-12-31T23:59:59Z"))
    assert new["expires_at"] == "9999-12-31T23:59:59.000000Z"
    assert works(world, new["secret"])


def test_the_key_after_one_without_end_has_none(world: World) -> None:
    _, new = rotated(world, made(world))
    assert new["expires_at"] is None


def test_a_new_key_may_be_given_an_expiry_of_its_own(world: World) -> None:
    wanted = (datetime.now(UTC) + timedelta(days=9)).isoformat()
    assert datetime.fromisoformat(rotated(world, made(world), expires_at=wanted)[1]["expires_at"]).isoformat() == wanted


@pytest.mark.parametrize(("hours", "code"), [(-1, "greater_than_equal"), (25, "less_than_equal"), ("x", None)])
def test_it_refuses_another_overlap_and_changes_nothing(world: World, hours: Any, code: str | None) -> None:
    key = made(world)
    answer = admin(world).post(f"{KEYS}/{key['id']}/rotate", {"overlap_hours": hours})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/overlap_hours")
    assert code in {None, answer.json()["errors"][0]["code"]}
    assert admin(world).get(f"{KEYS}/{key['id']}").json()["replaced_by"] is None


@pytest.mark.parametrize("how", ["revoked", "replaced", "expired"])
def test_a_key_that_is_not_in_use_is_not_rotated(world: World, how: str) -> None:
    key = made(world)
    path = f"{KEYS}/{key['id']}"
    if how == "revoked":
        admin(world).send("DELETE", path)
    elif how == "replaced":
        rotated(world, key)
    else:
        world.sql("UPDATE shared.tenants_apikey SET expires_at = now() WHERE id = %s", key["id"])
    before = len(world.sql(ROWS))
    answer = admin(world).post(f"{path}/rotate", {})
    assert (answer.status_code, answer.json()["code"]) == (409, "key_not_in_use")
    assert len(world.sql(ROWS)) == before


# --- revocation


def test_a_revoked_key_is_refused_at_once_and_stays_revoked(world: World) -> None:
    key = made(world)
    path = f"{KEYS}/{key['id']}"
    assert admin(world).send("DELETE", path).status_code == 204
    assert not works(world, key["secret"])
    when = admin(world).get(path).json()["revoked_at"]
    assert admin(world).send("DELETE", path).status_code == 204
    assert admin(world).get(path).json()["revoked_at"] == when
    assert len(said(world, "api_key.revoked")) == 1


def test_a_key_may_revoke_itself(world: World) -> None:
    key = made(world, scopes=["admin"])
    own = world.api("acme").bearing(key["secret"])
    assert own.send("DELETE", f"{KEYS}/{key['id']}").status_code == 204
    assert own.get(KEYS).status_code == 401


# --- whose keys


@pytest.mark.parametrize("kind", ["foreign", "staff", "unknown", "no id"])
def test_a_key_of_somebody_else_is_not_there(world: World, kind: str) -> None:
    ids = {
        "foreign": "SELECT id::text FROM shared.tenants_apikey k WHERE tenant_id <> %s LIMIT 1",
        "staff": "SELECT id::text FROM shared.tenants_apikey k WHERE tenant_id IS NULL AND %s IS NOT NULL LIMIT 1",
    }
    key = world.sql(ids[kind], world.acme.id)[0][0] if kind in ids else {"no id": "x"}.get(kind, str(world.acme.id))
    before = [row[0] for row in world.sql(ROWS) if key in row[0]]
    for method, path in (("GET", key), ("DELETE", key), ("POST", f"{key}/rotate")):
        answer = admin(world).send(method, f"{KEYS}/{path}", {} if method == "POST" else None)
        assert answer.status_code == 404, answer.content
    assert [row[0] for row in world.sql(ROWS) if key in row[0]] == before


def test_keys_are_administered_on_the_platforms_host_as_well(world: World) -> None:
    api = world.api("platform", "acme.admin")
    key = api.post(KEYS, NEW).json()
    assert works(world, key["secret"])
    assert {one["id"] for one in api.get(KEYS).json()["results"]} == {
        one["id"] for one in admin(world).get(KEYS).json()["results"]
    }


@pytest.mark.parametrize("scope", KeyScope.values)
def test_no_key_can_do_more_than_whoever_makes_it(world: World, scope: str) -> None:
    """So it stays when a right is added that an administrator has not."""
    from tenants import apikeys
    from tenants.errors import NotAllowed
    from tenants.roles import Right

    before = len(world.sql(ROWS))
    lacking = RIGHTS_OF_SCOPE[scope] - {min(RIGHTS_OF_SCOPE[scope])} | {Right.ADMINISTER_PEOPLE}
    with pytest.raises(NotAllowed), world.scope("acme", "alice"):
        apikeys.make(name="more", scopes=[scope], expires_at=None, rights=lacking)
    assert len(world.sql(ROWS)) == before


# --- entries


def test_making_rotating_and_revoking_are_entries_of_the_tenants_trail_without_secrets(world: World) -> None:
    key = made(world)
    _, new = rotated(world, key)
    admin(world).send("DELETE", f"{KEYS}/{new['id']}")
    (created,), (turned,), (revoked,) = (said(world, f"api_key.{word}") for word in ("created", "rotated", "revoked"))
    assert {entry.actor_label for entry in (created, turned, revoked)} == {"acme admin"}
    assert (created.resource_id, created.changes["scopes"]) == (key["id"], ["audit:read"])
    assert (turned.resource_id, turned.changes["replaced_by"]) == (key["id"], new["id"])
    assert revoked.resource_id == new["id"]
    schema = world.acme.schema_name
    whole = str(
        world.sql(f"SELECT t::text FROM {schema}.audit_log t") + world.sql("SELECT t::text FROM shared.platform_log t")
    )
    for secret in (key["secret"], new["secret"]):
        assert secret[12:] not in whole
        assert gate.digest(secret).hex() not in whole


def test_the_row_that_was_captured_says_the_same_in_the_same_transaction(world: World) -> None:
    key = made(world)
    with world.scope("acme"):
        told, captured = AuditLog.objects.of_resource("api_key", key["id"]).order_by("captured")
        assert (told.action, captured.action) == ("api_key.created", "created")
        assert told.transaction_id == captured.transaction_id
        assert told.actor_id == captured.actor_id
        # Who made it is the entry's actor: it is not told twice.
        assert not [name for name in captured.changes if name.startswith("created_by")]


def test_a_refused_attempt_is_an_entry(world: World) -> None:
    answer = world.api("acme", "acme.read").post(KEYS, NEW)
    assert answer.status_code == 403
    (entry,) = said(world, "access.denied")
    assert (entry.description, entry.actor_label, entry.outcome) == (f"POST {KEYS}", "acme read", "denied")
