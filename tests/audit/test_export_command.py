"""`manage.py audit export`: the same filters as the API's, into a file or to standard output."""

from __future__ import annotations

import gzip
import json
import sys
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from tqdm import tqdm
from trails import generated
from world import World

from audit import ledger
from audit.management import exporting
from audit.models import AuditLog


@pytest.fixture
def trail(world: World) -> World:
    with world.scope("acme"):
        ledger.append(AuditLog, generated(30))
    return world


def export(*arguments: str) -> str:
    """Run the verb; return what it says."""
    out = StringIO()
    call_command("audit", "export", "--tenant", "acme", *arguments, stdout=out)
    return out.getvalue()


def listed(world: World, **parameters: Any) -> list[str]:
    page = world.api(key="acme.read").get("/api/v1/audit-logs", limit="1000", **parameters).json()
    return [entry["id"] for entry in reversed(page["results"]) if entry["action"] != "trail.exported"]


def ids(data: bytes) -> list[str]:
    return [json.loads(line)["id"] for line in data.splitlines()]


def test_it_writes_a_file_for_its_owner_alone_and_says_how_many_entries(trail: World, tmp_path: Path) -> None:
    path = tmp_path / "trail.jsonl"
    said = export("--output", str(path), "--actor", "alice@acme.example")
    assert ids(path.read_bytes()) == listed(trail)
    assert said.strip() == f"{len(listed(trail))} entries written to {path}."
    assert path.stat().st_mode & 0o777 == 0o600
    with trail.scope("acme"):
        entry = AuditLog.objects.get(action="trail.exported")
    assert (entry.actor_label, entry.source) == ("alice@acme.example", "command")
    assert entry.metadata == {"format": "jsonl", "compress": None, "filter": {}}


def test_it_takes_the_filters_of_the_api(trail: World, tmp_path: Path) -> None:
    path = tmp_path / "trail.gz"
    where = ["--where", "action=invoice.*", "--where", "action=created", "--where", "resource_type=invoice"]
    export("--output", str(path), "--compress", "gzip", *where)
    expected = listed(trail, action=["invoice.*", "created"], resource_type="invoice")
    assert ids(gzip.decompress(path.read_bytes())) == expected
    assert expected


def test_it_writes_to_standard_output_and_says_nothing_else_there(
    trail: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(raw))
    assert export("--where", "actor=u-1") == ""
    assert ids(raw.getvalue()) == listed(trail, actor="u-1")


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("where", [[], ["--where", "action=invoice.*"], ["--where", "until=1999-01-01T00:00:00Z"]])
@pytest.mark.parametrize("estimated", [None, 3, 10**6])
def test_a_terminal_sees_how_much_is_done_of_what_there_is(
    trail: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: list[str], estimated: int | None
) -> None:
    if estimated is not None:
        monkeypatch.setattr(exporting, "_about_how_many", lambda *_asked: estimated)
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    path = tmp_path / "trail.jsonl"
    export("--output", str(path), *where)
    exported = len(ids(path.read_bytes()))
    first, *_, last = filter(None, screen.getvalue().split("\r"))
    assert first.startswith("exporting")
    if exported:
        assert f"/{tqdm.format_sizeof(estimated or exported)} " in first
        assert "100%" in last


@pytest.mark.parametrize(
    "arguments",
    [
        ("--where", "limit=5"),
        ("--where", "since=yesterday"),
        ("--where", "actor"),
        ("--where", "format=csv"),
        ("--format", "parquet", "--compress", "gzip"),
    ],
)
def test_what_the_api_refuses_is_refused_and_no_file_is_made(
    world: World, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    path, before = tmp_path / "trail", world.entries("acme")
    with pytest.raises(CommandError):
        export("--output", str(path), *arguments)
    assert not path.exists()
    assert world.entries("acme") == before


def test_a_file_that_is_there_is_not_overwritten(world: World, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("mine")
    with pytest.raises(CommandError, match="File exists"):
        export("--output", str(path))
    assert path.read_text() == "mine"


def test_a_run_that_is_interrupted_says_that_the_file_is_not_whole(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.export.pages", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(CommandError, match="not whole"):
        export("--output", str(tmp_path / "trail"))
