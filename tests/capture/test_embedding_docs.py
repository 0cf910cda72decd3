"""docs/embedding.md is true: code that names its file stands there, all else is run as it is printed, in its order.

Python runs in this process, and so do commands, until the document changes the host application. That is done to a
copy, whose commands are processes of their own. This process then plays the program of before.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from celery.contrib.testing.worker import start_worker
from django.contrib.postgres.fields import ArrayField
from django.core.management import CommandError, call_command
from hostapp import jobs
from hostapp.models import Organization, Sample, Series
from world import World

from audit.capture import register
from audit.models import AuditLog
from audit.signals import audit_logged
from config import local
from tenants.doctor.examination import examine

ROOT = Path(__file__).resolve().parent.parent.parent
HOST = ROOT / "tests" / "hostapp"
GUIDE = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")
ELISION = "# ...\n"
_NAMED = re.compile(r"# ([\w/]+\.py)\n")


@dataclass(frozen=True)
class Block:
    """A block of the document, with the output that is printed behind it ("" without)."""

    language: str
    text: str
    shown: str = ""

    @property
    def file(self) -> Path | None:
        """The file that it quotes, if its first line names one."""
        named = _NAMED.match(self.text) if self.language == "python" else None
        if named is None:
            return None
        return next(place / named[1] for place in (HOST.parent, ROOT) if (place / named[1]).exists())


def blocks() -> Iterator[Block]:
    """Yield the blocks in order."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    for (language, text), (following, shown) in zip(found, [*found[1:], ("", "")], strict=True):
        if language != "text":
            yield Block(language, text, shown if following == "text" else "")


def rows_under(heading: str) -> list[list[str]]:
    """Return the cells of the first table whose head begins with a word."""
    table = GUIDE.partition(f"| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def pattern(shown: str) -> str:
    """Return what matches an output: `...` stands for anything, a line break for any space or none."""
    lines = [r".*?".join(re.escape(part) for part in line.split("...")) for line in shown.strip().splitlines()]
    return r"\s*".join(lines)


def check(block: Block, printed: str) -> None:
    """Hold that a block printed what stands behind it, and nothing else."""
    right = re.fullmatch(pattern(block.shown), printed.strip(), re.DOTALL)
    assert right, f"{block.text}\nprinted\n{printed}\ninstead of\n{block.shown}"


QUOTES = [block for block in blocks() if block.file]


@pytest.mark.parametrize("block", QUOTES, ids=lambda block: f"{block.file.name}-{QUOTES.index(block)}")
def test_code_that_names_its_file_stands_there(block: Block) -> None:
    assert block.file
    code = block.file.read_text(encoding="utf-8")
    _, _, quoted = block.text.partition("\n")
    for part in quoted.split(ELISION):
        # Imports have an order of their own in the file.
        imports = [line for line in part.splitlines() if re.match("(from|import) ", line)]
        assert [line for line in imports if line not in code.splitlines()] == []
        rest = "\n".join(line for line in part.splitlines() if line not in imports).strip("\n")
        assert f"\n{rest}\n" in code, rest


def test_a_wrong_output_would_be_noticed() -> None:
    check(Block("python", "", "linked {'tags': ...}\n"), "linked {'tags': 7}\n")
    for printed in ("", "unlinked {'tags': 7}\n", "linked {'tags': 7}\nand more\n"):
        with pytest.raises(AssertionError, match="instead of"):
            check(Block("python", "", "linked {'tags': ...}\n"), printed)


@pytest.fixture
def terminal(world: World, tmp_path: Path) -> Path:
    """A folder that looks like that of the host, with an application that may be changed."""
    place = tmp_path / "terminal"
    place.mkdir()
    (place / "manage.py").symlink_to(ROOT / "manage.py")
    shutil.copytree(HOST, place / "hostapp", ignore=shutil.ignore_patterns("__pycache__"))
    return place


@pytest.fixture
def listeners() -> Iterator[None]:
    """What listens to entries, as it was afterwards."""
    before = list(audit_logged.receivers)
    yield
    audit_logged.receivers[:] = before
    audit_logged.sender_receivers_cache.clear()


class Reader:
    """Somebody who does what the document says, from its beginning to its end."""

    def __init__(self, world: World, terminal: Path) -> None:
        self._world, self._terminal, self._changed = world, terminal, False
        self.names: dict[str, Any] = {"__name__": "reader"}

    def follow(self, block: Block) -> None:
        """Do what a block says."""
        done = {"python": self._run, "console": self._type, "diff": self._change}[block.language]
        done(block)

    def _run(self, block: Block) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(block.text, "docs/embedding.md", "exec"), self.names)  # noqa: S102 - our own document
        check(block, out.getvalue())

    def _type(self, block: Block) -> None:
        for typed in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, _, shown = typed.partition("\n")
            python, manage, *arguments = command.split()
            assert (python, manage) == ("python", "manage.py")
            printed = self._manage(arguments) if self._changed else called(*arguments)
            check(Block("console", command, shown), printed)

    def _manage(self, arguments: list[str]) -> str:
        """Run a command on the changed application and this world's database; return what it wrote."""
        urls = {name: os.environ[name] for name in ("DATABASE_URL", "MIGRATION_DATABASE_URL")}
        here = {name: url.replace("/world?", f"/{self._world.database}?") for name, url in urls.items()}
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            check=False, cwd=self._terminal, text=True, timeout=120, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, **here, "PYTHONPATH": str(self._terminal), "PYTHONUNBUFFERED": "1"},
        ).stdout  # fmt: skip

    def _change(self, block: Block) -> None:
        self._changed = True
        head, *lines = block.text.splitlines()
        path = self._terminal / head.removeprefix("--- ")
        before, after = (
            "".join(f"{line[1:]}\n" for line in lines if line[:1] in marks) for marks in ({" ", "-"}, {" ", "+"})
        )
        code = path.read_text(encoding="utf-8")
        assert code.count(before) == 1
        path.write_text(code.replace(before, after), encoding="utf-8")


def called(*arguments: str) -> str:
    """Run a command in this process; return what it wrote."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        call_command(*arguments, stdout=out)
    return out.getvalue()


@pytest.mark.usefixtures("listeners")
def test_the_guide_works_as_printed(world: World, terminal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(terminal)
    # That of another database.
    monkeypatch.setenv(local.SUPERUSER, "")
    reader = Reader(world, terminal)
    with start_worker(jobs.app, perform_ping_check=False, shutdown_timeout=30):
        for block in blocks():
            if not block.file:
                reader.follow(block)
    hold_what_is_said_of_no_downtime(world, reader.names["north"].pk)


def hold_what_is_said_of_no_downtime(world: World, north: UUID) -> None:
    """Let this process, which knows nothing of the new field, work on: its changes are captured, with that field."""
    with pytest.raises(CommandError):
        called("audit", "check", "--tenant", "acme")
    with world.scope("acme", "alice"):
        made = Organization.objects.create(name="Before", slug="before")
    world.sql(f"UPDATE {world.acme.schema_name}.hostapp_organization SET city = 'Oslo' WHERE id = %s", north)
    with world.scope("acme"):
        assert AuditLog.get_resource_history("organization", made.pk)[0].changes["city"] == {"new": ""}
        entry = AuditLog.get_resource_history("organization", north)[0]
        assert (entry.changes, entry.source) == ({"city": {"old": "", "new": "Oslo"}}, "database")


def test_the_guide_has_what_an_engineer_looks_for() -> None:
    ran = [block for block in blocks() if not block.file]
    assert len(ran) > 12
    assert len(QUOTES) > 12
    for wanted in ("makemigrations", "upgrade", "audit check", "move_plans"):
        assert any(f"manage.py {wanted}" in block.text for block in ran), wanted
    for wanted in ("carrying.go_on", "capture_paused", "state_of", "row_changes", "audit_logged"):
        assert any(wanted in block.text for block in ran), wanted


def test_every_option_is_explained_and_no_other() -> None:
    options = list(inspect.signature(register).parameters)[1:]
    assert sorted(cell.strip("`") for cell, *_ in rows_under("option")) == sorted(options)


NAMES = {"Decimal": Decimal, "UUID": UUID, "date": date, "datetime": datetime, "time": time, "timedelta": timedelta}
VALUES = [(field, value, told) for field, value, told in rows_under("field")]


def kinds(field: Any) -> list[str]:
    """Return the class of a field, and that of its items."""
    inner = [type(field.base_field).__name__] if isinstance(field, ArrayField) else []
    return [type(field).__name__, *inner]


@pytest.mark.parametrize(("said", "value", "told"), VALUES, ids=[f"{field}" for field, *_ in VALUES])
def test_values_are_told_as_the_table_says(world: World, said: str, value: str, told: str) -> None:
    wanted = re.findall(r"`(\w+)`", said)
    field: Any = next(each for model in (Sample, Series) for each in model._meta.get_fields() if kinds(each) == wanted)
    written = eval(value.strip("`"), {**NAMES, "timezone": timezone, "UTC": UTC})  # noqa: S307 - our own document
    with world.scope("acme"):
        made = field.model.objects.create(**{field.name: written})
        entry = AuditLog.get_resource_history(field.model.__name__.lower(), made.pk)[0]
    known = json.dumps(entry.changes[field.name]["new"], ensure_ascii=False, sort_keys=True)
    assert known == json.dumps(json.loads(told.strip("`")), ensure_ascii=False, sort_keys=True)


def test_the_api_lists_what_a_transaction_wrote(world: World) -> None:
    assert "GET /api/v1/audit-logs?transaction=<transaction_id>" in GUIDE
    with world.scope("acme", "alice"):
        made = Organization.objects.create(name="North", slug="north")
        said = AuditLog.log_action(action="plan.praised", resource_type="organization", resource_id=made.pk)
    answer = world.api(key="acme.read").get("/api/v1/audit-logs", transaction=said.transaction_id).json()
    assert [(entry["action"], entry["captured"]) for entry in answer["results"]] == [
        ("plan.praised", False),
        ("created", True),
    ]
    assert {entry["context"]["transaction_id"] for entry in answer["results"]} == {str(said.transaction_id)}


def test_a_pause_is_refused_in_a_migration(world: World) -> None:
    from audit.capture import capture_paused
    from tenants.errors import NoScope

    pause = partial(capture_paused, reason="a backfill")
    with pytest.raises(NoScope), pause():
        pytest.fail("it was paused")


def test_the_doctor_tells_of_the_hosts_tables_as_the_guide_says(world: World) -> None:
    found = {finding.id for finding in examine(slugs=["acme"]).findings if "hostapp" in finding.object}
    assert "table.extra" in found


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", GUIDE)
    headings = re.findall(r"^#+ (.+)$", GUIDE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    inside = [link[1:] for link in links if link.startswith("#")]
    outside = [link.partition("#")[0] for link in links if not link.startswith("#")]
    assert [link for link in inside if link not in anchors] == []
    assert [link for link in outside if not (ROOT / "docs" / link).exists()] == []
