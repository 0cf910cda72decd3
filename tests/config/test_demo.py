"""`make run`: from nothing to two companies with a history, used again by the next run, and stopped whole."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from servers import ROOT, Demo, free_port
from world import World

from config.demo import company, play, story

PEOPLE = {"acme": {"alice": "1", "bob": "2"}, "globex": {"charlie": "3"}}
NOW = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
# The story is another one on each day of the week.
WEEK = [NOW + timedelta(days=number) for number in range(7)]
on_each_day = pytest.mark.parametrize("now", WEEK, ids=lambda now: f"{now:%A}")


# --- the story


def test_the_story_is_the_same_each_time_it_is_told() -> None:
    assert story.week("acme", PEOPLE["acme"], 0, NOW) == story.week("acme", PEOPLE["acme"], 0, NOW)
    assert story.week("acme", PEOPLE["acme"], 0, NOW) != story.week("acme", PEOPLE["acme"], 1, NOW)


def told(slug: str, people: Mapping[str, str], now: datetime) -> list[story.Event]:
    """Return the whole story of a company."""
    return [event for number in range(story.WEEKS) for event in story.week(slug, people, number, now)]


@on_each_day
def test_the_weeks_follow_each_other_up_to_now(now: datetime) -> None:
    times = [str(event["occurred_at"]) for event in told("acme", PEOPLE["acme"], now)]
    assert times == sorted(times)
    assert times[0] >= (now - timedelta(days=29)).isoformat()
    assert times[-1] == f"{now:%Y-%m-%d}T06:00:00.000000Z"


def test_weekends_are_quiet_whatever_day_it_is_told() -> None:
    for now in WEEK:
        days = Counter(
            datetime.fromisoformat(str(event["occurred_at"])).date() for event in told("acme", {"a": "1"}, now)
        )
        assert {date.weekday() > 4 for date, count in days.items() if count > 3} == {False}


@on_each_day
@pytest.mark.parametrize("slug", ["acme", "globex"])
def test_the_story_is_long_and_varied(slug: str, now: datetime) -> None:
    events = told(slug, PEOPLE[slug], now)
    assert 250 < len(events) < 600
    assert len({event["action"] for event in events}) >= 15
    assert len({event["resource"]["type"] for event in events}) >= 8
    assert {event["outcome"] for event in events} == {"success", "failure", "denied"}
    assert {event["actor"]["type"] for event in events} == {"user", "system", "api_key", "anonymous"}
    assert sum("changes" in event for event in events) > 50
    assert len({event.get("context", {}).get("ip") for event in events}) > 5


# --- tenants, people, keys


@pytest.fixture
def document(world: World, tmp_path: Path) -> company.Document:
    """What the demo makes in a world that has two tenants and some of the people already."""
    return company.install(tmp_path / "demo.json", 8000)


def keys_of(document: company.Document) -> set[str]:
    return {key for tenant in document["tenants"].values() for key in tenant["keys"].values()} | {
        document["platform"]["token"]
    }


def test_the_file_says_what_the_contract_says(document: company.Document, tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    assert json.loads(path.read_text()) == document
    assert path.stat().st_mode & 0o777 == 0o600
    platform, tenants = document["platform"], document["tenants"]
    assert set(document) == {"platform", "tenants"}
    assert set(platform) == {"url", "staff_email", "staff_password", "token"}
    assert (platform["url"], platform["staff_email"]) == ("http://localhost:8000", "sam@daybook.example")
    assert set(tenants) == {"acme", "globex"}
    for slug, tenant in tenants.items():
        assert set(tenant) == {"url", "host", "admin_email", "admin_password", "keys"}
        assert (tenant["url"], tenant["host"]) == (f"http://{slug}.localhost:8000", f"{slug}.localhost")
        assert set(tenant["keys"]) == {"admin", "read", "write"}
    assert (tenants["acme"]["admin_email"], tenants["globex"]["admin_email"]) == (
        "alice@acme.example",
        "charlie@globex.example",
    )


def test_its_keys_do_what_their_names_say(world: World, document: company.Document) -> None:
    from world import Api

    event = {"action": "tested", "resource": {"type": "thing", "id": "1"}}
    may = {"admin": (200, 201), "read": (200, 403), "write": (403, 201)}
    for slug, tenant in document["tenants"].items():
        for word, key in tenant["keys"].items():
            api = Api(f"{slug}.localhost", key)
            assert (
                api.get("/api/v1/audit-logs").status_code,
                api.post("/api/v1/audit-logs", event).status_code,
            ) == may[word]
    assert Api("localhost", document["platform"]["token"]).get("/api/v1/platform/platform-logs").status_code == 200


def test_its_passwords_sign_people_in(world: World, document: company.Document) -> None:
    from django.contrib.auth.hashers import check_password

    people = {"alice": "acme", "bob": "acme", "mia": "acme", "charlie": "globex"}
    for name, slug in people.items():
        assert check_password(document["tenants"][slug]["admin_password"], world.person(name).password_hash)
    assert check_password(document["platform"]["staff_password"], world.person("sam").password_hash)


def test_a_second_run_uses_what_is_there(world: World, document: company.Document, tmp_path: Path) -> None:
    counts = "SELECT (SELECT count(*) FROM shared.tenants_apikey), (SELECT count(*) FROM shared.tenants_user)"
    before = world.sql(counts)
    again = company.install(tmp_path / "demo.json", 9000)
    assert keys_of(again) == keys_of(document)
    assert again["tenants"]["acme"]["url"] == "http://acme.localhost:9000"
    assert again["tenants"]["acme"]["admin_password"] == document["tenants"]["acme"]["admin_password"]
    assert world.sql(counts) == before


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"platform": {}, "tenants": {}}', "null"])
def test_a_file_that_is_lost_or_broken_is_made_anew_and_the_old_keys_end(
    world: World, document: company.Document, tmp_path: Path, damage: str
) -> None:
    from tenants import gate

    (tmp_path / "demo.json").write_text(damage)
    again = company.install(tmp_path / "demo.json", 8000)
    assert keys_of(again).isdisjoint(keys_of(document))
    assert {found.valid for key in keys_of(document) if (found := gate.key(key))} == {False}
    assert {found.valid for key in keys_of(again) if (found := gate.key(key))} == {True}
    assert all(gate.key(secret).valid for secret in world.keys.values())  # type: ignore[union-attr]


def test_a_key_that_was_revoked_makes_a_new_file(world: World, document: company.Document, tmp_path: Path) -> None:
    world.sql("UPDATE shared.tenants_apikey SET revoked_at = now() WHERE name = 'Demo read'")
    assert keys_of(company.install(tmp_path / "demo.json", 8000)).isdisjoint(keys_of(document))


# --- the play


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def port(world: World) -> Iterator[int]:
    """The port of the application, served to this test's world by a thread."""
    from django.core.wsgi import get_wsgi_application

    WSGIServer.address_family = socket.AF_INET
    with make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=_Quiet) as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served.server_port
        served.shutdown()
        thread.join()


def entries(world: World, slug: str, columns: str) -> list[tuple[Any, ...]]:
    schema = world.tenant(slug).schema_name
    return world.sql(
        f"SELECT {columns} FROM {schema}.audit_log WHERE request_id LIKE 'demo-%' AND source = 'api' ORDER BY id"
    )


def test_every_entry_of_the_play_enters_by_http(
    world: World, document: company.Document, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {slug: world.entries(slug) for slug in PEOPLE}
    people, now = company.persons(), datetime.now(UTC) - timedelta(days=1)
    said = list(play.play(port, document, people, now))
    assert len(said) == 2 * story.WEEKS + 1
    for slug in PEOPLE:
        # The change of the plan is told twice: by the request's own entry, and by that of the row.
        sent, changes = len(told(slug, people[slug], now)), 2 if slug == "acme" else 0
        assert len(entries(world, slug, "id")) == world.entries(slug) - before[slug] == sent + changes
        times = [row[0] for row in entries(world, slug, "occurred_at") if row[0]]
        assert times == sorted(times)
        assert datetime.now(UTC) - times[0] > timedelta(days=20)
    changed = world.sql(
        "SELECT source, request_id, description, changes FROM shared.platform_log"
        " WHERE action = 'subscription.plan_changed'"
    )
    assert changed == [("api", "demo-acme-plan", play.PLAN["reason"], {"plan": {"old": "free", "new": "premium"}})]


def test_a_second_play_adds_nothing_and_a_broken_one_is_completed(
    world: World, document: company.Document, port: int
) -> None:
    people, now = company.persons(), datetime.now(UTC)
    interrupted = play.play(port, document, people, now - timedelta(days=1))
    next(interrupted)
    half = world.entries("acme")
    assert len([*play.play(port, document, people, now)]) == 2 * story.WEEKS
    assert world.entries("acme") > half
    whole = {slug: world.entries(slug) for slug in PEOPLE}
    assert [*play.play(port, document, people, now)] == []
    assert {slug: world.entries(slug) for slug in PEOPLE} == whole


def test_a_play_that_is_refused_says_why_and_shows_the_addresses_all_the_same(
    world: World, document: company.Document, port: int
) -> None:
    document["tenants"]["globex"]["keys"]["write"] = "dbk_unknown"
    given = {"port": port, "document": document, "people": company.persons(), "file": "var/demo.json"}
    done = subprocess.run(
        [sys.executable, "-m", "config.demo.play"],
        check=False, cwd=ROOT, input=json.dumps(given), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
    assert "could not be played: /api/v1/audit-logs answered 401: This key is not known" in done.stdout
    for secret in keys_of(document):
        assert secret in done.stdout
    assert "The same stands in var/demo.json." in done.stdout


# --- the whole, as a process


def ready(port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=20) as answer:
        return bool(answer.status == 200)


def trail(demo: Demo, slug: str) -> list[dict[str, Any]]:
    """Return the newest entries of a tenant with their positions, but for those that say that they were read."""
    tenant = demo.document()["tenants"][slug]
    client = play.Client(demo.port, tenant["host"], tenant["keys"]["read"])
    deadline = time.monotonic() + 20
    while True:
        found = client.call("/api/v1/audit-logs?limit=1000")["results"]
        entries = [entry for entry in found if entry["action"] != "trail.read"]
        # An entry is given its position about a second after it was written.
        if all(entry["position"] is not None for entry in entries) or time.monotonic() > deadline:
            return entries
        time.sleep(0.2)


def strangers(entries: list[dict[str, Any]]) -> dict[tuple[str, str, str], int]:
    """Return what did not enter by HTTP with a request id: how often which action, on what, from where."""
    return Counter(
        (entry["action"], entry["resource"]["type"], entry["context"]["source"])
        for entry in entries
        if entry["context"]["source"] != "api" or not entry["context"]["request_id"]
    )


# Rows of the shared tables that the demo makes before it plays; each leaves its entry in its tenant's trail by itself.
SET_UP = {
    slug: {
        ("created", "membership", "command"): members,
        ("created", "credential", "command"): members,
        ("created", "api_key", "command"): 3,
    }
    for slug, members in Counter(slug for slug, _ in company.PEOPLE.values()).items()
}


def test_it_runs_is_stopped_runs_again_and_survives_a_crash() -> None:
    with Demo(free_port()) as demo:
        demo.wait()
        assert ready(demo.port)
        first, told = demo.document(), {slug: trail(demo, slug) for slug in PEOPLE}
        assert {slug: strangers(told[slug]) for slug in PEOPLE} == SET_UP
        assert min(len(entries) for entries in told.values()) > 250
        for secret in keys_of(first):
            assert secret in demo.output()
        assert demo.interrupt() == 0
        assert "Traceback" not in demo.output()
        assert demo.left() == []

        demo.start().wait()
        assert demo.document() == first
        assert {slug: trail(demo, slug) for slug in PEOPLE} == told
        demo.kill()
        assert demo.left() == []

        demo.start().wait()
        assert {slug: trail(demo, slug) for slug in PEOPLE} == told


def test_without_demo_data_it_makes_no_tenants_and_a_taken_port_is_one_line() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken, Demo(taken.getsockname()[1]) as demo:
        assert demo.process.wait(90) == 1
        assert demo.output().splitlines()[-1] == (
            f"Port {demo.port} of 127.0.0.1 is in use: stop what uses it, or set PORT to another one."
        )
        assert "Traceback" not in demo.output()
        assert demo.left() == []
        taken.close()

        demo.start("--no-demo").wait("Ctrl-C stops it.")
        assert ready(demo.port)
        assert not (demo.folder / "demo.json").exists()
        with pytest.raises(play.Unplayable, match="404"):
            play.Client(demo.port, "acme.localhost").call("/api/v1/audit-logs")
        assert demo.interrupt() == 0
        assert demo.left() == []
