"""`manage.py audit import` of the history that other Django packages kept, into a real trail."""

from __future__ import annotations

import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from dumped import DUMPED, PEERS, dumped_lines, found_in, missing_beside, missing_dumped
from world import World

from audit import ingest
from audit.importers import spill
from audit.importers.reader import Mapped
from audit.management import files
from audit.models import AuditLog

MODELS = str(PEERS / "models.json")
TALLIES = {
    "django-auditlog": (14, 20),
    "simple-history": (13, 4),
    "pghistory": (14, 2),
}


def load(file: str, vendor: str, *options: str) -> tuple[str, list[str]]:
    """Import a file; return the last line of standard output, and the lines of standard error."""
    out, err = io.StringIO(), io.StringIO()
    call_command("audit", "import", file, "--format", vendor, "--tenant", "acme", *options, stdout=out, stderr=err)
    return out.getvalue().strip(), err.getvalue().splitlines()


def peers(vendor: str) -> str:
    return str(PEERS / f"{DUMPED[vendor]}.jsonl")


def write(path: Path, *lines: Any) -> str:
    path.write_bytes(b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines))
    return str(path)


@pytest.mark.parametrize("vendor", DUMPED)
def test_history_is_moved_once_with_nothing_lost(world: World, vendor: str) -> None:
    events, joined = TALLIES[vendor]
    rest = f"rejected=0 joined={joined}"
    assert load(peers(vendor), vendor, "--models", MODELS) == (
        f"lines={events} imported={events} repeated=0 {rest}",
        [],
    )
    before = world.entries("acme")
    assert load(peers(vendor), vendor, "--models", MODELS) == (
        f"lines={events} imported=0 repeated={events} {rest}",
        [],
    )
    assert world.entries("acme") == before
    keys = dict(world.sql(f"SELECT digest, entry_id FROM {world.acme.schema_name}.audit_key"))
    api = world.api("acme", "acme.read")
    for one in found_in(vendor, dumped_lines(DUMPED[vendor])):
        if isinstance(one, Mapped):
            answer = api.get(f"/api/v1/audit-logs/{keys[files.line_digest(vendor, one.line)]}")
            assert answer.status_code == 200
            assert missing_dumped(one.line, answer.json(), vendor) == []


def test_contexts_are_read_back_whole(world: World) -> None:
    load(peers("pghistory"), "pghistory", "--models", MODELS)
    api = world.api("acme", "acme.read")
    page = api.get("/api/v1/audit-logs?limit=1000").json()["results"]
    entries = [entry for entry in page if entry["context"]["source"] == "import"]
    lines = dumped_lines("pghistory")
    contexts = {line["pk"]: line for line in lines if line["model"] == "pghistory.context"}
    told = [(entry, contexts.get(entry["metadata"]["pghistory"]["fields"].get("pgh_context"))) for entry in entries
            if isinstance(entry["metadata"]["pghistory"]["fields"].get("pgh_context"), str)]  # fmt: skip
    assert len(told) == 5
    assert all(line and missing_beside(line, entry, "pghistory", "context") == [] for entry, line in told)


def test_an_objects_history_is_told_in_the_order_in_which_it_happened(world: World) -> None:
    load(peers("simple-history"), "simple-history", "--models", MODELS)
    with world.scope("acme"):
        history = list(AuditLog.get_resource_history("webhook_provider", "1"))
    assert [entry.action for entry in history] == ["deleted", "updated", "updated", "updated", "created"]
    assert history[1].all_changes["retries"] == {"old": 3, "new": 5}
    assert history[1].description == "rotated after the incident"
    assert [entry.actor_id for entry in history] == ["unknown", "1", "1", "1", "1"]
    times = [entry.occurred_at for entry in history if entry.occurred_at]
    assert times == sorted(times, reverse=True)


def test_untold_names_make_no_other_lines_of_those_that_are_in(world: World) -> None:
    load(peers("simple-history"), "simple-history", "--models", MODELS)
    tally, errors = load(peers("simple-history"), "simple-history")
    assert tally == "lines=13 imported=0 repeated=8 rejected=5 joined=4"
    assert all("no `fields.id`: let the project tell the key of `shop.pasttaxzone`" in error for error in errors)


def test_the_trails_of_three_packages_are_told_of_one_resource(world: World) -> None:
    for vendor in DUMPED:
        load(peers(vendor), vendor, "--models", MODELS)
    with world.scope("acme"):
        renamed = [
            entry for entry in AuditLog.get_resource_history("tax_zone", "DE") if "name" in (entry.all_changes or {})
        ]
    changes = [entry.all_changes["name"] for entry in renamed if entry.action == "updated"]
    assert changes == [{"old": "Germany", "new": "Allemagne, été 🌞"}] * 3


def test_bad_lines_are_reported_by_number_and_the_others_go_in(world: World, tmp_path: Path) -> None:
    lines = dumped_lines("pghistory")
    stray = {**lines[-1], "pk": "stray"}
    file = write(tmp_path / "dump.jsonl", b"{not json\n", *lines, b"\n", {"action": "updated"}, stray, lines[0])
    tally, errors = load(file, "pghistory", "--models", MODELS)
    assert tally == "lines=18 imported=14 repeated=1 rejected=3 joined=2"
    assert errors[0].startswith("line 1: not JSON at character 2")
    assert errors[1:] == [
        "line 19: not a line of `dumpdata --format jsonl`: an object of `model`, `pk` and `fields`",
        "line 20: no event in this file refers to it",
    ]


def test_a_dump_that_grew_adds_what_is_new_and_compares_it_with_what_is_known(world: World, tmp_path: Path) -> None:
    lines = [line for line in dumped_lines("simple_history") if line["model"] == "shop.historicalwebhookprovider"]
    load(write(tmp_path / "old.jsonl", *lines[:3]), "simple-history", "--models", MODELS)
    tally, _ = load(write(tmp_path / "new.jsonl", *lines), "simple-history", "--models", MODELS)
    assert tally == "lines=5 imported=2 repeated=3 rejected=0"
    with world.scope("acme"):
        history = list(AuditLog.get_resource_history("webhook_provider", "1"))
    assert history[1].all_changes["retries"] == {"old": 3, "new": 5}


def test_a_dump_may_come_by_standard_input(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Piped(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    data = Path(peers("pghistory")).read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(Piped(data))))
    assert load("-", "pghistory", "--models", MODELS)[0] == "lines=14 imported=14 repeated=0 rejected=0 joined=2"


def test_an_import_that_is_killed_and_run_again_ends_complete(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ingest.import_events
    monkeypatch.setattr(files, "BATCH", 4)
    calls = iter(range(10))

    def interrupted(events: Any) -> Any:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return whole(events)

    with monkeypatch.context() as patch:
        patch.setattr(files, "import_events", interrupted)
        with pytest.raises(CommandError, match="Interrupted; run it again to complete it"):
            load(peers("simple-history"), "simple-history", "--models", MODELS)
    tally, _ = load(peers("simple-history"), "simple-history", "--models", MODELS)
    assert tally == "lines=13 imported=5 repeated=8 rejected=0 joined=4"


def test_a_bar_counts_lines_as_their_place_in_the_file_tells_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    load(peers("pghistory"), "pghistory", "--models", MODELS)
    assert "importing" in screen.getvalue()
    assert "14.0 lines" in screen.getvalue()
    assert "%" not in screen.getvalue()


@pytest.mark.parametrize(
    ("vendor", "content", "message"),
    [
        ("pghistory", b"[]", "models.json does not name models: it must be one object like"),
        ("pghistory", b"", "models.json does not name models: Expecting value"),
        ("pghistory", b"\xff", "models.json does not name models: 'utf-8' codec"),
        ("pghistory", None, r"models.json cannot be read: No such file or directory\."),
        ("okta", b"{}", r"--models is for django-auditlog, simple-history, pghistory\."),
    ],
)
def test_models_that_are_wrongly_told_import_nothing(
    world: World, tmp_path: Path, vendor: str, content: bytes | None, message: str
) -> None:
    before = world.entries("acme")
    models = tmp_path / "models.json"
    if content is not None:
        models.write_bytes(content)
    with pytest.raises(CommandError, match=message):
        load(peers("pghistory"), vendor, "--models", str(models))
    assert world.entries("acme") == before


def test_a_disk_that_is_full_is_one_line_that_says_where(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(spill.Spill, "put", full)
    before = world.entries("acme")
    with pytest.raises(CommandError, match=r"the folder that TMPDIR names: database or disk is full\."):
        load(peers("pghistory"), "pghistory")
    assert world.entries("acme") == before
