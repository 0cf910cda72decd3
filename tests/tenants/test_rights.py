"""Who may do what: every cell of the table that people and programs outside rely on, asked of the real API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from browser import Browser
from django.test.client import ClientHandler
from world import PEOPLE, STAFF, World

from audit.models import AuditLog
from tenants import people
from tenants.models import Tenant

EVENT = {"action": "note.created", "resource": {"type": "note", "id": "1"}}
CALLERS = ["olga", "alice", "bob", "mia", "acme.read", "acme.write", "acme.admin", "sue", "bill", "sam"]

# One letter for each caller above: y yes, n no, o his own actions only, r not without a reason.
TABLE = {
    "read the trail": "yyyoynynnn",
    "count entries": "yyyyynynnn",
    "read a resource's history": "yyyoynynnn",
    "read an actor's activity": "yyyoynynnn",
    "read the catalogue": "yyyoynynnn",
    "read an event type": "yyyoynynnn",
    "declare an event type": "yynnnnynnn",
    "set strict mode": "yynnnnynnn",
    "export": "yyynynynnn",
    "ask for an export": "yyynynynnn",
    "see the exports": "yyynynynnn",
    "write events": "yynnnyynnn",
    "read the subscription": "yyynynynnn",
    "list keys": "yynnnnynnn",
    "read a key": "yynnnnynnn",
    "make a key": "yynnnnynnn",
    "rotate a key": "yynnnnynnn",
    "revoke a key": "yynnnnynnn",
    "list members": "yynnnnynnn",
    "read a member": "yynnnnynnn",
    "change a role": "yynnnnynnn",
    "make an owner": "ynnnnnnnnn",
    "unmake an owner": "ynnnnnnnnn",
    "remove a member": "yynnnnynnn",
    "list invitations": "yynnnnynnn",
    "invite": "yynnnnynnn",
    "invite an owner": "ynnnnnnnnn",
    "withdraw an invitation": "yynnnnynnn",
    "make a viewer token": "yyynynynnn",
    "read tenants": "nnnnnnnyyy",
    "read plans": "nnnnnnnyyy",
    "read a tenant's subscription": "nnnnnnnyyy",
    "change a subscription": "nnnnnnnnyy",
    "change what a plan allows": "nnnnnnnnny",
    "read the platform log": "nnnnnnnyyy",
    "read a tenant's trail": "nnnnnnnyny",
    "count a tenant's entries": "nnnnnnnyny",
    "export a tenant's trail": "nnnnnnnnny",
    "read a tenant's trail for no reason": "nnnnnnnrnr",
    "export a tenant's trail for no reason": "nnnnnnnnnr",
}
CELLS = [(right, caller, cell) for right, row in TABLE.items() for caller, cell in zip(CALLERS, row, strict=True)]
PATHS = {
    "read the trail": "/api/v1/audit-logs",
    "count entries": "/api/v1/audit-logs/stats",
    "read a resource's history": "/api/v1/resources/note/7/history",
    "read an actor's activity": "/api/v1/actors/{bob}/activity",
    "read the catalogue": "/api/v1/events",
    "read an event type": "/api/v1/events/user.signed_in",
    "declare an event type": "/api/v1/events/note.created",
    "set strict mode": "/api/v1/events",
    "export": "/api/v1/audit-logs/export?format=jsonl",
    "ask for an export": "/api/v1/exports",
    "see the exports": "/api/v1/exports",
    "write events": "/api/v1/audit-logs",
    "read the subscription": "/api/v1/subscription",
    "list keys": "/api/v1/api-keys",
    "read a key": "/api/v1/api-keys/{key}",
    "make a key": "/api/v1/api-keys",
    "rotate a key": "/api/v1/api-keys/{key}/rotate",
    "revoke a key": "/api/v1/api-keys/{key}",
    "list members": "/api/v1/members",
    "read a member": "/api/v1/members/{bob}",
    "change a role": "/api/v1/members/{bob}",
    "make an owner": "/api/v1/members/{bob}",
    "unmake an owner": "/api/v1/members/{olaf}",
    "remove a member": "/api/v1/members/{mia}",
    "list invitations": "/api/v1/members/invitations",
    "invite": "/api/v1/members/invitations",
    "invite an owner": "/api/v1/members/invitations",
    "withdraw an invitation": "/api/v1/members/invitations/{invitation}",
    "make a viewer token": "/api/v1/viewer-tokens",
    "read tenants": "/api/v1/platform/tenants",
    "read plans": "/api/v1/platform/plans",
    "read a tenant's subscription": "/api/v1/platform/tenants/acme/subscription",
    "change a subscription": "/api/v1/platform/tenants/acme/subscription/change-plan",
    "change what a plan allows": "/api/v1/platform/plans/free/change-rates",
    "read the platform log": "/api/v1/platform/platform-logs",
    "read a tenant's trail": "/api/v1/platform/tenants/acme/audit-logs?reason=asked",
    "count a tenant's entries": "/api/v1/platform/tenants/acme/audit-logs/stats?reason=asked",
    "export a tenant's trail": "/api/v1/platform/tenants/acme/audit-logs/export?format=csv&reason=asked",
    "read a tenant's trail for no reason": "/api/v1/platform/tenants/acme/audit-logs",
    "export a tenant's trail for no reason": "/api/v1/platform/tenants/acme/audit-logs/export?format=csv",
}
# What is not asked by GET: the method, and the body.
SENT: dict[str, tuple[str, Any]] = {
    "write events": ("POST", EVENT),
    "make a key": ("POST", {"name": "new", "scopes": ["admin"]}),
    "rotate a key": ("POST", {}),
    "revoke a key": ("DELETE", None),
    "change a role": ("PATCH", {"role": "admin"}),
    "make an owner": ("PATCH", {"role": "owner"}),
    "unmake an owner": ("PATCH", {"role": "member"}),
    "remove a member": ("DELETE", None),
    "invite": ("POST", {"email": "nina@new.example", "role": "admin"}),
    "invite an owner": ("POST", {"email": "nina@new.example", "role": "owner"}),
    "withdraw an invitation": ("DELETE", None),
    "make a viewer token": ("POST", {}),
    "declare an event type": ("PUT", {"description": "A note."}),
    "set strict mode": ("PUT", {"strict": True}),
    "ask for an export": ("POST", {"format": "csv"}),
    "change what a plan allows": (
        "POST",
        {"requests_per_minute": 9, "requests_per_minute_of_one": None, "reason": "They asked."},
    ),
    "change a subscription": ("POST", {"plan": "premium", "reason": "They asked for it."}),
}


class Session:
    """A person's browser, asked for JSON; it sends the form's token as a page of the host would."""

    def __init__(self, world: World, host: str, name: str) -> None:
        self.browser = Browser(world, host, name)

    def get(self, path: str) -> Any:
        """GET a path."""
        return self.browser.get(path)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """POST JSON."""
        return self.send("POST", path, body)

    def send(self, method: str, path: str, body: Any) -> Any:
        """Send JSON by any method."""
        return self.browser.client.generic(method, path, json.dumps(body), content_type="application/json")


def ask(world: World, right: str, caller: str) -> Any:
    """Ask for what a right is about, as a caller, on the host that the caller is of; return the answer."""
    host = "platform" if caller in STAFF else "acme"
    api: Any = Session(world, host, caller) if caller in PEOPLE else world.api(host, key=caller)
    path = filled(world, PATHS[right])
    if right in SENT:
        method, body = SENT[right]
        return api.send(method, path, body)
    return api.get(path)


def filled(world: World, path: str) -> str:
    """Return a path with the ids of acme's that it names."""
    ids = {name: world.person(name).pk for name in ("bob", "mia")}
    tables = {"key": "apikey", "invitation": "invitation"}
    for name, table in tables.items():
        query = f"SELECT id FROM shared.tenants_{table} WHERE tenant_id = %s ORDER BY id LIMIT 1"
        ids[name] = world.sql(query, world.acme.id)[0][0]
    for row in world.sql("SELECT id FROM shared.tenants_user WHERE email = 'olaf@acme.example'"):
        ids["olaf"] = row[0]
    for name, key in ids.items():
        path = path.replace(f"{{{name}}}", str(key))
    return path


def state(world: World) -> list[Any]:
    """Return what a refused caller must not have changed: what is in the trail, and rows of tables."""
    schema = world.acme.schema_name
    notes = f"SELECT count(*) FROM {schema}.audit_log WHERE resource_type IN ('note', 'export', 'viewer_token')"
    rows = [world.sql(notes), world.sql("SELECT * FROM shared.subscriptions_plan ORDER BY 1")]
    rows += [world.sql(f"SELECT * FROM {schema}.audit_event_{table}") for table in ("type", "schema", "policy")]
    rows.append(world.sql("SELECT tenant_id, plan_id FROM shared.subscriptions_tenantsubscription ORDER BY 1"))
    rows.append(world.sql("SELECT id, scopes, expires_at, revoked_at FROM shared.tenants_apikey ORDER BY 1"))
    rows.append(world.sql("SELECT id, user_id, role, ended_at FROM shared.tenants_membership ORDER BY 1"))
    rows.append(world.sql("SELECT id, role, withdrawn_at FROM shared.tenants_invitation ORDER BY 1"))
    return rows


@pytest.mark.parametrize(("right", "caller", "cell"), CELLS)
def test_a_caller_may_do_what_the_table_says_and_nothing_else(world: World, right: str, caller: str, cell: str) -> None:
    with world.scope("acme", "bob"):
        AuditLog.log_action(None, "updated", "note", "7")
    if right == "unmake an owner":
        with world.platform():
            olaf = people.create_user(email="olaf@acme.example")
            people.set_role(olaf, Tenant.objects.get(slug="acme"), "owner")
    before = state(world)
    answer = ask(world, right, caller)
    if cell == "n":
        assert answer.status_code in {403, 404}, answer.content
        assert answer["Content-Type"] == "application/problem+json"
        assert state(world) == before
    elif cell == "r":
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, "reason")
        assert state(world) == before
    else:
        assert answer.status_code in {200, 201, 204}
    if cell == "o" and "event type" in right:
        assert answer.json()["name"] == "user.signed_in"
    elif cell == "o" and "catalogue" in right:
        assert [one["name"] for one in answer.json()["results"]] == ["user.signed_in"]
    elif cell == "o":
        # His own sign-in is all that he has done.
        found = {(entry["action"], entry["actor"]["label"]) for entry in answer.json()["results"]}
        assert found <= {("user.signed_in", f"{caller}@acme.example")}
    elif cell == "y" and right in {"read the trail", "read a resource's history", "read an actor's activity"}:
        assert [entry["resource"]["id"] for entry in answer.json()["results"] if entry["resource"]["type"] == "note"]


@pytest.mark.parametrize("path", sorted(set(PATHS.values())))
def test_a_caller_who_is_not_signed_in_may_do_nothing(world: World, path: str) -> None:
    host = "platform" if "/platform/" in path else "acme"
    answer = world.api(host).get(filled(world, path))
    assert answer.status_code in {401, 405}, answer.content
    if answer.status_code == 401:
        assert answer.json()["code"] == "not_signed_in"
        assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_member_finds_his_own_actions_and_no_others(world: World) -> None:
    mia = Session(world, "acme", "mia")
    with world.scope("acme", "mia"):
        signed_in = AuditLog.objects.of_action("user.signed_in").get()
        own = AuditLog.log_action(None, "created", "note", "8")
    with world.scope("acme", "bob"):
        other = AuditLog.log_action(None, "created", "note", "8")
    assert [entry["id"] for entry in mia.get("/api/v1/audit-logs").json()["results"]] == [
        str(own.pk),
        str(signed_in.pk),
    ]
    history = mia.get("/api/v1/resources/note/8/history").json()["results"]
    assert [entry["id"] for entry in history] == [str(own.pk)]
    assert mia.get(f"/api/v1/audit-logs/{own.pk}").status_code == 200
    assert mia.get(f"/api/v1/audit-logs/{other.pk}").status_code == 404


def test_a_session_writes_only_with_the_forms_token(world: World) -> None:
    """A page of another site can make a browser send its cookie, but not read a token of ours."""
    alice = Session(world, "acme", "alice")
    # Of its own: the handler of all other clients stays as it is.
    alice.browser.client.handler = ClientHandler(enforce_csrf_checks=True)
    before = state(world)
    answer = alice.post("/api/v1/audit-logs", EVENT)
    assert (answer.status_code, answer["Content-Type"]) == (403, "application/problem+json")
    assert state(world) == before
    token = alice.browser.client.cookies["csrftoken"].value
    headers = {"X-CSRFToken": token, "Origin": "http://acme.localhost"}
    written = alice.browser.client.post("/api/v1/audit-logs", EVENT, content_type="application/json", headers=headers)
    assert written.status_code == 201, written.content


def test_a_denied_path_that_no_entry_can_hold_is_answered_and_recorded_as_well(world: World) -> None:
    answer = world.api(key="acme.write").get("/api/v1/actors/%00/activity")
    assert (answer.status_code, answer["Content-Type"]) == (403, "application/problem+json")
    with world.scope("acme"):
        entry = AuditLog.objects.filter(action="access.denied").first()
    assert entry.description == "GET /api/v1/actors//activity"


def test_a_denied_request_of_a_known_caller_is_an_entry(world: World) -> None:
    before = world.entries("acme")
    assert ask(world, "write events", "acme.read").status_code == 403
    with world.scope("acme"):
        entry = AuditLog.objects.filter(action="access.denied").first()
    assert world.entries("acme") == before + 1
    assert (entry.outcome, entry.actor_type, entry.description) == ("denied", "api_key", "POST /api/v1/audit-logs")
