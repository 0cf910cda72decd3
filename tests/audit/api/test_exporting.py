"""The trail as a streamed file over HTTP: what is in it, who may have it, and that the trail tells of it."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.db import DatabaseError
from trails import generated
from units import run
from world import World

from audit import export, ledger
from audit.formats import render
from audit.models import AuditLog

EXPORT, LOGS = "/api/v1/audit-logs/export", "/api/v1/audit-logs"


def body(answer: Any) -> bytes:
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content)


def lines(answer: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in body(answer).splitlines()]


@pytest.fixture
def trail(world: World) -> World:
    with world.scope("acme"):
        ledger.append(AuditLog, generated(60))
    return world


def listed(world: World, **parameters: Any) -> list[dict[str, Any]]:
    """Return what a list shows, oldest first."""
    page = world.api(key="acme.admin").get(LOGS, limit="1000", **parameters).json()
    return list(reversed(page["results"]))


@pytest.mark.parametrize(
    "parameters",
    [{}, {"action": ["invoice.*", "-invoice.sent"]}, {"actor": "u-1"}, {"outcome": "denied"}, {"resource_id": "x/y"}],
)
def test_it_has_what_a_list_with_the_same_filter_has(trail: World, parameters: dict[str, Any]) -> None:
    expected = listed(trail, **parameters)
    found = lines(trail.api(key="acme.admin").get(EXPORT, format="jsonl", **parameters))
    assert found == expected


@pytest.mark.parametrize("form", ["ocsf", "cloudevents", "ecs"])
def test_each_line_is_the_entry_in_that_format(trail: World, form: str) -> None:
    expected = [render(form, entry) for entry in listed(trail)]
    assert lines(trail.api(key="acme.admin").get(EXPORT, format=form)) == expected


def test_csv_and_parquet_have_a_row_for_each_entry(trail: World) -> None:
    expected = [entry["id"] for entry in listed(trail)]
    api = trail.api(key="acme.admin")
    text = body(api.get(EXPORT, format="csv")).decode()
    assert [row["id"] for row in csv.DictReader(io.StringIO(text, newline=""))][: len(expected)] == expected
    table = pq.read_table(io.BytesIO(body(api.get(EXPORT, format="parquet"))))
    assert table.column("id").to_pylist()[: len(expected)] == expected


def test_gzip_is_the_same_file_compressed(trail: World) -> None:
    api = trail.api(key="acme.admin")
    answer = api.get(EXPORT, format="jsonl", compress="gzip", actor="u-1")
    assert answer["Content-Type"] == "application/gzip"
    assert "Content-Encoding" not in answer
    assert gzip.decompress(body(answer)) == body(api.get(EXPORT, format="jsonl", actor="u-1"))


@pytest.mark.parametrize(
    ("parameters", "suffix", "media_type"),
    [
        ({"format": "csv"}, "csv", "text/csv; charset=utf-8"),
        ({"format": "jsonl"}, "jsonl", "application/x-ndjson"),
        ({"format": "ocsf", "compress": "gzip"}, "ocsf.jsonl.gz", "application/gzip"),
        ({"format": "parquet"}, "parquet", "application/vnd.apache.parquet"),
    ],
)
def test_the_file_has_a_name_and_a_type_whatever_is_accepted(
    world: World, parameters: dict[str, str], suffix: str, media_type: str
) -> None:
    api = world.api(key="acme.admin")
    api.headers["accept"] = "text/html"
    answer = api.get(EXPORT, **parameters)
    assert body(answer)
    assert answer["Content-Type"] == media_type
    pattern = rf'attachment; filename="acme-trail-\d{{8}}T\d{{6}}Z\.{re.escape(suffix)}"'
    assert re.fullmatch(pattern, answer["Content-Disposition"])
    assert answer["Cache-Control"] == "no-store"


def told(world: World) -> list[AuditLog]:
    with world.scope("acme"):
        return list(AuditLog.objects.filter(action="trail.exported").order_by("id"))


def test_each_export_is_an_entry_that_says_which_and_stands_before_the_first_byte(trail: World) -> None:
    answer = trail.api(key="acme.admin").get(EXPORT, format="csv", actor="u-1")
    (entry,) = told(trail)
    assert (entry.actor_label, entry.operation, entry.resource_type) == ("acme admin", "read", "trail")
    assert entry.metadata == {"format": "csv", "compress": None, "filter": {"actor": ["u-1"]}}
    body(answer)
    again = trail.api(key="acme.admin").get(EXPORT, format="jsonl")
    found = [entry["action"] for entry in lines(again)]
    # What comes after its beginning is not in it, and its own entry does.
    assert (found.count("trail.exported"), len(told(trail))) == (1, 2)


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({}, "format"),
        ({"format": "xml"}, "format"),
        ({"format": ["csv", "jsonl"]}, "format"),
        ({"format": "csv", "compress": "zip"}, "compress"),
        ({"format": "parquet", "compress": "gzip"}, "compress"),
        ({"format": "csv", "limit": "5"}, "limit"),
        ({"format": "csv", "order": "asc"}, "order"),
        ({"format": "csv", "cursor": "x"}, "cursor"),
        ({"format": "csv", "since": "yesterday"}, "since"),
        ({"format": "csv", "unheard": "1"}, "unheard"),
        ({"format": "csv", "actor": "a\x00"}, "actor"),
    ],
)
def test_a_bad_parameter_is_named_and_nothing_is_exported(world: World, parameters: dict[str, Any], name: str) -> None:
    answer = world.api(key="acme.admin").get(EXPORT, **parameters)
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert [fault["parameter"] for fault in answer.json()["errors"]] == [name]
    assert told(world) == []


@pytest.mark.parametrize("key", ["acme.write", "globex.admin", None])
def test_whoever_may_not_export_gets_nothing(world: World, key: str | None) -> None:
    answer = world.api(key=key).get(EXPORT, format="jsonl")
    assert answer.status_code in {401, 403}
    assert told(world) == []


def test_another_method_is_refused(world: World) -> None:
    api = world.api(key="acme.admin")
    assert api.post(f"{EXPORT}?format=csv", {}).status_code == 405
    assert api.client.head(f"{EXPORT}?format=csv", headers=api.headers).status_code == 405
    assert told(world) == []


def test_it_is_there_with_a_slash_and_on_the_platforms_host_with_a_key(world: World) -> None:
    assert lines(world.api(key="acme.admin").get(f"{EXPORT}/", format="jsonl"))
    assert lines(world.api("platform", key="acme.admin").get(EXPORT, format="jsonl"))


def test_a_reader_who_goes_away_leaves_no_transaction(trail: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_REACH", 5)
    answer = trail.api(key="acme.admin").get(EXPORT, format="jsonl")
    next(iter(answer.streaming_content))
    answer.close()
    idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state LIKE 'idle in transaction%%'"
    assert trail.sql(idle, trail.database) == [(0,)]
    with trail.scope("acme"):
        assert run("SELECT 1") == 1


def test_a_break_shows_in_the_file(trail: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_REACH", 5)
    answer = trail.api(key="acme.admin").get(EXPORT, format="csv")
    stream = iter(answer.streaming_content)
    parts = [next(stream), next(stream)]
    monkeypatch.setattr(export, "_read", lambda *_: (_ for _ in ()).throw(DatabaseError("gone")))
    with pytest.raises(DatabaseError):
        parts.extend(stream)
    assert b"".join(parts).endswith(b"#export_interrupted\r\n")
