"""Reading over HTTP: pages, one entry, a resource's history, an actor's activity, and who sees what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from trails import ACTORS, TYPES, fill, generated, oracle, stored
from world import World

from audit.models import AuditLog
from audit.query import Filter, literally

LOGS = "/api/v1/audit-logs"
METACHARACTERS = [
    "' OR '1'='1",
    "'; DROP TABLE audit_log; --",
    '" OR ""="',
    "%",
    "_",
    "\\",
    "%s",
    "$1",
    "é𝄞\u202e",
    "*",
    "-",
]


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [entry["id"] for entry in answer.json()["results"]]


def faults(answer: Any) -> dict[str, str]:
    assert answer["Content-Type"] == "application/problem+json", answer.content
    return {fault["parameter"]: fault["code"] for fault in answer.json()["errors"]}


def follow(api: Any, url: str) -> Any:
    """GET a link as it was given."""
    parts = urlsplit(url)
    assert parts.netloc == api.host
    return api.client.get(f"{parts.path}?{parts.query}", headers=api.headers)


def test_a_page_is_newest_first_with_the_default_limit(world: World) -> None:
    entries = fill(world, generated(130))
    body = world.api(key="acme.read").get(LOGS).json()
    assert [entry["id"] for entry in body["results"]] == [str(entry["id"]) for entry in entries[:100]]
    assert set(body) == {"results", "next", "previous", "next_cursor", "oldest_kept", "cold"}
    assert (body["previous"], body["oldest_kept"], body["cold"]) == (None, None, False)


def test_filters_in_parameters_mean_what_they_say(world: World) -> None:
    entries, api = fill(world, generated(200)), world.api(key="acme.read")
    moment = entries[100]["created_at"]
    wanted = Filter(action=("invoice.*", "-invoice.sent"), actor=("u-1",), since=moment)
    expected = [str(entry["id"]) for entry in entries if oracle(entry, wanted)]
    assert expected
    found = api.get(LOGS, action=["invoice.*", "-invoice.sent"], actor="u-1", since=moment.isoformat())
    assert ids(found) == expected
    for spelled in (moment.isoformat().replace("+00:00", "Z"), moment.astimezone().isoformat()):
        assert ids(api.get(LOGS, since=spelled, limit=1000)) == ids(api.get(LOGS, since=moment.isoformat(), limit=1000))
    unescaped = api.client.get(f"{LOGS}?since={moment.isoformat()}&limit=1000", headers=api.headers)
    assert len(ids(unescaped)) == len([entry for entry in entries if entry["created_at"] >= moment])


def test_links_lead_forth_and_back_and_keep_the_filter(world: World) -> None:
    entries, api = fill(world, generated(60)), world.api(key="acme.read")
    expected = [str(entry["id"]) for entry in entries if entry["actor_id"] == "u-1"]
    pages, answer = [], api.get(LOGS, actor="u-1", limit=4)
    while True:
        pages.append(ids(answer))
        if answer.json()["next"] is None:
            break
        answer = follow(api, answer.json()["next"])
    assert [key for page in pages for key in page] == expected
    assert len(pages) > 2
    back = [pages[-1]]
    while answer.json()["previous"] is not None:
        answer = follow(api, answer.json()["previous"])
        back.insert(0, ids(answer))
    assert back == pages


def test_the_last_pages_cursor_is_a_place_to_resume(world: World) -> None:
    fill(world, generated(5))
    api = world.api(key="acme.read")
    body = api.get(LOGS, limit=1000).json()
    assert body["next"] is None
    again = api.get(LOGS, cursor=body["next_cursor"]).json()
    assert (again["results"], again["next"]) == ([], None)
    assert ids(follow(api, again["previous"])) == [entry["id"] for entry in body["results"][:100]]


def test_a_poller_goes_on_from_its_cursor_and_may_start_from_now(world: World) -> None:
    fill(world, generated(5))
    api = world.api(key="acme.read")
    start = api.get(LOGS, order="asc", cursor="end").json()
    assert start["results"] == []
    sent = [world.api(key="acme.write").post(LOGS, {"action": "a", "resource": {"type": "t"}}).json() for _ in range(3)]
    cursor, seen = start["next_cursor"], list[Any]()
    assert [entry["position"] for entry in sent] == [None, None, None]
    assert api.get(LOGS, order="asc", cursor=cursor).json()["results"] == []
    world.sequence()
    while len(seen) < 3:
        body = api.get(LOGS, order="asc", cursor=cursor, limit=2).json()
        seen, cursor = seen + body["results"], body["next_cursor"]
    positions = [entry.pop("position") for entry in seen]
    assert positions == [*range(positions[0], positions[0] + 3)]
    assert seen == [{name: value for name, value in entry.items() if name != "position"} for entry in sent]
    assert api.get(LOGS, order="asc", cursor=cursor).json()["results"] == []


BAD_PARAMETERS: list[tuple[dict[str, Any], str]] = [
    ({"colour": "red"}, "colour"),
    ({"Action": "a"}, "Action"),
    ({"'; DROP TABLE audit_log; --": "1"}, "'; DROP TABLE audit_log; --"),
    ({"action": ""}, "action"),
    ({"action": "-"}, "action"),
    ({"action": "a" * 102}, "action"),
    ({"action": ["a"] * 101}, "action"),
    ({"actor": "a" * 256}, "actor"),
    ({"actor": ["a"] * 101}, "actor"),
    ({"actor": "*"}, "actor"),
    ({"action": "-*"}, "action"),
    ({"actor_type": "robot"}, "actor_type"),
    ({"operation": "-"}, "operation"),
    ({"source": "smoke*"}, "source"),
    ({"ip": "10.0.0.256"}, "ip"),
    ({"ip": "10.0.0.0/33"}, "ip"),
    ({"ip": "fe80::1%eth0"}, "ip"),
    ({"ip": "10.0.0.1:80"}, "ip"),
    ({"request_id": ""}, "request_id"),
    ({"transaction": "x"}, "transaction"),
    ({"q": ""}, "q"),
    ({"q": "-invoice"}, "q"),
    ({"q": "!? ..."}, "q"),
    ({"q": "a" * 501}, "q"),
    ({"filter": ""}, "filter"),
    ({"filter": "colour:red"}, "filter"),
    ({"filter": "action:"}, "filter"),
    ({"filter": 'action:"open'}, "filter"),
    ({"filter": "limit:3"}, "filter"),
    ({"filter": "outcome:fine"}, "outcome"),
    ({"filter": "since:2026-11-22T10:00:00Z", "since": "2026-11-22T10:00:00Z"}, "since"),
    ({"fields": "id,colour"}, "fields"),
    ({"fields": ""}, "fields"),
    ({"actor": "a\x00"}, "actor"),
    ({"resource_type": ""}, "resource_type"),
    ({"resource_type": "t" * 101}, "resource_type"),
    ({"resource_id": "\x00"}, "resource_id"),
    ({"outcome": "fine"}, "outcome"),
    ({"outcome": "Success"}, "outcome"),
    ({"since": "yesterday"}, "since"),
    ({"since": "2026-11-22"}, "since"),
    ({"since": "2026-11-22T10:00:00"}, "since"),
    ({"since": "2026-13-01T00:00:00Z"}, "since"),
    ({"since": "0001-01-01T00:00:00Z"}, "since"),
    ({"until": "9999-12-31T23:59:59.999999Z"}, "until"),
    ({"until": "9999-12-31T23:59:59-14:00"}, "until"),
    ({"until": "1764000000"}, "until"),
    ({"until": "²026-11-22T10:00:00Z"}, "until"),
    ({"limit": "0"}, "limit"),
    ({"limit": "1001"}, "limit"),
    ({"limit": "-1"}, "limit"),
    ({"limit": "1.5"}, "limit"),
    ({"limit": "٣"}, "limit"),
    ({"limit": "9" * 5000}, "limit"),
    ({"limit": ""}, "limit"),
    ({"limit": ["1", "2"]}, "limit"),
    ({"order": "up"}, "order"),
    ({"order": ["asc", "asc"]}, "order"),
    ({"cursor": ""}, "cursor"),
    ({"cursor": "x"}, "cursor"),
    ({"cursor": "end"}, "cursor"),
    ({"cursor": "a" * 501}, "cursor"),
    ({"cursor": "\x00", "order": "asc"}, "cursor"),
    ({"days": "7"}, "days"),
    ({"page": "2"}, "page"),
]


def test_every_bad_parameter_is_refused_by_its_name(world: World) -> None:
    fill(world, generated(3))
    api = world.api(key="acme.read")
    for parameters, name in BAD_PARAMETERS:
        answer = api.get(LOGS, **parameters)
        assert (answer.status_code, list(faults(answer))) == (400, [name]), (parameters, answer.content)


def test_all_bad_parameters_are_named_at_once(world: World) -> None:
    answer = world.api(key="acme.read").get(LOGS, colour="red", limit="0", since="x")
    assert faults(answer) == {"colour": "unknown_parameter", "limit": "bad_value", "since": "bad_value"}


@pytest.mark.parametrize("text", METACHARACTERS)
def test_sql_means_nothing_in_any_parameter_or_path(world: World, text: str) -> None:
    fill(world, generated(20))
    before, api = stored(world), world.api(key="acme.read")
    for name in ("action", "actor", "resource_type", "resource_id"):
        assert ids(api.get(LOGS, **{name: literally(text)})) == [], name
        assert api.get(LOGS, **{name: text}).status_code in {200, 400}, name
    assert ids(api.get(LOGS, q=f"nowhere {text}")) == []
    for name in ("outcome", "since", "until", "limit", "order", "cursor", "ip", "operation", "source", "fields"):
        assert api.get(LOGS, **{name: text}).status_code == 400, name
    assert ids(api.get(f"/api/v1/resources/{quote(text)}/{quote(text)}/history")) == []
    assert ids(api.get(f"/api/v1/actors/{quote(text)}/activity")) == []
    assert api.get(f"{LOGS}/{quote(text)}").status_code == 404
    assert stored(world) == before


def test_what_is_written_with_metacharacters_is_found_by_them(world: World) -> None:
    sender, api = world.api(key="acme.write"), world.api(key="acme.read")
    for text in METACHARACTERS:
        event = {"action": f"x{text}", "resource": {"type": text, "id": text}, "actor": {"type": "user", "id": text}}
        entry = sender.post(LOGS, event).json()
        for name, value in (("action", f"x{text}"), ("actor", text), ("resource_type", text), ("resource_id", text)):
            parameters = {name: literally(value)}
            assert ids(api.get(LOGS, **parameters)) == [entry["id"]], parameters
        assert ids(api.get(f"/api/v1/resources/{quote(text, safe='')}/{quote(text, safe='')}/history")) == [entry["id"]]
        assert ids(api.get(f"/api/v1/actors/{quote(text, safe='')}/activity")) == [entry["id"]]


@pytest.mark.parametrize("change", [{"actor": "u-2"}, {"order": "asc"}, {"until": "2099-01-01T00:00:00Z"}])
def test_a_cursor_of_another_list_is_refused(world: World, change: dict[str, str]) -> None:
    fill(world, generated(20))
    api = world.api(key="acme.read")
    cursor = api.get(LOGS, limit=2, actor="u-1").json()["next_cursor"]
    assert api.get(LOGS, limit=3, actor="u-1", cursor=cursor).status_code == 200
    answer = api.get(LOGS, **{"limit": 2, "actor": "u-1", **change, "cursor": cursor})
    assert (answer.status_code, faults(answer)) == (400, {"cursor": "bad_cursor"})


def test_a_cursor_of_another_tenant_or_altered_is_refused(world: World) -> None:
    fill(world, generated(20))
    cursor = world.api(key="acme.read").get(LOGS, limit=2).json()["next_cursor"]
    foreign = world.api("globex", "globex.read").get(LOGS, cursor=cursor)
    assert (foreign.status_code, faults(foreign)) == (400, {"cursor": "bad_cursor"})
    key, _, rest = cursor.partition(".")
    altered = world.api(key="acme.read").get(LOGS, cursor=f"{key[:-1]}{'1' if key[-1] == '0' else '0'}.{rest}")
    assert (altered.status_code, faults(altered)) == (400, {"cursor": "bad_cursor"})


def test_a_members_cursor_is_no_use_to_an_auditor(world: World) -> None:
    with world.scope("acme", "mia"):
        AuditLog.log_action(None, "created", "note", "1")
    mia, bob = world.api(), world.api()
    mia.sign_in("mia")
    bob.sign_in("bob")
    cursor = mia.get(LOGS).json()["next_cursor"]
    assert mia.get(LOGS, cursor=cursor).status_code == 200
    assert bob.get(LOGS, cursor=cursor).status_code == 400


@pytest.mark.parametrize("slash", ["", "/"])
def test_every_path_answers_with_and_without_a_slash(world: World, slash: str) -> None:
    entry, api = fill(world, generated(20))[0], world.api(key="acme.read")
    for path in (
        LOGS,
        f"{LOGS}/{entry['id']}",
        f"/api/v1/resources/{TYPES[0]}/7/history",
        f"/api/v1/actors/{ACTORS[0]}/activity",
    ):
        assert api.get(path + slash).status_code == 200, path


def test_one_entry_is_found_by_its_id_in_any_spelling(world: World) -> None:
    entry, api = fill(world, generated(2))[0], world.api(key="acme.read")
    for spelling in (str(entry["id"]), str(entry["id"]).upper(), entry["id"].hex):
        assert api.get(f"{LOGS}/{spelling}").json()["id"] == str(entry["id"])


@pytest.mark.parametrize("key", ["01900000-0000-7000-8000-000000000000", "0", "x", "null", "1e5", "..", "a" * 300])
def test_an_id_that_is_not_there_is_404(world: World, key: str) -> None:
    answer = world.api(key="acme.read").get(f"{LOGS}/{key}")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")


def test_an_entry_of_another_tenant_is_404(world: World) -> None:
    entry = fill(world, generated(1))[0]
    assert world.api("globex", "globex.admin").get(f"{LOGS}/{entry['id']}").status_code == 404
    assert world.api("platform", "acme.read").get(f"{LOGS}/{entry['id']}").status_code == 200


def test_history_is_of_one_resource_whose_id_may_hold_slashes(world: World) -> None:
    entries, api = fill(world, generated(200)), world.api(key="acme.read")
    for resource_id in ("7", "x/y", "b:c", "", "4f7f1e0a7e654d589d0b1b1b5d9d3c11"):
        wanted = Filter(resource_type=("invoice",), resource_id=(resource_id,))
        expected = [str(entry["id"]) for entry in entries if oracle(entry, wanted)]
        assert expected
        for spelled in {quote(resource_id), quote(resource_id, safe="")}:
            assert ids(api.get(f"/api/v1/resources/invoice/{spelled}/history")) == expected
    body = api.get("/api/v1/resources/invoice/x%2Fy/history", limit=2).json()
    following = follow(api, body["next"])
    assert len(ids(following)) == 2
    assert not set(ids(following)) & {entry["id"] for entry in body["results"]}


def test_history_takes_the_other_filters_and_refuses_its_own(world: World) -> None:
    entries, api = fill(world, generated(100)), world.api(key="acme.read")
    wanted = Filter(resource_type=("invoice",), resource_id=("7",), actor=("u-1",))
    found = api.get("/api/v1/resources/invoice/7/history", actor="u-1")
    assert ids(found) == [str(entry["id"]) for entry in entries if oracle(entry, wanted)]
    refused = api.get("/api/v1/resources/invoice/7/history", resource_id="8")
    assert (refused.status_code, faults(refused)) == (400, {"resource_id": "unknown_parameter"})


def test_a_path_that_no_entry_can_have_names_its_part(world: World) -> None:
    api = world.api(key="acme.read")
    assert faults(api.get(f"/api/v1/resources/t/{'x' * 256}/history")) == {"resource_id": "bad_value"}
    assert faults(api.get("/api/v1/resources/t%00/x/history")) == {"resource_type": "bad_value"}
    assert faults(api.get("/api/v1/actors/%00/activity")) == {"actor": "bad_value"}


def test_activity_is_of_one_actor_and_the_last_days(world: World) -> None:
    entries, api = fill(world, generated(100)), world.api(key="acme.read")
    expected = [str(entry["id"]) for entry in entries if entry["actor_id"] == "o'hara"]
    assert expected
    for parameters in ({}, {"days": 1}, {"days": 3650}):
        assert ids(api.get("/api/v1/actors/o%27hara/activity", **parameters)) == expected
    for days in ("0", "3651", "x", "-1", "1.0"):
        assert faults(api.get("/api/v1/actors/o%27hara/activity", days=days)) == {"days": "bad_value"}


def test_activity_ends_at_its_first_day(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    entries, api = fill(world, generated(20)), world.api(key="acme.read")
    newest = entries[0]["created_at"]
    for later, number in ((timedelta(days=29), 1), (timedelta(days=31), 0)):
        monkeypatch.setattr("audit.history.timezone.now", lambda later=later: newest + later)
        assert bool(ids(api.get(f"/api/v1/actors/{entries[0]['actor_id']}/activity"))) == bool(number)


def test_a_member_sees_his_own_actions_alone(world: World) -> None:
    mia = world.api()
    mia.sign_in("mia")
    with world.scope("acme"):
        own = [str(entry.id) for entry in AuditLog.objects.of_action("user.signed_in")]
    for name in ("mia", "alice", "mia"):
        with world.scope("acme", name):
            entry = AuditLog.log_action(None, "created", "note", "1")
        own += [str(entry.id)] if name == "mia" else []
        foreign = str(entry.id) if name == "alice" else ""
        if foreign:
            alices = foreign
    people = {name: str(world.person(name).pk) for name in ("mia", "alice")}
    expected = sorted(own, reverse=True)
    for path in (LOGS, f"/api/v1/actors/{people['mia']}/activity"):
        assert ids(mia.get(path)) == expected, path
    assert ids(mia.get("/api/v1/resources/note/1/history")) == expected[:2]
    assert ids(mia.get(f"/api/v1/actors/{people['alice']}/activity")) == []
    assert ids(mia.get(LOGS, actor=people["alice"])) == []
    assert mia.get(f"{LOGS}/{alices}").status_code == 404
    assert mia.get(f"{LOGS}/{own[1]}").status_code == 200
    bob = world.api()
    bob.sign_in("bob")
    assert alices in ids(bob.get(LOGS))


@pytest.mark.parametrize(("key", "status"), [("acme.write", 403), (None, 401), ("sam", 403)])
def test_who_may_not_read_reads_nothing(world: World, key: str | None, status: int) -> None:
    entry = fill(world, generated(1))[0]
    api = world.api("platform" if key == "sam" else "acme", key)
    for path in (LOGS, f"{LOGS}/{entry['id']}", "/api/v1/resources/t/1/history", "/api/v1/actors/a/activity"):
        answer = api.get(path)
        assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")


def test_a_page_asks_the_database_for_no_count_and_once_for_the_entries(world: World) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    fill(world, generated(150))
    with CaptureQueriesContext(connection) as queries:
        assert len(ids(world.api(key="acme.read").get(LOGS))) == 100
    sql = [query["sql"] for query in queries if "audit_log" in query["sql"]]
    assert len(sql) == 2
    assert "audit_log_position" in sql[1]
    assert "COUNT" not in "".join(sql).upper()


def test_times_have_six_digits_and_say_utc(world: World) -> None:
    event = {"action": "a", "resource": {"type": "t"}, "occurred_at": "2026-11-22T10:00:00+00:00"}
    entry = world.api(key="acme.admin").post(LOGS, event).json()
    assert entry["occurred_at"] == "2026-11-22T10:00:00.000000Z"
    assert datetime.fromisoformat(entry["created_at"]).tzinfo == UTC
    assert entry["created_at"].endswith("Z")
    assert len(entry["created_at"]) == 27
