"""Staff read a tenant's trail for a reason alone, and both trails tell who and why before anything is shown."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import pytest
from django.conf import settings
from world import World

from audit import catalogue, export
from audit.api import paging, stats
from audit.models import AuditLog
from subscriptions.api import tenant_trail
from tenants import auditing, permissions
from tenants.errors import Refused

WHY = "Ticket 4711: who deleted the project?"
LOGS = "/api/v1/platform/tenants/{}/audit-logs"
ACME = LOGS.format("acme")
PARTS = ["", "/stats", "/export?format=jsonl", "/{entry}"]
BROKEN = b'{"export_interrupted": true}\n'


@pytest.fixture
def trails(world: World) -> World:
    """A world in which each tenant's trail has three entries, with positions and words."""
    for slug, name in (("acme", "alice"), ("globex", "charlie")):
        with world.scope(slug, name, user_agent=f"{slug}-browser"):
            for number in range(3):
                AuditLog.log_action(None, "waved", "thing", f"{slug}-{number}", description=f"a {slug} wave {number}")
    world.sequence()
    return world


def entry_of(world: World, slug: str) -> str:
    schema = world.tenant(slug).schema_name
    return str(world.sql(f"SELECT id FROM {schema}.audit_log WHERE action = 'waved' ORDER BY id LIMIT 1")[0][0])


def path(world: World, part: str, query: dict[str, Any] | None = None) -> str:
    """Return where a part of acme's trail is, asked with a query (left out: with a reason)."""
    found = ACME + part.format(entry=entry_of(world, "acme"))
    return f"{found}{'&' if '?' in part else '?'}{urlencode({'reason': WHY} if query is None else query, doseq=True)}"


def told(world: World, action: str = "trail.read", slug: str = "acme") -> list[tuple[str, str, str]]:
    """Return where it stands who did something, and why: in the tenant's trail, in the platform log of that tenant."""
    tenant = world.tenant(slug)
    return world.sql(
        f"SELECT 'tenant', actor_label, description FROM {tenant.schema_name}.audit_log WHERE action = %s UNION ALL "
        "SELECT 'platform', actor_label, description FROM shared.platform_log WHERE action = %s AND tenant_id = %s",
        action,
        action,
        tenant.id,
    )


def both(name: str, why: str = WHY) -> list[tuple[str, str, str]]:
    return [("tenant", f"{name}@daybook.example", why), ("platform", f"{name}@daybook.example", why)]


def denials(world: World) -> list[tuple[str, str]]:
    statement = "SELECT actor_label, description FROM shared.platform_log WHERE action = 'access.denied'"
    return world.sql(statement)


def assert_refused(answer: Any, status: int, code: str = "") -> None:
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json"), answer.content
    assert code in {"", answer.json()["code"]}
    assert "acme-0" not in answer.content.decode()


def said(answer: Any) -> str:
    """Return the body of an answer, streamed or not."""
    return (b"".join(answer.streaming_content) if answer.streaming else answer.content).decode()


def waves(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [entry["resource"]["id"] for entry in answer.json()["results"]]


@pytest.mark.parametrize("name", ["sue", "sam"])
def test_support_and_admins_read_it_page_by_page_and_each_page_is_told(trails: World, name: str) -> None:
    api = trails.api("platform", name)
    page = api.get(ACME, reason=WHY, action="waved", limit=2).json()
    assert [entry["tenant"]["slug"] for entry in page["results"]] == ["acme", "acme"]
    assert parse_qs(urlsplit(page["next"]).query)["reason"] == [WHY]
    assert waves(api.get(page["next"])) == ["acme-0"]
    assert told(trails) == both(name)[:1] * 2 + both(name)[1:] * 2
    assert told(trails, slug="globex") == []


@pytest.mark.parametrize("part", PARTS)
def test_each_part_shows_this_tenant_alone_and_tells_both_trails(trails: World, part: str) -> None:
    text = said(trails.api("platform", "sam").get(path(trails, part)))
    assert "acme-0" in text or '"total":' in text
    assert "globex-" not in text
    assert told(trails) == both("sam")


def test_what_it_reads_is_told_with_the_request_and_shown_to_the_tenant_itself(trails: World) -> None:
    answer = trails.api("platform", "sue").get(ACME, reason=f" {WHY} ", action="waved")
    (entry,) = trails.api("acme", "acme.read").get("/api/v1/audit-logs", action="trail.read").json()["results"]
    assert entry["actor"] == {"type": "staff", "id": str(trails.person("sue").pk), "label": "sue@daybook.example"}
    assert (entry["description"], entry["operation"]) == (WHY, "read")
    assert (entry["context"]["source"], entry["context"]["request_id"]) == ("api", answer["X-Request-ID"])


# What a list can be asked: words and positions stand in tables of their own, agents in a dictionary.
@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"q": "wave -2"}, ["acme-1", "acme-0"]),
        ({"order": "asc"}, ["acme-0", "acme-1", "acme-2"]),
        ({"order": "asc", "q": "acme wave"}, ["acme-0", "acme-1", "acme-2"]),
        ({"resource_type": "thing", "resource_id": "acme-1"}, ["acme-1"]),
        ({"filter": "resource_id:acme-2"}, ["acme-2"]),
        ({"actor": "nobody"}, []),
    ],
)
def test_it_takes_the_filters_of_the_tenants_own_list(trails: World, asked: dict[str, str], found: list[str]) -> None:
    answer = trails.api("platform", "sue").get(ACME, reason=WHY, action="waved", **asked)
    assert waves(answer) == found
    own = trails.api("acme", "acme.read").get("/api/v1/audit-logs", action="waved", **asked).json()["results"]
    assert answer.json()["results"] == own
    assert {entry["context"]["user_agent"] for entry in own} <= {"acme-browser"}
    assert all(isinstance(entry["position"], int) for entry in own)


def test_entries_are_told_in_the_tenants_own_words(trails: World) -> None:
    with trails.scope("acme", "alice"):
        catalogue.declare("waved", description="", schema={}, personal=[], told={"en": "{actor} waved at {resource}"})
    api, asked = trails.api("platform", "sue"), {"reason": WHY, "language": "en"}
    (first, *_) = api.get(ACME, action="waved", **asked).json()["results"]
    assert first["sentence"] == "alice@acme.example waved at thing acme-2"
    assert api.get(f"{ACME}/{entry_of(trails, 'acme')}", **asked).json()["sentence"].endswith("waved at thing acme-0")


def test_who_polls_sees_what_comes_in_order(trails: World) -> None:
    api = trails.api("platform", "sue")
    cursor = api.get(ACME, reason=WHY, action="waved", order="asc", cursor="end").json()["next_cursor"]
    with trails.scope("acme"):
        AuditLog.log_action(None, "waved", "thing", "acme-3")
    trails.sequence()
    assert waves(api.get(ACME, reason="Later", action="waved", order="asc", cursor=cursor)) == ["acme-3"]


def test_counts_are_those_of_the_tenants_own(trails: World) -> None:
    asked = {"action": "waved", "until": "2100-01-01T00:00:00Z", "since": "2020-01-01T00:00:00Z", "buckets": 3}
    own = trails.api("acme", "acme.read").get("/api/v1/audit-logs/stats", **asked).json()
    assert trails.api("platform", "sue").get(f"{ACME}/stats", reason=WHY, **asked).json() == own
    assert own["total"] == 3


def test_a_suspended_tenants_trail_is_read_too_by_id_or_slug(trails: World) -> None:
    acme = trails.acme
    trails.sql("UPDATE shared.tenants_tenant SET status = 'suspended' WHERE slug = 'acme'")
    for name in (acme.id, "acme"):
        answer = trails.api("platform", "sue").get(LOGS.format(name), reason=WHY, action="waved")
        assert waves(answer) == ["acme-2", "acme-1", "acme-0"]


# --- refusals: nothing is shown, and nothing else is told than that somebody was refused


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    "given", [{}, {"reason": ""}, {"reason": " \t\u2003"}, {"reason": "x" * 1001}, {"reason": ["a", "b"]},
              {"reason": "nul\x00"}]
)  # fmt: skip
def test_it_refuses_a_request_that_does_not_say_why(trails: World, part: str, given: dict[str, Any]) -> None:
    answer = trails.api("platform", "sam").get(path(trails, part, query=given))
    assert_refused(answer, 400, "bad_input")
    assert [fault["parameter"] for fault in answer.json()["errors"]] == ["reason"]
    assert told(trails) == []


def test_a_reason_in_a_header_or_for_another_request_does_not_count(trails: World) -> None:
    api = trails.api("platform", "sam")
    page = api.get(ACME, reason=WHY, limit=1).json()
    assert_refused(api.get(ACME, cursor=page["next_cursor"], limit=1), 400, "bad_input")
    api.headers["reason"] = WHY
    assert_refused(api.get(ACME), 400, "bad_input")
    assert told(trails) == both("sam")


@pytest.mark.parametrize("part", PARTS)
def test_billing_is_refused_and_the_platform_log_tells_it(trails: World, part: str) -> None:
    asked = path(trails, part)
    answer = trails.api("platform", "bill").get(asked)
    assert_refused(answer, 403, "not_allowed")
    assert told(trails) == []
    assert denials(trails) == [("bill@daybook.example", f"GET {asked.partition('?')[0]}")]


def test_support_exports_nothing(trails: World) -> None:
    answer = trails.api("platform", "sue").get(f"{ACME}/export", reason=WHY, format="jsonl")
    assert_refused(answer, 403, "not_allowed")
    assert (told(trails), told(trails, "trail.exported")) == ([], [])
    assert denials(trails) == [("sue@daybook.example", f"GET {ACME}/export")]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    ("host", "key", "status"),
    [("platform", None, 401), ("platform", "acme.admin", 404), ("platform", "globex.admin", 404),
     ("acme", "acme.admin", 404), ("acme", "sam", 403), ("globex", "sam", 403)],
)  # fmt: skip
def test_nobody_but_staff_on_the_platforms_host_gets_anything(
    trails: World, part: str, host: str, key: str | None, status: int
) -> None:
    answer = trails.api(host, key).get(path(trails, part))
    assert_refused(answer, status)
    assert told(trails) == []


@pytest.mark.parametrize("part", PARTS)
def test_a_tenants_key_would_get_nothing_even_where_the_permission_let_it_in(
    trails: World, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr(permissions.HasRight, "has_permission", lambda *_anything: True)
    assert_refused(trails.api("platform", "globex.admin").get(path(trails, part)), 404)
    assert told(trails) == []


def test_staff_who_lost_their_role_read_no_longer(trails: World) -> None:
    trails.sql("UPDATE shared.tenants_user SET staff_role = 'billing' WHERE email = 'sam@daybook.example'")
    assert_refused(trails.api("platform", "sam").get(ACME, reason=WHY), 403, "not_allowed")
    assert told(trails) == []


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("tenant", ["initech", "0197a4b2-0000-7000-8000-000000000000", "%00", "ACME'--", "shared"])
def test_an_unknown_tenant_is_not_found(trails: World, part: str, tenant: str) -> None:
    asked = path(trails, part).replace("/acme/", f"/{tenant}/")
    answer = trails.api("platform", "sam").get(asked)
    assert_refused(answer, 404, "not_found")
    assert trails.sql("SELECT * FROM shared.platform_log WHERE action = 'trail.read'") == []


def test_another_tenants_entry_is_not_found_but_that_it_was_looked_for_is_told(trails: World) -> None:
    foreign = entry_of(trails, "globex")
    for entry in (foreign, "no-id", "%00"):
        assert_refused(trails.api("platform", "sam").get(f"{ACME}/{entry}", reason=WHY), 404, "not_found")
    assert len(told(trails)) == 6
    assert told(trails, slug="globex") == []


def test_a_cursor_of_another_tenant_or_of_the_tenants_own_list_is_refused(trails: World) -> None:
    sam, mine = trails.api("platform", "sam"), trails.api("acme", "acme.read")
    theirs = sam.get(LOGS.format("globex"), reason=WHY, limit=1).json()["next_cursor"]
    own = mine.get("/api/v1/audit-logs", limit=1).json()["next_cursor"]
    log = sam.get("/api/v1/platform/platform-logs", tenant="acme", limit=1).json()["next_cursor"]
    for cursor in (theirs, own, log, "made-up"):
        answer = sam.get(ACME, reason=WHY, cursor=cursor, limit=1)
        assert_refused(answer, 400, "bad_input")
        assert [fault["parameter"] for fault in answer.json()["errors"]] == ["cursor"]
    staffs = sam.get(ACME, reason=WHY, limit=1).json()["next_cursor"]
    assert_refused(mine.get("/api/v1/audit-logs", limit=1, cursor=staffs), 400, "bad_input")


@pytest.mark.parametrize("asked", ["limit=0", "since=yesterday", "nonsense=1", "tenant=globex", "order=up"])
def test_a_bad_parameter_is_named_before_anything_is_read(trails: World, asked: str) -> None:
    answer = trails.api("platform", "sam").get(f"{path(trails, '')}&{asked}")
    assert_refused(answer, 400, "bad_input")
    assert [fault["parameter"] for fault in answer.json()["errors"]] == [asked.partition("=")[0]]
    assert told(trails) == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_is_written_through_it(trails: World, method: str) -> None:
    before = trails.entries("acme")
    for part in PARTS:
        answer = trails.api("platform", "sam").send(method, path(trails, part), {"reason": WHY})
        assert_refused(answer, 405)
    assert trails.entries("acme") == before


# --- what was said stays said


@pytest.mark.parametrize(("module", "name"), [(paging, "answer"), (paging, "answer_one"), (stats, "counts")])
def test_that_it_was_read_is_told_even_if_the_read_fails(
    trails: World, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    def fail(*_anything: Any) -> None:
        AuditLog.log_action(None, "waved", "thing", "rolled back")
        raise RuntimeError

    monkeypatch.setattr(module, name, fail)
    part = {"answer": "", "answer_one": "/{entry}", "counts": "/stats"}[name]
    assert_refused(trails.api("platform", "sam").get(path(trails, part)), 500)
    assert told(trails) == both("sam")
    assert told(trails, "waved")[3:] == []


@pytest.mark.parametrize("part", PARTS)
def test_where_it_cannot_be_told_nothing_is_shown(trails: World, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    def fail(*_anything: Any, **_more: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(auditing, "record", fail)
    answer = trails.api("platform", "sam").get(path(trails, part))
    assert_refused(answer, 500)
    assert "acme-0" not in said(answer)


@pytest.mark.parametrize("part", ["", "/stats", "/{entry}"])
def test_who_asks_for_headers_alone_is_told_too(trails: World, part: str) -> None:
    api = trails.api("platform", "sue")
    assert api.client.head(path(trails, part), headers=api.headers).status_code == 200
    assert told(trails) == both("sue")


# --- export


@pytest.mark.parametrize("form", ["jsonl", "csv", "ocsf"])
def test_an_admin_exports_what_the_tenant_would_and_both_trails_tell_how_and_why(trails: World, form: str) -> None:
    asked = {"format": form, "action": "waved"}
    answer = trails.api("platform", "sam").get(f"{ACME}/export", reason=WHY, **asked)
    own = trails.api("acme", "acme.admin").get("/api/v1/audit-logs/export", **asked)
    assert answer["Content-Disposition"].startswith('attachment; filename="acme-trail-')
    assert said(answer) == said(own)
    assert told(trails) == both("sam")
    assert [one for one in told(trails, "trail.exported") if one[1] != "acme admin"] == both("sam")
    page = trails.api("platform", "sam").get("/api/v1/platform/platform-logs", action="trail.exported").json()
    (entry,) = page["results"]
    assert entry["metadata"] == {"format": form, "compress": None, "filter": {"action": ["waved"]}}
    assert (entry["operation"], entry["tenant"]["slug"]) == ("read", "acme")


def test_an_export_is_told_before_its_first_byte(trails: World) -> None:
    answer = trails.api("platform", "sam").get(f"{ACME}/export", reason=WHY, format="jsonl")
    assert (told(trails), told(trails, "trail.exported")) == (both("sam"), both("sam"))
    answer.close()


def test_an_export_that_cannot_be_told_is_not_made_and_leaves_its_place_to_the_next(
    trails: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "EXPORTS_AT_A_TIME", 1)
    with monkeypatch.context() as patch:
        patch.setattr(tenant_trail, "tell", lambda *_anything: 1 / 0)
        assert_refused(trails.api("platform", "sam").get(f"{ACME}/export", reason=WHY, format="jsonl"), 500)
    assert told(trails, "trail.exported") == []
    answer = trails.api("platform", "sam").get(f"{ACME}/export", reason=WHY, format="jsonl", action="waved")
    assert len(said(answer).splitlines()) == 3


def test_one_export_more_than_may_go_out_is_refused_and_no_trail_says_that_it_was_made(
    trails: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "EXPORTS_AT_A_TIME", 0)
    answer = trails.api("platform", "sam").get(f"{ACME}/export", reason=WHY, format="jsonl")
    assert_refused(answer, 503, "too_many_files")
    assert (told(trails), told(trails, "trail.exported")) == (both("sam"), [])


def age(world: World) -> None:
    """Let the reasons that were given so far be older than ten minutes."""
    world.sql("ALTER TABLE shared.platform_log DISABLE TRIGGER USER")
    world.sql(
        "UPDATE shared.platform_log SET id = guard.first_id(created_at - interval '11 minutes')"
        " WHERE action = 'trail.read'"
    )
    world.sql("ALTER TABLE shared.platform_log ENABLE TRIGGER USER")


def test_an_export_that_takes_longer_says_again_why(trails: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_REACH", 5)
    answer = trails.api("platform", "sam").get(f"{ACME}/export", reason=WHY, format="jsonl")
    parts = [next(answer.streaming_content)]
    age(trails)
    found = [json.loads(line) for line in b"".join([*parts, *answer.streaming_content]).splitlines()]
    assert [entry["resource"]["id"] for entry in found if entry["action"] == "waved"] == ["acme-0", "acme-1", "acme-2"]
    assert told(trails) == both("sam")[:1] * 2 + both("sam")[1:] * 2
    assert told(trails, "trail.exported") == both("sam")


def test_an_export_that_cannot_say_it_again_breaks_off_visibly(trails: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_REACH", 5)
    answer = trails.api("platform", "sam").get(f"{ACME}/export", reason=WHY, format="jsonl")
    parts = [next(answer.streaming_content)]
    age(trails)
    monkeypatch.setattr(auditing, "record", lambda *_anything, **_more: uuid4())
    with pytest.raises(Refused):
        parts.extend(answer.streaming_content)
    assert parts[-1] == BROKEN
    assert b"acme-0" not in b"".join(parts)
    assert told(trails) == both("sam")
