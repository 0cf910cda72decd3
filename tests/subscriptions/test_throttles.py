"""How many requests are let through: over HTTP, among threads and processes, and with bad keys."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from time import time
from typing import Any
from uuid import UUID, uuid4

import pytest
from world import World

from subscriptions import throttles
from subscriptions.throttles import BAD_KEYS_PER_MINUTE, Counter
from tenants.errors import RateLimited

EVENT = {"action": "note.created", "resource": {"type": "note", "id": "1"}}
PATH = "/api/v1/audit-logs"


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still in the middle of a minute until a test moves it."""
    moment = [time() // 60 * 60 + 15.0]
    monkeypatch.setattr("subscriptions.throttles.time", lambda: moment[0])
    return moment


def allow(world: World, tenant: int | None, one: int | None) -> None:
    """Say what the plan of both companies allows."""
    world.sql(
        "UPDATE shared.subscriptions_plan SET requests_per_minute = %s, requests_per_minute_of_one = %s", tenant, one
    )


def told(answer: Any, field: str = "RateLimit") -> dict[str, dict[str, int]]:
    """Return what a field of an answer says, by policy."""
    found = {}
    for item in answer[field].split(", "):
        name, *parameters = item.split(";")
        assert re.fullmatch(r'"[a-z]+"', name)
        found[name.strip('"')] = {key: int(value) for key, value in (one.split("=") for one in parameters)}
    return found


# --- over HTTP


def test_each_answer_says_what_is_allowed_and_what_is_left(world: World) -> None:
    allow(world, 10, 5)
    answer = world.api(key="acme.read").get(PATH)
    assert answer.status_code == 200
    assert told(answer, "RateLimit-Policy") == {"caller": {"q": 5, "w": 60}, "tenant": {"q": 10, "w": 60}}
    assert told(answer) == {"caller": {"r": 4, "t": 45}, "tenant": {"r": 9, "t": 45}}
    refused = world.api(key="acme.read").post(PATH, EVENT)
    assert (refused.status_code, told(refused)["caller"]["r"]) == (403, 3)
    missing = world.api(key="acme.read").get("/api/v1/nowhere")
    assert (missing.status_code, told(missing)["caller"]["r"]) == (404, 2)


def test_who_asks_too_often_is_told_when_to_come_back_and_nothing_is_done(world: World, now: list[float]) -> None:
    allow(world, 10, 3)
    writer = world.api(key="acme.write")
    assert [writer.post(PATH, EVENT).status_code for _ in range(3)] == [201] * 3
    before = world.entries("acme")
    for _ in range(3):
        answer = writer.post(PATH, EVENT)
        assert (answer.status_code, answer["Content-Type"]) == (429, "application/problem+json")
        assert answer.json()["code"] == "rate_limited"
        assert "3 requests a minute" in answer.json()["detail"]
        assert answer["Retry-After"] == "45"
        assert told(answer)["caller"] == {"r": 0, "t": 45}
    assert world.entries("acme") == before
    # Another key of the tenant has its own, the next minute brings new ones.
    assert world.api(key="acme.read").get(PATH).status_code == 200
    now[0] += 44
    assert writer.post(PATH, EVENT)["Retry-After"] == "1"
    now[0] += 1
    assert writer.post(PATH, EVENT).status_code == 201


def test_the_keys_of_a_tenant_share_what_the_tenant_may(world: World) -> None:
    allow(world, 4, 3)
    statuses = [world.api(key=f"acme.{word}").get("/api/v1/subscription").status_code for word in ("read", "admin") * 3]
    assert statuses == [200, 200, 200, 200, 429, 429]
    assert "of this tenant" in world.api(key="acme.admin").get(PATH).json()["detail"]
    assert world.api("globex", "globex.read").get(PATH).status_code == 200


def test_a_person_is_counted_as_a_key_is_and_pages_for_people_are_not(world: World) -> None:
    allow(world, 100, 2)
    alice = world.api("acme")
    alice.sign_in("alice")
    assert [alice.get(PATH).status_code for _ in range(3)] == [200, 200, 429]
    page = alice.client.get("/admin/audit/auditlog/")
    assert page.status_code == 200
    assert "RateLimit" not in page


def test_what_is_refused_for_want_of_rights_counts_as_well(world: World) -> None:
    """Each such refusal is an entry of the trail: nobody fills it without end."""
    allow(world, 100, 3)
    reader = world.api(key="acme.read")
    before = world.entries("acme")
    assert [reader.post(PATH, EVENT).status_code for _ in range(5)] == [403, 403, 403, 429, 429]
    assert world.entries("acme") == before + 3


def test_a_plan_without_rates_limits_nothing_and_says_nothing(world: World) -> None:
    allow(world, None, None)
    answers = [world.api(key="acme.read").get(PATH) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert all("RateLimit" not in answer and "RateLimit-Policy" not in answer for answer in answers)


def test_staff_and_tenants_without_a_plan_have_the_usual_rates(world: World) -> None:
    staff = world.api("platform", "sam").get("/api/v1/platform/plans")
    assert told(staff, "RateLimit-Policy") == {"caller": {"q": 30_000, "w": 60}}
    world.sql("DELETE FROM shared.subscriptions_tenantsubscription")
    tenant = world.api(key="acme.read").get(PATH)
    assert told(tenant, "RateLimit-Policy") == {"caller": {"q": 30_000, "w": 60}, "tenant": {"q": 60_000, "w": 60}}


def test_who_is_not_known_is_not_counted(world: World) -> None:
    assert "RateLimit" not in world.api().get(PATH)
    assert world.sql("SELECT count(*) FROM shared.request_count") == [(0,)]


def test_staff_see_the_rates_of_a_plan(world: World) -> None:
    allow(world, None, 7)
    plan = world.api("platform", "sam").get("/api/v1/platform/plans").json()["results"][0]
    assert (plan["requests_per_minute"], plan["requests_per_minute_of_one"]) == (None, 7)


RATES = "/api/v1/platform/plans/free/change-rates"
LOWER = {"requests_per_minute": 5, "requests_per_minute_of_one": 2, "reason": "They asked for less."}


def test_an_admin_of_the_staff_changes_what_a_plan_allows_and_it_holds_by_the_next_minute(
    world: World, now: list[float]
) -> None:
    reader = world.api(key="acme.read")
    assert reader.get(PATH).status_code == 200
    answer = world.api("platform", "sam").post(RATES, LOWER)
    assert (answer.status_code, answer.json()["requests_per_minute_of_one"]) == (200, 2)
    now[0] += 60
    assert [reader.get(PATH).status_code for _ in range(3)] == [200, 200, 429]
    log = world.api("platform", "sam").get("/api/v1/platform/platform-logs", action="plan.rates_changed").json()
    assert [(one["description"], one["changes"]["requests_per_minute"]) for one in log["results"]] == [
        ("They asked for less.", {"old": 60_000, "new": 5})
    ]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({**LOWER, "requests_per_minute": 0}, 400),
        ({**LOWER, "requests_per_minute_of_one": -1}, 400),
        ({**LOWER, "requests_per_minute": 2**40}, 400),
        ({**LOWER, "requests_per_minute": "5"}, 400),
        ({**LOWER, "requests_per_minute": True}, 400),
        ({**LOWER, "reason": " "}, 400),
        ({**LOWER, "events": 1}, 400),
        ({"reason": "x"}, 400),
        ({"requests_per_minute": 60_000, "requests_per_minute_of_one": 30_000, "reason": "x"}, 409),
    ],
)
def test_bad_rates_change_nothing(world: World, body: Any, status: int) -> None:
    tables = ("shared.subscriptions_plan", "shared.platform_log")
    before = [world.sql(f"SELECT t::text FROM {table} AS t ORDER BY 1") for table in tables]
    assert world.api("platform", "sam").post(RATES, body).status_code == status
    assert [world.sql(f"SELECT t::text FROM {table} AS t ORDER BY 1") for table in tables] == before


@pytest.mark.parametrize("plan", ["gold", "%00", "acme"])
def test_the_rates_of_no_plan_are_not_found(world: World, plan: str) -> None:
    path = f"/api/v1/platform/plans/{plan}/change-rates"
    assert world.api("platform", "sam").post(path, LOWER).status_code == 404


# --- among processes: each has a counter of its own


def let_through(counters: list[Counter], tenant: UUID, callers: list[UUID], tries: int, now: float) -> int:
    """Ask by turns in each process; return how many requests were let through."""
    done = 0
    for number in range(tries):
        try:
            counters[number % len(counters)].spend(tenant, callers[number % len(callers)], now)
            done += 1
        except RateLimited:
            pass
    return done


@pytest.mark.parametrize("processes", [1, 2, 8])
def test_processes_let_through_together_what_one_would(world: World, now: list[float], processes: int) -> None:
    allow(world, 1000, 400)
    counters, tenant, caller = [Counter() for _ in range(processes)], world.acme.id, uuid4()
    assert 400 <= let_through(counters, tenant, [caller], 800, now[0]) <= 400 + processes
    others = [uuid4() for _ in range(5)]
    assert let_through(counters, tenant, others, 2000, now[0]) <= 600 + 2 * processes


def test_processes_tell_each_other_seldom_while_much_is_left(
    world: World, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    told_times, own = list[int](), Counter._tell

    def tell(counter: Counter, *said: Any) -> None:
        told_times.append(1)
        own(counter, *said)

    monkeypatch.setattr(Counter, "_tell", tell)
    assert let_through([Counter()], world.acme.id, [uuid4()], 10_000, now[0]) == 10_000
    assert len(told_times) < 20


def test_a_process_that_was_silent_tells_what_it_has_let_through(world: World, now: list[float]) -> None:
    first, second, caller = Counter(), Counter(), uuid4()
    let_through([first], world.acme.id, [caller], 30, now[0])
    let_through([first], world.acme.id, [caller], 1, now[0] + 6)
    assert second.spend(world.acme.id, caller, now[0] + 6)[0].known == 32


def test_threads_of_one_process_are_counted_once_each(world: World, now: list[float]) -> None:
    allow(world, 10_000, 300)
    counter, tenant, caller = Counter(), world.acme.id, uuid4()
    with ThreadPoolExecutor(8) as pool:
        done = sum(pool.map(lambda _: let_through([counter], tenant, [caller], 100, now[0]), range(8)))
    assert done == 300


def test_a_process_whose_clock_is_a_minute_behind_takes_nothing_back(world: World, now: list[float]) -> None:
    allow(world, 10, 10)
    ahead, behind, caller = Counter(), Counter(), uuid4()
    assert let_through([ahead], world.acme.id, [caller], 8, now[0] + 60) == 8
    behind.spend(world.acme.id, caller, now[0])
    assert let_through([Counter()], world.acme.id, [caller], 5, now[0] + 60) == 2


def test_an_answer_that_comes_late_says_nothing_of_the_new_minute(now: list[float]) -> None:
    count = throttles.Count("caller")
    count.begin(2)
    count.told(1, 100, 100, now[0])
    assert (count.known, count.allowed) == (0, None)


def test_what_a_process_keeps_is_bounded(world: World, now: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttles, "_MOST", 5)
    counter = Counter()
    for _ in range(20):
        counter.spend(world.acme.id, uuid4(), now[0])
    assert len(counter.counts) <= 6


def test_no_role_but_the_gates_function_touches_the_counts(world: World) -> None:
    from django.db import DatabaseError, connections

    scopes = [world.scope("acme"), world.platform("sam")]
    for opened in scopes:
        with pytest.raises(DatabaseError, match="permission denied"), opened as scope:  # noqa: PT012
            cursor = connections[scope.alias].cursor()
            cursor.execute("SELECT * FROM shared.request_count")


# --- bad keys


def test_who_sends_too_many_bad_keys_is_refused_before_the_database_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch, now: list[float]
) -> None:
    api = world.api()
    statuses = [
        api.client.get(PATH, headers={"authorization": f"Bearer dbk_{number}"}).status_code
        for number in range(BAD_KEYS_PER_MINUTE)
    ]
    assert set(statuses) == {401}
    monkeypatch.setattr("tenants.gate.key", lambda _secret: pytest.fail("The database was asked."))
    answer = api.client.get(PATH, headers={"authorization": "Bearer dbk_another"})
    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (429, "rate_limited", "45")
    monkeypatch.undo()
    monkeypatch.setattr("subscriptions.throttles.time", lambda: now[0] + 60)
    assert api.client.get(PATH, headers={"authorization": "Bearer dbk_another"}).status_code == 401


def test_a_key_that_was_good_is_let_through_whoever_else_sits_behind_the_address(world: World) -> None:
    assert world.api(key="acme.read").get(PATH).status_code == 200
    for number in range(BAD_KEYS_PER_MINUTE + 1):
        world.api().client.get(PATH, headers={"authorization": f"Bearer dbk_{number}"})
    assert world.api(key="acme.read").get(PATH).status_code == 200
    # A good one that was not seen is another one to guess.
    assert world.api(key="acme.admin").get(PATH).status_code == 429
    assert world.api().get(PATH).status_code == 401


def test_a_key_that_was_revoked_is_good_no_longer(world: World) -> None:
    reader = world.api(key="acme.read")
    assert reader.get(PATH).status_code == 200
    world.sql("UPDATE shared.tenants_apikey SET revoked_at = now() WHERE name = 'acme read'")
    assert reader.get(PATH).status_code == 401
    assert throttles._good == {}


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        (None, ""),
    ],
)
def test_an_address_of_ipv6_stands_for_its_network(address: str | None, site: str) -> None:
    assert throttles._site(address) == site


def test_what_is_seen_of_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttles, "_MOST", 3)
    for number in range(10):
        throttles._remember_good(bytes([number]), 1)
        throttles._remember_bad(str(number), 1)
    assert len(throttles._good) <= 3
    assert len(throttles._bad) <= 3
