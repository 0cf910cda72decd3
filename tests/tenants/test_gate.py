"""The gate: who is calling, and what an unwelcome caller gets and leaves behind."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import RequestFactory, override_settings
from world import World, address

from tenants import gate, people, provisioning
from tenants.callers import client_ip
from tenants.context import SYSTEM
from tenants.models import Tenant, User
from tenants.sessions import SessionStore

TRAIL = "/api/v1/audit-logs"


def counts(world: World) -> dict[str, int]:
    """Return how many entries each trail has, the platform's among them."""
    platform = world.sql("SELECT count(*) FROM shared.platform_log")[0][0]
    return {"acme": world.entries("acme"), "globex": world.entries("globex"), "platform": platform}


def added(world: World, before: dict[str, int]) -> dict[str, int]:
    """Return the trails that have grown, and by how much."""
    return {trail: now - before[trail] for trail, now in counts(world).items() if now != before[trail]}


def last(world: World, slug: str) -> dict[str, Any]:
    """Return the newest entry of a trail (`platform`: the platform log), beyond all walls."""
    table = "shared.platform_log" if slug == "platform" else f"{world.tenant(slug).schema_name}.audit_log"
    names = ("action", "outcome", "actor_type", "actor_label", "source", "description", "ip")
    row = world.sql(f"SELECT {', '.join(names)} FROM {table} ORDER BY id DESC LIMIT 1")[0]
    return dict(zip(names, row, strict=True))


def revoke(world: World, name: str) -> None:
    world.sql("UPDATE shared.tenants_apikey SET revoked_at = now() WHERE digest = %s", gate.digest(world.keys[name]))


def expire(world: World, name: str) -> None:
    world.sql("UPDATE shared.tenants_apikey SET expires_at = now() WHERE digest = %s", gate.digest(world.keys[name]))


def suspend(world: World) -> dict[str, int]:
    """Suspend acme; return the counts after that."""
    provisioning.suspend_tenant(world.acme, actor=SYSTEM, reason="unpaid")
    return counts(world)


def session_of(world: World, name: str, host: str = "acme") -> str:
    """Sign a person in; return the session's cookie."""
    api = world.api(host)
    assert api.sign_in(name).status_code == 302
    return str(api.client.cookies["daybook_session"].value)


def with_session(world: World, host: str, session: str) -> Any:
    api = world.api(host)
    api.client.cookies["daybook_session"] = session
    return api


# --- hosts


@pytest.mark.parametrize("path", [TRAIL, "/admin/", "/", "/api/docs"])
def test_an_unknown_host_is_404_whatever_is_asked_and_leaves_no_entry(world: World, path: str) -> None:
    before = counts(world)
    answer = world.api("nobody").get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_host")
    assert added(world, before) == {}


def test_a_host_is_known_in_any_case_and_with_any_port(world: World) -> None:
    for host in ("ACME.localhost", "acme.localhost:8000"):
        answer = world.api().client.get(TRAIL, headers={"host": host, **world.api("acme", "acme.read").headers})
        assert answer.status_code == 200


def test_a_host_that_is_not_allowed_is_refused(world: World) -> None:
    before = counts(world)
    answer = world.api().client.get(TRAIL, headers={"host": "acme.example"})
    assert answer.status_code == 400
    assert added(world, before) == {}


def test_a_forged_forwarded_host_is_ignored(world: World) -> None:
    api = world.api("acme", "acme.read")
    for headers in ({"x-forwarded-host": "globex.localhost"}, {"forwarded": "host=globex.localhost"}):
        answer = api.client.get(TRAIL, headers={**api.headers, **headers})
        assert {entry["tenant"]["slug"] for entry in answer.json()["results"]} == {"acme"}
    anonymous = world.api("nobody").client.get(TRAIL, headers={"x-forwarded-host": "acme.localhost"})
    assert anonymous.status_code == 404


def test_a_tenants_key_says_where_it_belongs_on_hosts_that_are_nobodys(world: World) -> None:
    for host in ("acme", "platform", "nobody"):
        answer = world.api(host, "acme.read").get(TRAIL)
        assert answer.status_code == 200
        assert {entry["tenant"]["slug"] for entry in answer.json()["results"]} == {"acme"}


# --- keys


@pytest.mark.parametrize("spoil", [revoke, expire])
def test_a_key_that_is_over_is_401_with_an_entry_in_its_own_tenants_trail(world: World, spoil: Any) -> None:
    spoil(world, "acme.read")
    before = counts(world)
    answer = world.api("acme", "acme.read").get(TRAIL)
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_key")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert added(world, before) == {"acme": 1}
    entry = last(world, "acme")
    assert (entry["action"], entry["outcome"]) == ("access.denied", "denied")
    assert (entry["actor_type"], entry["actor_label"], entry["source"]) == (
        "api_key",
        "acme read",
        "api",
    )


def test_a_key_that_is_over_is_refused_on_another_tenants_host_without_a_word_there(world: World) -> None:
    revoke(world, "acme.read")
    before = counts(world)
    assert world.api("globex", "acme.read").get(TRAIL).status_code == 401
    assert added(world, before) == {"acme": 1}


@pytest.mark.parametrize("header", ["Bearer dbk_nonsense", "bearer \xff\xfe", "Bearer dbk_" + "x" * 5000])
def test_a_key_that_nobody_has_is_401_and_leaves_no_entry(world: World, header: str) -> None:
    before = counts(world)
    answer = world.api().client.get(TRAIL, headers={"authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_key")
    assert added(world, before) == {}


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "dbk_nonsense"])
def test_without_a_key_or_a_session_it_asks_for_one(world: World, header: str) -> None:
    before = counts(world)
    answer = world.api().client.get(TRAIL, headers={"authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
    assert added(world, before) == {}


def test_a_key_on_another_tenants_host_is_403_with_an_entry_in_its_own_trail_alone(world: World) -> None:
    before = counts(world)
    answer = world.api("globex", "acme.write").post(TRAIL, {"action": "created", "resource": {"type": "x", "id": "1"}})
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign_key_host")
    assert added(world, before) == {"acme": 1}
    assert last(world, "acme")["action"] == "access.denied"


def test_a_staff_key_on_a_tenants_host_is_403_with_an_entry_in_the_platform_log_alone(world: World) -> None:
    before = counts(world)
    answer = world.api("acme", "sam").get(TRAIL)
    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    assert added(world, before) == {"platform": 1}
    entry = last(world, "platform")
    assert (entry["action"], entry["actor_type"], entry["actor_label"]) == ("access.denied", "staff", address("sam"))


def test_a_staff_key_on_a_host_that_is_nobodys_finds_nothing(world: World) -> None:
    assert world.api("nobody", "sam").get("/api/v1/platform/tenants").status_code == 404
    assert world.api("platform", "sam").get("/api/v1/platform/tenants").status_code == 200


def test_the_key_of_an_inactive_member_of_staff_is_over(world: World) -> None:
    world.sql("UPDATE shared.tenants_user SET is_active = false WHERE email = %s", address("sam"))
    before = counts(world)
    assert world.api("platform", "sam").get("/api/v1/platform/tenants").status_code == 401
    assert added(world, before) == {"platform": 1}


def test_who_is_staff_no_more_may_nothing_with_an_old_key(world: World) -> None:
    world.sql("UPDATE shared.tenants_user SET staff_role = '' WHERE email = %s", address("sam"))
    assert world.api("platform", "sam").get("/api/v1/platform/tenants").status_code == 403


def test_a_key_beats_a_session(world: World) -> None:
    api = with_session(world, "acme", session_of(world, "alice"))
    assert api.get(TRAIL).status_code == 200
    api.headers = {"authorization": "Bearer dbk_nonsense"}
    assert api.get(TRAIL).status_code == 401


# --- suspension


def test_a_suspended_tenants_key_is_403_with_an_entry_on_any_host(world: World) -> None:
    before = suspend(world)
    for host in ("acme", "platform", "globex"):
        answer = world.api(host, "acme.read").get(TRAIL)
        assert (answer.status_code, answer.json()["code"]) == (403, "tenant_suspended")
    assert added(world, before) == {"acme": 3}
    entry = last(world, "acme")
    assert (entry["action"], entry["outcome"], entry["actor_type"]) == ("access.denied", "denied", "api_key")


def test_a_suspended_tenants_member_is_403_with_an_entry_that_names_him(world: World) -> None:
    session = session_of(world, "alice")
    before = suspend(world)
    answer = with_session(world, "acme", session).get(TRAIL)
    assert (answer.status_code, answer.json()["code"]) == (403, "tenant_suspended")
    assert added(world, before) == {"acme": 1}
    assert last(world, "acme")["actor_label"] == "alice@acme.example"


def test_a_suspended_tenants_unknown_visitor_is_403_and_leaves_no_entry(world: World) -> None:
    before = suspend(world)
    for answer in (world.api().get(TRAIL), world.api().get("/accounts/login/"), world.api().sign_in("alice")):
        assert answer.status_code == 403
    assert added(world, before) == {}


def test_a_suspended_tenant_is_nothing_to_the_others_and_is_served_again_when_resumed(world: World) -> None:
    suspend(world)
    assert world.api("globex", "globex.read").get(TRAIL).status_code == 200
    provisioning.resume_tenant(world.acme, actor=SYSTEM)
    assert world.api("acme", "acme.read").get(TRAIL).status_code == 200


# --- sessions


def test_a_member_signs_in_on_his_own_tenants_host_alone(world: World) -> None:
    before = world.sql("SELECT count(*) FROM shared.tenants_session")
    for host, name in (("globex", "alice"), ("platform", "alice"), ("acme", "charlie"), ("acme", "sam")):
        assert world.api(host).sign_in(name).status_code != 302
    assert world.sql("SELECT count(*) FROM shared.tenants_session") == before
    assert world.api("acme").sign_in("alice").status_code == 302
    assert world.api("platform").sign_in("sam").status_code == 302


def test_a_session_of_one_tenant_is_nobody_on_another_tenants_host_and_on_the_platforms(world: World) -> None:
    with world.platform():
        people.set_role(User.objects.get(email=address("alice")), Tenant.objects.get(slug="globex"), "admin")
    session = session_of(world, "alice")
    assert with_session(world, "acme", session).get(TRAIL).status_code == 200
    before = counts(world)
    assert with_session(world, "globex", session).get(TRAIL).status_code == 401
    assert with_session(world, "platform", session).get("/api/v1/platform/tenants").status_code == 401
    assert added(world, before) == {"acme": 2}
    entry = last(world, "acme")
    assert (entry["action"], entry["outcome"], entry["actor_label"]) == ("access.denied", "denied", address("alice"))


def test_a_session_of_staff_is_nobody_on_a_tenants_host(world: World) -> None:
    session = session_of(world, "sam", "platform")
    assert with_session(world, "platform", session).get("/api/v1/platform/tenants").status_code == 200
    before = counts(world)
    assert with_session(world, "acme", session).get(TRAIL).status_code == 401
    assert added(world, before) == {"platform": 1}


def test_a_session_key_is_nowhere_in_the_database(world: World) -> None:
    session = session_of(world, "alice")
    for table in ("tenants_session", "usersessions_usersession"):
        assert session not in str(world.sql(f"SELECT t::text FROM shared.{table} t"))
    key = str(SessionStore.of(session).session_key)
    assert world.sql("SELECT count(*) FROM shared.tenants_session WHERE digest = %s", gate.digest(key)) == [(1,)]


def test_what_the_database_knows_of_a_session_opens_nothing(world: World) -> None:
    session = session_of(world, "alice")
    ((key,),) = world.sql("SELECT session_key FROM shared.usersessions_usersession")
    assert with_session(world, "acme", session).get(TRAIL).status_code == 200
    assert with_session(world, "acme", key).get(TRAIL).status_code == 401


def end_membership(world: World) -> None:
    with world.platform():
        people.end_membership(User.objects.get(email=address("alice")), Tenant.objects.get(slug="acme"))


def deactivate(world: World) -> None:
    with world.platform():
        User.objects.filter(email=address("alice")).update(is_active=False)


def change_password(world: World) -> None:
    with world.platform():
        people.set_password(User.objects.get(email=address("alice")), "another secret")


def delete_person(world: World) -> None:
    with world.platform():
        User.objects.get(email=address("alice")).delete()


def expire_session(world: World) -> None:
    world.sql("UPDATE shared.tenants_session SET expires_at = now()")


@pytest.mark.parametrize("end", [end_membership, deactivate, change_password, delete_person, expire_session])
def test_a_session_ends_with_what_it_stood_on(world: World, end: Any) -> None:
    session = session_of(world, "alice")
    assert with_session(world, "acme", session).get(TRAIL).status_code == 200
    end(world)
    before = counts(world)
    assert with_session(world, "acme", session).get(TRAIL).status_code == 401
    assert added(world, before) == {}


@pytest.mark.parametrize("end", [end_membership, deactivate, change_password, delete_person])
def test_who_may_enter_no_more_cannot_sign_in_either(world: World, end: Any) -> None:
    end(world)
    assert world.api("acme").sign_in("alice").status_code != 302


def test_signing_out_ends_the_session_on_the_server(world: World) -> None:
    session = session_of(world, "alice")
    api = with_session(world, "acme", session)
    api.client.post("/admin/logout/")
    assert with_session(world, "acme", session).get(TRAIL).status_code == 401
    assert world.sql("SELECT count(*) FROM shared.tenants_session WHERE digest = %s", gate.digest(session)) == [(0,)]


# --- addresses


@pytest.mark.parametrize(
    ("proxies", "forwarded", "remote", "address_found"),
    [
        (0, None, "203.0.113.1", "203.0.113.1"),
        (0, "198.51.100.9", "203.0.113.1", "203.0.113.1"),
        (1, "198.51.100.9", "203.0.113.1", "198.51.100.9"),
        (1, "192.0.2.66, 198.51.100.9", "203.0.113.1", "198.51.100.9"),
        (1, None, "203.0.113.1", None),
        (2, "192.0.2.66, 198.51.100.9, 10.0.0.1", "10.0.0.2", "198.51.100.9"),
        (2, "198.51.100.9", "10.0.0.2", "198.51.100.9"),
        (1, "garbage", "203.0.113.1", None),
        (1, "192.0.2.66, garbage", "203.0.113.1", None),
        (1, "198.51.100.9:4711", "203.0.113.1", None),
        (1, " 2001:DB8::1 ", "203.0.113.1", "2001:db8::1"),
        (1, "fe80::1%eth0", "203.0.113.1", "fe80::1"),
        (1, "'; DROP TABLE x", "203.0.113.1", None),
        (0, None, "", None),
        (0, None, "fe80::1%25", "fe80::1"),
    ],
)
def test_the_address_is_that_of_the_first_hop_that_is_not_ours(
    proxies: int, forwarded: str | None, remote: str, address_found: str | None
) -> None:
    headers = {"x-forwarded-for": forwarded} if forwarded is not None else {}
    with override_settings(TRUSTED_PROXIES=proxies):
        assert client_ip(RequestFactory().get("/", headers=headers, REMOTE_ADDR=remote)) == address_found


@pytest.mark.parametrize("forwarded", ["198.51.100.9", "garbage", "fe80::1%eth0", "x" * 9000])
@pytest.mark.parametrize("proxies", [0, 1, 2])
def test_whatever_address_is_claimed_the_event_is_written(world: World, forwarded: str, proxies: int) -> None:
    api = world.api("acme", "acme.write")
    event = {"action": "created", "resource": {"type": "invoice", "id": "1"}}
    with override_settings(TRUSTED_PROXIES=proxies):
        assert api.post(TRAIL, event, **{"x-forwarded-for": forwarded}).status_code == 201
    ip = last(world, "acme")["ip"]
    claimed = {"198.51.100.9": "198.51.100.9", "fe80::1%eth0": "fe80::1"}.get(forwarded)
    assert (str(ip) if ip else None) == ("127.0.0.1" if proxies == 0 else claimed)
