"""Staff's API: who may use which part of it, and what it answers."""

from __future__ import annotations

from typing import Any

import pytest
from world import World

from subscriptions.lifecycle import MAX_REASON

BASE = "/api/v1/platform"
CHANGE = f"{BASE}/tenants/acme/subscription/change-plan"
BODY = {"plan": "premium", "reason": "Asked for on the phone"}
READS = ["plans", "tenants", "tenants/acme/subscription", "platform-logs"]
STATE = """SELECT p.slug FROM shared.subscriptions_tenantsubscription s
  JOIN shared.subscriptions_plan p ON p.id = s.plan_id JOIN shared.tenants_tenant t ON t.id = s.tenant_id
 WHERE t.slug = %s"""


def plan_of(world: World, slug: str) -> str:
    return str(world.sql(STATE, slug)[0][0])


def changes(world: World) -> int:
    """Return how many changes of plan the platform log tells of."""
    statement = "SELECT count(*) FROM shared.platform_log WHERE action = 'subscription.plan_changed'"
    return int(world.sql(statement)[0][0])


def assert_problem(answer: Any, status: int, code: str = "") -> None:
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json"), answer.content
    problem = answer.json()
    assert {"type", "title", "status", "detail", "code"} <= problem.keys()
    assert problem["status"] == status
    assert problem["code"] == (code or problem["code"])


@pytest.mark.parametrize("name", ["sam", "sue", "bill"])
def test_all_staff_read_plans_tenants_subscriptions_and_the_platform_log(world: World, name: str) -> None:
    for path in READS:
        answer = world.api("platform", name).get(f"{BASE}/{path}")
        assert answer.status_code == 200, (name, answer.content)
        assert answer.json() == world.api("platform", name).get(f"{BASE}/{path}/").json()


@pytest.mark.parametrize(("name", "may"), [("sam", True), ("bill", True), ("sue", False)])
def test_billing_and_admins_change_a_subscription_and_support_does_not(world: World, name: str, may: bool) -> None:
    answer = world.api("platform", name).post(CHANGE, BODY)
    if may:
        assert answer.status_code == 200, answer.content
    else:
        assert_problem(answer, 403, "not_allowed")
    assert (plan_of(world, "acme"), changes(world)) == (("premium", 1) if may else ("free", 0))


@pytest.mark.parametrize("key", ["acme.admin", "acme.read", "acme.write", None])
def test_a_tenants_key_and_nobody_at_all_get_nothing_of_the_platform(world: World, key: str | None) -> None:
    entry = world.sql("SELECT id FROM shared.platform_log LIMIT 1")[0][0]
    api = world.api("platform", key)
    for answer in (*(api.get(f"{BASE}/{path}") for path in [*READS, f"platform-logs/{entry}"]), api.post(CHANGE, BODY)):
        assert_problem(answer, 404 if key else 401)
        assert "results" not in answer.json()
    assert (plan_of(world, "acme"), changes(world)) == ("free", 0)


def test_a_tenants_people_cannot_sign_in_on_the_platforms_host(world: World) -> None:
    api = world.api("platform")
    for name in ("olga", "alice", "bob", "mia"):
        assert api.sign_in(name).status_code == 200  # the form again
        for path in READS:
            assert_problem(api.get(f"{BASE}/{path}"), 401)
        assert_problem(api.post(CHANGE, BODY), 401)
    assert (plan_of(world, "acme"), changes(world)) == ("free", 0)


@pytest.mark.parametrize("name", ["olga", "mia"])
def test_the_platforms_paths_do_not_exist_on_a_tenants_host(world: World, name: str) -> None:
    signed_in, by_key = world.api("acme"), world.api("acme", "acme.admin")
    assert signed_in.sign_in(name).status_code == 302
    for api in (signed_in, by_key):
        for path in READS:
            assert_problem(api.get(f"{BASE}/{path}"), 404)
        assert_problem(api.post(CHANGE, BODY), 404)
    assert (plan_of(world, "acme"), changes(world)) == ("free", 0)


def test_a_staff_token_is_refused_on_a_tenants_host(world: World) -> None:
    for path in ("/api/v1/subscription", f"{BASE}/plans"):
        assert_problem(world.api("acme", "sam").get(path), 403)


def test_a_signed_in_member_of_staff_reads_by_session_and_writes_with_a_csrf_token_alone(world: World) -> None:
    from django.test import Client

    api = world.api("platform")
    api.client = Client(raise_request_exception=False, headers={"host": "localhost"}, enforce_csrf_checks=True)
    token = api.client.get("/accounts/login/").cookies["csrftoken"].value
    form = {"login": "bill@daybook.example", "password": "correct horse battery staple", "next": "/admin/"}
    assert api.client.post("/accounts/login/", {**form, "csrfmiddlewaretoken": token}).status_code == 302
    assert api.get(f"{BASE}/plans").status_code == 200
    assert_problem(api.post(CHANGE, BODY), 403)
    assert (plan_of(world, "acme"), changes(world)) == ("free", 0)
    token = api.client.cookies["csrftoken"].value
    assert api.post(CHANGE, BODY, **{"X-CSRFToken": token}).status_code == 200
    assert (plan_of(world, "acme"), changes(world)) == ("premium", 1)


def test_plans_are_listed_with_those_no_longer_sold(world: World) -> None:
    world.sql("UPDATE shared.subscriptions_plan SET is_active = false WHERE slug = 'premium'")
    plans = world.api("platform", "sue").get(f"{BASE}/plans").json()["results"]
    assert [(plan["slug"], plan["name"], plan["is_active"]) for plan in plans] == [
        ("free", "Free", True),
        ("premium", "Premium", False),
    ]


def test_tenants_are_listed_with_status_and_plan(world: World) -> None:
    world.sql("UPDATE shared.tenants_tenant SET status = 'suspended' WHERE slug = 'globex'")
    world.sql(
        "DELETE FROM shared.subscriptions_tenantsubscription USING shared.tenants_tenant t "
        "WHERE t.id = tenant_id AND t.slug = 'globex'"
    )
    page = world.api("platform", "sue").get(f"{BASE}/tenants").json()
    assert page["next_cursor"] is None
    assert [(one["slug"], one["name"], one["status"], one["plan"]) for one in page["results"]] == [
        ("acme", "Acme", "active", "free"),
        ("globex", "Globex", "suspended", None),
    ]
    assert page["results"][0]["id"] == str(world.acme.id)


def test_tenants_are_walked_page_by_page(world: World) -> None:
    api = world.api("platform", "sue")
    first = api.get(f"{BASE}/tenants", limit=1).json()
    second = api.get(f"{BASE}/tenants", limit=1, cursor=first["next_cursor"]).json()
    assert [one["slug"] for page in (first, second) for one in page["results"]] == ["acme", "globex"]
    assert second["next_cursor"] is None


def test_a_list_sends_a_bounded_number_of_queries(world: World) -> None:
    """However many tenants there are: one query for the page with their plans."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as sent:
        world.api("platform", "sue").get(f"{BASE}/tenants")
    assert len([one for one in sent.captured_queries if one["sql"].startswith('SELECT "')]) == 1


def test_a_bad_parameter_is_named(world: World) -> None:
    api = world.api("platform", "sam")
    for path, parameter in (
        ("tenants?limit=0", "limit"),
        ("tenants?limit=1001", "limit"),
        ("tenants?limit=%E0%A5%A7", "limit"),
        ("tenants?cursor=%00", "cursor"),
        ("tenants?name=acme", "name"),
        ("plans?limit=1", "limit"),
        ("tenants/acme/subscription?x=1", "x"),
        ("platform-logs?since=yesterday", "since"),
        ("platform-logs?tenant=initech", "tenant"),
        ("platform-logs?tenant=%00", "tenant"),
        ("platform-logs?tenant=acme&tenant=globex", "tenant"),
        ("platform-logs?cursor=made-up", "cursor"),
        ("platform-logs?nonsense=1", "nonsense"),
    ):
        answer = api.get(f"{BASE}/{path}")
        assert_problem(answer, 400, "bad_input")
        assert [fault["parameter"] for fault in answer.json()["errors"]] == [parameter]


def test_a_subscription_is_read_by_id_and_by_slug(world: World) -> None:
    api = world.api("platform", "bill")
    by_slug, by_id = (api.get(f"{BASE}/tenants/{name}/subscription") for name in ("acme", world.acme.id))
    assert by_slug.json() == by_id.json()
    assert by_slug.json()["tenant"] == {"id": str(world.acme.id), "slug": "acme"}
    assert by_slug.json()["plan"]["slug"] == "free"


def test_an_unknown_tenant_is_not_found(world: World) -> None:
    api = world.api("platform", "sam")
    for tenant in ("initech", "0197a4b2-0000-7000-8000-000000000000", "%00", "ACME'--"):
        assert_problem(api.get(f"{BASE}/tenants/{tenant}/subscription"), 404, "not_found")
        assert_problem(api.post(f"{BASE}/tenants/{tenant}/subscription/change-plan", BODY), 404, "not_found")
    assert changes(world) == 0


def test_a_change_answers_the_subscription_and_stands_in_both_trails(world: World) -> None:
    answer = world.api("platform", "bill").post(CHANGE, BODY)
    assert answer.status_code == 200
    assert answer.json()["plan"]["slug"] == "premium"
    told = world.api("platform", "sue").get(f"{BASE}/platform-logs", action="subscription.plan_changed").json()
    own = world.api("acme", "acme.read").get("/api/v1/audit-logs", action="subscription.plan_changed").json()
    for page in (told, own):
        (entry,) = page["results"]
        assert entry["changes"] == {"plan": {"old": "free", "new": "premium"}}
        assert entry["description"] == BODY["reason"]
        assert entry["actor"]["label"] == "bill@daybook.example"
        assert entry["actor"]["type"] == "staff"
        assert entry["tenant"] == {"id": str(world.acme.id), "slug": "acme"}
        assert entry["context"]["request_id"] == answer["X-Request-ID"]
        assert entry["context"]["source"] == "api"
    assert (
        world.api("globex", "globex.read")
        .get("/api/v1/audit-logs", action="subscription.plan_changed")
        .json()["results"]
        == []
    )


def test_a_change_that_breaks_a_rule_is_refused_with_its_place(world: World) -> None:
    api, before = world.api("platform", "bill"), world.entries("acme")
    faulty: list[tuple[Any, str, str]] = [
        ({"plan": "premium"}, "/reason", "required"),
        ({"plan": "premium", "reason": ""}, "/reason", "too_short"),
        ({"plan": "premium", "reason": "   "}, "/reason", "required"),
        ({"plan": "premium", "reason": "x" * (MAX_REASON + 1)}, "/reason", "too_long"),
        ({"plan": "premium", "reason": 7}, "/reason", "not_a_text"),
        ({"plan": "premium", "reason": "nul\x00"}, "/reason", "unstorable"),
        ({"reason": "why"}, "/plan", "required"),
        ({"plan": None, "reason": "why"}, "/plan", "not_a_text"),
        ({"plan": "gold", "reason": "why"}, "/plan", "unknown_plan"),
        ({**BODY, "price": 3}, "/price", "unknown_field"),
        ([BODY], "", "not_an_object"),
        (b'{"plan": "premium", "plan": "free", "reason": "why"}', "/plan", "duplicate_key"),
        (b"plan=premium", "", "not_json"),
    ]
    for body, pointer, code in faulty:
        answer = api.post(CHANGE, body)
        assert_problem(answer, 400, "bad_input")
        assert [(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]] == [(pointer, code)]
    assert (plan_of(world, "acme"), changes(world), world.entries("acme")) == ("free", 0, before)


def test_the_plan_it_is_on_and_one_no_longer_sold_are_conflicts(world: World) -> None:
    api, before = world.api("platform", "bill"), world.entries("acme")
    assert_problem(api.post(CHANGE, {**BODY, "plan": "free"}), 409, "conflict")
    world.sql("UPDATE shared.subscriptions_plan SET is_active = false WHERE slug = 'premium'")
    assert_problem(api.post(CHANGE, BODY), 409, "conflict")
    assert (plan_of(world, "acme"), changes(world), world.entries("acme")) == ("free", 0, before)


def test_a_method_that_is_not_offered_is_refused(world: World) -> None:
    for path in READS:
        assert_problem(world.api("platform", "sam").post(f"{BASE}/{path}", BODY), 405)
    assert_problem(world.api("platform", "sam").get(CHANGE), 405)
    assert (plan_of(world, "acme"), changes(world)) == ("free", 0)


@pytest.mark.parametrize("key", ["acme.admin", "acme.read"])
def test_a_tenant_reads_its_own_subscription_with_a_key_on_any_host(world: World, key: str) -> None:
    world.api("platform", "bill").post(CHANGE, BODY)
    for host, path in (("acme", "/api/v1/subscription"), ("platform", "/api/v1/subscription/")):
        answer = world.api(host, key).get(path)
        assert answer.status_code == 200, answer.content
        assert (answer.json()["tenant"]["slug"], answer.json()["plan"]["slug"]) == ("acme", "premium")
    other = world.api("globex", "globex.read").get("/api/v1/subscription").json()
    assert (other["tenant"]["slug"], other["plan"]["slug"]) == ("globex", "free")


def test_all_but_members_read_their_tenants_subscription(world: World) -> None:
    for name, status in (("olga", 200), ("alice", 200), ("bob", 200), ("mia", 403)):
        api = world.api("acme")
        api.sign_in(name)
        assert api.get("/api/v1/subscription").status_code == status, name


def test_a_key_that_only_writes_events_reads_no_subscription(world: World) -> None:
    assert_problem(world.api("acme", "acme.write").get("/api/v1/subscription"), 403, "not_allowed")
    assert_problem(world.api("acme").get("/api/v1/subscription"), 401, "not_signed_in")


def test_a_tenants_subscription_is_read_only(world: World) -> None:
    api = world.api("acme", "acme.admin")
    for method in ("post", "put", "patch", "delete"):
        send = getattr(api.client, method)
        answer = send("/api/v1/subscription", BODY, content_type="application/json", headers=api.headers)
        assert_problem(answer, 405)
    assert (plan_of(world, "acme"), changes(world)) == ("free", 0)


def test_staff_have_no_subscription_of_their_own(world: World) -> None:
    assert_problem(world.api("platform", "sam").get("/api/v1/subscription"), 403)
