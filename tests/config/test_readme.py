"""The README's tour works as printed: each `sh` block is run in one terminal, against a server really started."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import ROOT, Demo, free_port

README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTIONS = ("A tour", "In your process", "From the command line")
MARK = "--- block {} ---"


def blocks() -> list[tuple[str, str]]:
    """Return each `sh` block of the tour with the `text` block that shows its output ("" without one)."""
    parts = re.split(r"^## (.+)$", README, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    found: list[tuple[str, str]] = []
    for fence in re.finditer(
        r"^```(\w+)\n(.*?)^```$", "".join(sections[name] for name in SECTIONS), re.MULTILINE | re.DOTALL
    ):
        language, text = fence.groups()
        if language in {"sh", "bash"}:
            found.append((text, ""))
        elif language == "text":
            assert not found[-1][1], "one output belongs to one block"
            found[-1] = (found[-1][0], text)
    return found


def pattern(shown: str) -> str:
    """Return what matches an output: `...` stands for anything, a line break for any space or none."""
    lines = [r".*?".join(re.escape(part) for part in line.split("...")) for line in shown.strip().splitlines()]
    return r"\s*".join(lines)


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """A demo started from nothing, in a folder of its own."""
    with Demo(free_port()) as started:
        started.wait()
        yield started


def terminal(folder: Path) -> Path:
    """Make a folder that looks like the project to somebody who stands in it, with another `var`."""
    place = folder / "terminal"
    place.mkdir()
    for name in ("manage.py", ".venv"):
        (place / name).symlink_to(ROOT / name)
    (place / "var").symlink_to(folder)
    return place


def test_the_tour_works_as_printed(demo: Demo) -> None:
    tour = blocks()
    script = "\n".join(f"{text}\necho; echo '{MARK.format(number)}'" for number, (text, _) in enumerate(tour))
    done = subprocess.run(
        ["/bin/sh", "-eu", "-c", script],
        check=False, cwd=terminal(demo.folder), env={**demo.environment, "HOME": os.devnull},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    rest = done.stdout
    for number, (text, shown) in enumerate(tour):
        output, found, rest = rest.partition(MARK.format(number))
        assert found, done.stderr
        assert re.search(pattern(shown), output, re.DOTALL), f"{text}\nprinted\n{output}\ninstead of\n{shown}"


def test_the_tour_has_what_a_newcomer_wants_to_see() -> None:
    tour = blocks()
    assert len(tour) == 10
    assert sum(bool(shown) for _, shown in tour) == 9
    for wanted in (
        "/audit-logs",
        "change-plan",
        "platform-logs",
        "/api/schema",
        "manage.py shell",
        "row_changes",
        "audit import",
    ):
        assert any(wanted in text for text, _ in tour), wanted


def test_a_wrong_output_would_be_noticed() -> None:
    assert re.search(pattern('{"a":"...",\n"b":1}'), '{"a":"x", "b":1}', re.DOTALL)
    assert not re.search(pattern('{"a":"...","b":1}'), '{"a":"x","b":2}', re.DOTALL)


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).exists()] == []
