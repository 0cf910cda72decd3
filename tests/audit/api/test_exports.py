"""Exports as jobs over HTTP: asking, looking, and fetching the file in parts by a link that ends."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from browser import Browser
from django.core import signing
from django.test import override_settings
from trails import generated
from world import World

from audit import exports, jobs, ledger
from audit.api import asking
from audit.api.exports import FileFormat
from audit.api.ranges import RangeNotSatisfiable, part_of
from audit.models import AuditExport, AuditLog

EXPORTS = "/api/v1/exports"
pytestmark = pytest.mark.usefixtures("files")


@pytest.fixture
def trail(world: World) -> World:
    with world.scope("acme"):
        ledger.append(AuditLog, generated(60))
    return world


def create(world: World, key: str = "acme.admin", headers: dict[str, str] | None = None, **body: Any) -> Any:
    return world.api(key=key).post(EXPORTS, {"format": "jsonl", **body}, **(headers or {}))


def ready(world: World, **body: Any) -> dict[str, Any]:
    """Return an export that is ready, with its link."""
    key = create(world, **body).json()["id"]
    assert jobs.run_exports() == 1
    found: dict[str, Any] = world.api(key="acme.admin").get(f"{EXPORTS}/{key}").json()
    return found


def fetch(world: World, link: str, host: str = "acme", method: str = "get", **headers: str) -> Any:
    """Fetch a link without any key."""
    parts = urlsplit(link)
    return getattr(world.api(host).client, method)(f"{parts.path}?{parts.query}", headers=headers)


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def count(world: World) -> int:
    with world.scope("acme"):
        return AuditExport.objects.count()


def downloads(world: World) -> list[AuditLog]:
    with world.scope("acme"):
        return list(AuditLog.objects.filter(action="trail.export_downloaded").order_by("id"))


# --- asking


def test_an_export_is_asked_for_and_shown(world: World) -> None:
    answer = create(world, format="csv", compress="gzip", filter={"action": ["a.*", "-b"], "actor": "u"})
    assert answer.status_code == 201
    made = answer.json()
    assert (made["state"], made["format"], made["compress"]) == ("pending", "csv", "gzip")
    assert made["filter"] == {"action": ["a.*", "-b"], "actor": ["u"]}
    assert made["requested_by"]["label"] == "acme admin"
    assert (made["entries"], made["link"], made["expires_at"]) == (0, None, None)
    assert world.api(key="acme.admin").get(f"{EXPORTS}/{made['id']}").json() == made


def test_the_document_names_all_forms_and_compressions() -> None:
    assert get_args(FileFormat) == asking.FORMATS
    assert asking.COMPRESSIONS == ("gzip",)


@pytest.mark.parametrize(
    ("sent", "pointer"),
    [
        ([], ""),
        ({}, "/format"),
        ({"format": "xml"}, "/format"),
        ({"format": 5}, "/format"),
        ({"format": "csv", "compress": "zip"}, "/compress"),
        ({"format": "parquet", "compress": "gzip"}, "/compress"),
        ({"format": "csv", "filter": []}, "/filter"),
        ({"format": "csv", "filter": {"actor": 5}}, "/filter/actor/str"),
        ({"format": "csv", "filter": {"since": "yesterday"}}, "/filter/since"),
        ({"format": "csv", "filter": {"limit": "5"}}, "/filter/limit"),
        ({"format": "csv", "filter": {"format": "csv"}}, "/filter/format"),
        ({"format": "csv", "filter": {"un/heard": "1"}}, "/filter/un~1heard"),
        ({"format": "csv", "filter": {"since": ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]}}, "/filter/since"),
        ({"format": "csv", "filter": {"actor": []}}, "/filter/actor/list[str]"),
        ({"format": "csv", "rows": 1}, "/rows"),
    ],
)
def test_a_bad_body_is_refused_and_the_place_is_named(world: World, sent: Any, pointer: str) -> None:
    before = world.entries("acme")
    answer = world.api(key="acme.admin").post(EXPORTS, sent)
    assert (answer.status_code, answer["Content-Type"]) == (422, "application/problem+json")
    assert pointer in {fault["pointer"] for fault in answer.json()["errors"]}
    assert (count(world), world.entries("acme")) == (0, before)


def test_the_same_request_with_the_same_key_is_one_export(world: World) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first, again = create(world, headers=headers), create(world, headers=headers)
    assert first.json() == again.json()
    assert again["Idempotency-Replayed"] == "true"
    assert count(world) == 1
    other = create(world, headers=headers, format="csv")
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    assert count(world) == 1


@pytest.mark.parametrize("key", ["acme.write", "globex.admin"])
def test_whoever_may_not_export_asks_for_none_and_sees_none(world: World, key: str) -> None:
    made = create(world).json()
    assert create(world, key=key).status_code == 403
    for path in (EXPORTS, f"{EXPORTS}/{made['id']}"):
        assert world.api(key=key).get(path).status_code == 403
    assert count(world) == 1


def test_another_tenants_export_is_not_there(world: World) -> None:
    made = create(world).json()
    globex = world.api("globex", key="globex.admin")
    answer = globex.get(f"{EXPORTS}/{made['id']}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert globex.get(EXPORTS).json()["results"] == []


@pytest.mark.parametrize("key", ["nothing", "a2d86dcc-5e99-439e-91f9-04b9bb4998f4", "%00", "a" * 300])
def test_what_is_no_export_is_not_found(world: World, key: str) -> None:
    assert world.api(key="acme.admin").get(f"{EXPORTS}/{key}").status_code == 404


def test_exports_are_listed_newest_first_page_by_page(world: World) -> None:
    made = [create(world).json()["id"] for _ in range(5)]
    api, found, path = world.api(key="acme.admin"), [], f"{EXPORTS}?limit=2"
    while path:
        page = api.get(path).json()
        assert len(page["results"]) <= 2
        found += [job["id"] for job in page["results"]]
        path = page["next"]
    assert found == made[::-1]


@pytest.mark.parametrize(
    ("query", "name"),
    [("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("limit=²", "limit"), ("cursor=x", "cursor"),
     ("unheard=1", "unheard"), ("limit=1&limit=2", "limit"), ("limit=99999999999999999999", "limit"),
     ("limit=00000000199999999999999999999", "limit"), (f"limit={'1'.zfill(9)}{'9' * 5000}", "limit")],
)  # fmt: skip
def test_a_bad_parameter_of_the_list_is_named(world: World, query: str, name: str) -> None:
    answer = world.api(key="acme.admin").get(f"{EXPORTS}?{query}")
    assert answer.status_code == 400
    assert [fault["parameter"] for fault in answer.json()["errors"]] == [name]


def test_a_person_with_a_session_asks_as_well(world: World) -> None:
    browser = Browser(world, "acme", "bob")
    answer = browser.client.post(EXPORTS, {"format": "csv"}, content_type="application/json")
    assert answer.status_code == 201
    assert answer.json()["requested_by"]["label"] == "bob@acme.example"


# --- fetching


def test_a_ready_export_has_a_link_that_needs_no_key(trail: World) -> None:
    job = ready(trail)
    answer = fetch(trail, job["link"])
    data = body(answer)
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/x-ndjson")
    assert (len(data), len(data.splitlines())) == (job["bytes"], job["entries"])
    assert answer["Content-Length"] == str(job["bytes"])
    assert (answer["ETag"], answer["Accept-Ranges"]) == (f'"{job["sha256"]}"', "bytes")
    assert answer["Content-Disposition"].startswith('attachment; filename="acme-trail-')
    assert job["link"].startswith("http://acme.localhost/api/v1/exports/")


def test_its_use_is_an_entry_of_him_who_was_given_the_link(trail: World) -> None:
    job = ready(trail)
    for _ in range(3):
        assert fetch(trail, job["link"]).status_code == 200
    (entry,) = downloads(trail)
    assert (entry.actor_type, entry.actor_label, entry.resource_id) == ("api_key", "acme admin", job["id"])
    assert entry.ip == "127.0.0.1"


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=10-", slice(10, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=5-99999999", slice(5, None)),
        ("bytes=-99999999", slice(0, None)),
    ],
)
def test_a_part_of_the_file_can_be_fetched(trail: World, asked: str, part: slice) -> None:
    job = ready(trail)
    whole, answer = body(fetch(trail, job["link"])), fetch(trail, job["link"], range=asked)
    assert answer.status_code == 206
    assert body(answer) == whole[part]
    first, last, _ = part.indices(len(whole))
    assert answer["Content-Range"] == f"bytes {first}-{last - 1}/{len(whole)}"
    assert answer["Content-Length"] == str(last - first)


def test_a_download_that_broke_off_goes_on_where_it_was(trail: World) -> None:
    job = ready(trail, compress="gzip")
    whole, had = body(fetch(trail, job["link"])), b""
    while len(had) < len(whole):
        etag = f'"{job["sha256"]}"'
        answer = fetch(trail, job["link"], **{"range": f"bytes={len(had)}-", "if-range": etag})
        had += body(answer)[:100]
    assert had == whole


def test_a_part_of_another_file_is_the_whole_of_this_one(trail: World) -> None:
    job = ready(trail)
    answer = fetch(trail, job["link"], **{"range": "bytes=10-", "if-range": '"another"'})
    assert (answer.status_code, len(body(answer))) == (200, job["bytes"])


def test_a_part_that_is_not_there_is_refused_with_the_size(trail: World) -> None:
    job = ready(trail)
    answer = fetch(trail, job["link"], range=f"bytes={job['bytes']}-")
    assert (answer.status_code, answer["Content-Range"]) == (416, f"bytes */{job['bytes']}")
    assert answer.json()["code"] == "range_not_satisfiable"


def test_who_has_the_file_already_gets_no_second_one(trail: World) -> None:
    job = ready(trail)
    answer = fetch(trail, job["link"], **{"if-none-match": f'"{job["sha256"]}"'})
    assert (answer.status_code, body(answer)) == (304, b"")


def test_head_tells_size_and_name_alone(trail: World) -> None:
    job = ready(trail)
    answer = fetch(trail, job["link"], method="head")
    assert (answer.status_code, answer["Content-Length"], body(answer)) == (200, str(job["bytes"]), b"")


def test_an_empty_file_can_be_fetched(world: World) -> None:
    job = ready(world, filter={"actor": "nobody"})
    assert (job["entries"], job["bytes"]) == (0, 0)
    answer = fetch(world, job["link"])
    assert (answer.status_code, body(answer)) == (200, b"")
    assert fetch(world, job["link"], range="bytes=0-").status_code == 416


def refused(world: World, link: str, status: int, code: str, host: str = "acme") -> None:
    answer = fetch(world, link, host)
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")
    assert answer.json()["code"] == code
    assert downloads(world) == []


def test_a_link_ends_after_ten_minutes_and_reading_the_export_gives_another(
    trail: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ready(trail)
    own = time.time
    monkeypatch.setattr(time, "time", lambda: own() + 601)
    refused(trail, job["link"], 403, "bad_link")
    again = trail.api(key="acme.admin").get(f"{EXPORTS}/{job['id']}").json()
    assert again["link"] != job["link"]
    assert fetch(trail, again["link"]).status_code == 200


def altered(url: str, **changed: str) -> str:
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    return f"{urlsplit(url).path}?{urlencode({**query, **changed})}"


def test_a_link_that_was_altered_or_is_of_another_export_is_refused(trail: World) -> None:
    first, second = ready(trail), ready(trail)
    link = parse_qs(urlsplit(first["link"]).query)["link"][0]
    refused(trail, altered(first["link"], link=link[:-1] + ("A" if link[-1] != "A" else "B")), 403, "bad_link")
    refused(trail, altered(second["link"], link=link), 403, "bad_link")
    refused(trail, altered(first["link"], link=""), 403, "bad_link")
    refused(trail, urlsplit(first["link"]).path, 403, "bad_link")
    refused(trail, altered(first["link"], link=signing.dumps(["x"] * 6, salt="other")), 403, "bad_link")
    refused(trail, altered(first["link"], more="1"), 400, "bad_input")


def test_a_link_is_of_no_use_on_another_tenants_host_and_works_on_the_platforms(trail: World) -> None:
    job = ready(trail)
    refused(trail, job["link"], 404, "not_found", host="globex")
    assert fetch(trail, job["link"], host="platform").status_code == 200


def test_a_link_holds_when_the_key_that_signs_is_rotated(trail: World, settings: Any) -> None:
    job = ready(trail)
    former = settings.SECRET_KEY
    with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=[former]):
        assert fetch(trail, job["link"]).status_code == 200
    with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=[]):
        assert fetch(trail, job["link"]).status_code == 403


@pytest.fixture
def settings() -> Any:
    from django.conf import settings

    return settings


def test_a_suspended_tenants_link_is_refused(trail: World) -> None:
    job = ready(trail)
    trail.sql("UPDATE shared.tenants_tenant SET status = 'suspended' WHERE slug = 'acme'")
    answer = fetch(trail, job["link"], host="platform")
    assert (answer.status_code, answer.json()["code"]) == (403, "tenant_suspended")


def test_an_expired_export_is_gone_and_has_no_link(trail: World) -> None:
    job = ready(trail)
    trail.sql(f"UPDATE {trail.acme.schema_name}.audit_export SET due_at = now() - interval '1 s'")
    jobs.expire_exports()
    refused(trail, job["link"], 410, "file_gone")
    shown = trail.api(key="acme.admin").get(f"{EXPORTS}/{job['id']}").json()
    assert (shown["state"], shown["link"]) == ("expired", None)


def test_a_file_that_is_lost_is_gone(trail: World, files: Path) -> None:
    job = ready(trail)
    shutil.rmtree(files)
    refused(trail, job["link"], 410, "file_gone")


def test_a_link_says_nothing_of_where_the_file_is(trail: World, files: Path) -> None:
    job = ready(trail)
    (path,) = [one for one in files.rglob("*") if one.is_file()]
    assert path.name not in json.dumps(job)


# --- ranges

SIZE = 100


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("bytes=0-0", range(1)),
        ("bytes=99-", range(99, 100)),
        ("bytes= 0 - 9", range(10)),
        ("bytes=-1", range(99, 100)),
        ("bytes=9-1", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=0-1,5-6", None),
        ("items=0-1", None),
        ("bytes=٣-", None),
        (f"bytes=0-{'9' * 5000}", None),
        (f"bytes={'9' * 5000}-", None),
        (f"bytes=-{'9' * 5000}", None),
    ],
)
def test_a_range_is_read_as_the_standard_says(header: str | None, expected: range | None) -> None:
    assert part_of(header, None, '"e"', SIZE) == expected
    assert part_of(header, '"e"', '"e"', SIZE) == expected
    assert part_of(header, 'W/"e"', '"e"', SIZE) is None


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_beyond_the_file_is_refused(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as refusal:
        part_of(header, None, '"e"', SIZE)
    assert refusal.value.headers["Content-Range"] == "bytes */100"
    assert exports.LINK_LIFE.total_seconds() == 600
