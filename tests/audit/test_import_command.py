"""`manage.py audit import`: every line goes in once, or is reported by number with the reason."""

from __future__ import annotations

import io
import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from leaves import corpus_lines, missing
from world import World

from audit import ingest, rows
from audit.events import Event, RequestContext
from audit.importers import FORMATS, Unmappable
from audit.management import files
from audit.models import AuditLog

CORPUS = {"github": "github.jsonl", "okta": "okta.jsonl", "cloudtrail": "aws_cloudtrail.jsonl"}


def event(number: int, **more: Any) -> dict[str, Any]:
    return {"action": "invoice.paid", "resource": {"type": "invoice", "id": str(number)}, **more}


def write(path: Path, *lines: Any) -> str:
    """Write lines (objects as JSON, bytes as they are) into a file; return its path."""
    path.write_bytes(b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines))
    return str(path)


def load(file: str, *options: str, vendor: str = "daybook", tenant: str = "acme") -> tuple[str, list[str]]:
    """Import a file; return the last line of standard output, and the lines of standard error."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("audit", "import", file, "--format", vendor, "--tenant", tenant, *options, stdout=out, stderr=err)
    except CommandError as error:
        error.args = (f"{error} [{out.getvalue().strip()}]",)
        raise
    return out.getvalue().strip(), err.getvalue().splitlines()


def invoices(world: World, slug: str = "acme") -> list[str]:
    """Return the resource ids of the imported entries, beyond all walls."""
    schema = world.tenant(slug).schema_name
    query = f"SELECT resource_id FROM {schema}.audit_log WHERE source = 'import' ORDER BY id"
    return [row[0] for row in world.sql(query)]


def test_each_line_is_imported_repeated_or_rejected_with_its_number_and_reason(world: World, tmp_path: Path) -> None:
    file = write(
        tmp_path / "events.jsonl",
        event(1),
        b"\n",
        b"{not json\n",
        event(2),
        event(1),
        {"resource": {"type": "invoice"}},
        b"[]\n",
    )
    tally, errors = load(file)
    assert tally == "lines=6 imported=2 repeated=1 rejected=3"
    assert errors[0].startswith("line 3: not JSON at character 2")
    assert errors[1:] == ["line 6: no `action`", "line 7: not a JSON object"]
    assert invoices(world) == ["1", "2"]


def test_a_repeated_import_adds_nothing(world: World, tmp_path: Path) -> None:
    file = write(tmp_path / "events.jsonl", *map(event, range(5)))
    assert load(file) == ("lines=5 imported=5 repeated=0 rejected=0", [])
    before = world.entries("acme")
    assert load(file) == ("lines=5 imported=0 repeated=5 rejected=0", [])
    assert world.entries("acme") == before


def test_a_line_is_the_same_whatever_the_order_of_its_keys_and_its_spaces(world: World, tmp_path: Path) -> None:
    line = event(1)
    turned = json.dumps(dict(reversed(line.items())), indent=None, separators=(" , ", " : ")).encode()
    assert load(write(tmp_path / "events.jsonl", line, turned))[0] == "lines=2 imported=1 repeated=1 rejected=0"


def test_the_same_line_in_another_format_or_of_another_tenant_is_another_event(world: World, tmp_path: Path) -> None:
    file = write(tmp_path / "events.jsonl", {"action": "org.add_member", "resource": {"type": "org", "id": "1"}})
    for vendor in ("daybook", "github"):
        assert load(file, vendor=vendor)[0] == "lines=1 imported=1 repeated=0 rejected=0"
    assert load(file, tenant="globex")[0] == "lines=1 imported=1 repeated=0 rejected=0"
    assert (len(invoices(world)), len(invoices(world, "globex"))) == (2, 1)


def test_an_event_that_the_ledger_refuses_does_not_take_its_batch_with_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MAX_ENTRY_BYTES", 2000)
    large = {4: "x" * 3000, 11: "y" * 3000}
    lines = [event(number, description=large.get(number, "")) for number in range(16)]
    tally, errors = load(write(tmp_path / "events.jsonl", *lines))
    assert tally == "lines=16 imported=14 repeated=0 rejected=2"
    assert [error.partition(":")[0] for error in errors] == ["line 5", "line 12"]
    assert all("larger than" in error for error in errors)
    assert invoices(world) == [str(number) for number in range(16) if number not in large]


def test_an_event_that_the_database_refuses_does_not_take_its_batch_with_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def misread(line: dict[str, Any]) -> Event:
        made = FORMATS_DAYBOOK(line)
        return replace(made, context=RequestContext(ip="not an address")) if made.resource.id == "2" else made

    monkeypatch.setitem(FORMATS, "daybook", misread)
    tally, errors = load(write(tmp_path / "events.jsonl", *map(event, range(5))))
    assert tally == "lines=5 imported=4 repeated=0 rejected=1"
    assert len(errors) == 1
    assert "line 3: " in errors[0]
    assert "not an address" in errors[0]
    assert invoices(world) == ["0", "1", "3", "4"]


FORMATS_DAYBOOK = FORMATS["daybook"]


def interrupted(calls: int, *, before: bool) -> Callable[..., Any]:
    """Return an `import_events` that is killed in its n-th call, before or after it has written."""
    whole, seen = ingest.import_events, Counter[str]()

    def run(events: Any) -> Any:
        seen["calls"] += 1
        if before and seen["calls"] == calls:
            raise KeyboardInterrupt
        written = whole(events)
        if seen["calls"] == calls:
            raise KeyboardInterrupt
        return written

    return run


@pytest.mark.parametrize("before", [True, False])
def test_an_import_that_is_killed_and_run_again_ends_complete_with_nothing_twice(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, before: bool
) -> None:
    monkeypatch.setattr(files, "BATCH", 3)
    file = write(tmp_path / "events.jsonl", *map(event, range(10)))
    with monkeypatch.context() as patch:
        patch.setattr(files, "import_events", interrupted(3, before=before))
        with pytest.raises(CommandError, match=r"Interrupted.*\[lines=6 imported=6 repeated=0 rejected=0\]") as caught:
            load(file)
    assert caught.value.returncode == 130
    assert invoices(world) == [str(number) for number in range(6)]
    assert load(file) == ("lines=10 imported=4 repeated=6 rejected=0", [])
    assert invoices(world) == [str(number) for number in range(10)]


def test_two_imports_of_one_file_at_once_write_each_line_once(world: World, tmp_path: Path) -> None:
    file = write(tmp_path / "events.jsonl", *map(event, range(1200)))
    tallies: list[str] = []

    def run() -> None:
        try:
            tallies.append(load(file)[0])
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = [dict(word.split("=") for word in tally.split()) for tally in tallies]
    assert [count["lines"] for count in counts] == ["1200", "1200"]
    assert sum(int(count["imported"]) for count in counts) == 1200
    assert sorted(invoices(world), key=int) == [str(number) for number in range(1200)]


def test_it_reads_standard_input(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Piped(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    data = b"\n".join(json.dumps(event(number)).encode() for number in range(3))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(Piped(data))))
    assert load("-") == ("lines=3 imported=3 repeated=0 rejected=0", [])
    assert invoices(world) == ["0", "1", "2"]


def test_a_file_that_cannot_be_read_is_one_line_that_names_it(world: World, tmp_path: Path) -> None:
    before = world.entries("acme")
    for path, reason in ((tmp_path / "missing.jsonl", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(CommandError, match=f"{path} cannot be read: {reason}") as caught:
            load(str(path))
        assert caught.value.returncode == 1
    assert world.entries("acme") == before


def test_a_file_of_bad_lines_alone_fails_and_an_empty_one_does_not(world: World, tmp_path: Path) -> None:
    before = world.entries("acme")
    bad = write(tmp_path / "bad.jsonl", b"nonsense\n", {"no": "event"})
    with pytest.raises(CommandError, match=r"--format|format.*\[lines=2 imported=0 repeated=0 rejected=2\]") as caught:
        load(bad)
    assert caught.value.returncode == 1
    assert load(write(tmp_path / "empty.jsonl"))[0] == "lines=0 imported=0 repeated=0 rejected=0"
    assert world.entries("acme") == before


def test_the_actor_stands_for_events_that_name_none_and_the_source_is_import(world: World, tmp_path: Path) -> None:
    named = event(2, actor={"type": "user", "id": "u-7", "label": "Zoe"})
    load(write(tmp_path / "events.jsonl", event(1), named), "--actor", "alice@acme.example")
    with world.scope("acme"):
        found = AuditLog.objects.filter(source="import").order_by("id")
        assert [(entry.actor_type, entry.actor_label, entry.user_id) for entry in found] == [
            ("user", "alice@acme.example", world_id(world, "alice")),
            ("user", "Zoe", None),
        ]


def world_id(world: World, name: str) -> Any:
    return world.sql("SELECT id FROM shared.tenants_user WHERE email LIKE %s", f"{name}@%")[0][0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tenant": "nope"}, "no tenant 'nope'"),
        ({"actor": "charlie@globex.example"}, "neither a member of acme nor platform staff"),
        ({"vendor": "syslog"}, "invalid choice"),
    ],
)
def test_a_wrong_tenant_actor_or_format_imports_nothing(
    world: World, tmp_path: Path, options: dict[str, str], message: str
) -> None:
    before = world.entries("acme")
    actor = ["--actor", options.pop("actor")] if "actor" in options else []
    with pytest.raises(CommandError, match=message):
        load(write(tmp_path / "events.jsonl", event(1)), *actor, **options)
    assert world.entries("acme") == before


def test_a_bar_is_shown_on_a_terminal_and_nowhere_else(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        terminal = True

        def isatty(self) -> bool:
            return self.terminal

    for terminal in (True, False):
        screen = Terminal()
        screen.terminal = terminal
        monkeypatch.setattr("sys.stderr", screen)
        file = write(tmp_path / f"{terminal}.jsonl", event(1, description=str(terminal)), b"nonsense\n")
        assert load(file)[0] == "lines=2 imported=1 repeated=0 rejected=1"
        assert ("importing" in screen.getvalue()) is terminal
        assert ("100%" in screen.getvalue()) is terminal


def test_history_and_activity_show_what_happened_and_who_did_it(world: World) -> None:
    with world.scope("acme", "alice"):
        AuditLog.log_action(None, "created", "invoice", "7", {"total": {"new": "12.50"}})
        AuditLog.log_action(None, "deleted", "invoice", "7")
    shown = io.StringIO()
    call_command("audit", "history", "invoice", "7", "--tenant", "acme", stdout=shown)
    newest, oldest = shown.getvalue().splitlines()
    assert newest.endswith("alice@acme.example deleted invoice (7)")
    assert oldest.endswith('alice@acme.example created invoice (7)  {"total": {"new": "12.50"}}')
    for who in ("alice@acme.example", str(world_id(world, "alice"))):
        found = io.StringIO()
        call_command(
            "audit", "activity", who, "--tenant", "acme", "--days", "99999999999", "--limit", "1", stdout=found
        )
        assert found.getvalue().splitlines() == [newest]


def sorted_out(vendor: str, lines: list[dict[str, Any]]) -> tuple[dict[str, dict[str, Any]], int, int]:
    """Return the accepted lines by their canonical JSON, and how many are repeated and how many rejected."""
    accepted: dict[str, dict[str, Any]] = {}
    rejected = repeated = 0
    for line in lines:
        try:
            FORMATS[vendor](line)
        except Unmappable:
            rejected += 1
            continue
        text = json.dumps(line, sort_keys=True)
        repeated += text in accepted
        accepted.setdefault(text, line)
    return accepted, repeated, rejected


@pytest.mark.parametrize("vendor", CORPUS)
def test_every_leaf_of_every_accepted_line_of_the_corpus_is_read_back_by_the_api(
    world: World, tmp_path: Path, vendor: str
) -> None:
    lines = corpus_lines(CORPUS[vendor])
    accepted, repeated, rejected = sorted_out(vendor, lines)
    assert len(accepted) > len(lines) / 2
    file = write(tmp_path / "corpus.jsonl", *lines)
    tally, errors = load(file, vendor=vendor)
    assert tally == f"lines={len(lines)} imported={len(accepted)} repeated={repeated} rejected={rejected}"
    assert len(errors) == rejected
    keys = dict(world.sql(f"SELECT digest, entry_id FROM {world.acme.schema_name}.audit_key"))
    api = world.api("acme", "acme.read")
    for line in accepted.values():
        answer = api.get(f"/api/v1/audit-logs/{keys[files.line_digest(vendor, line)]}")
        assert answer.status_code == 200
        assert missing(line, answer.json(), vendor) == []
    assert load(file, vendor=vendor)[0] == (
        f"lines={len(lines)} imported=0 repeated={len(accepted) + repeated} rejected={rejected}"
    )
