"""The examples of docs/api.md work as printed: `sh` in one terminal, in their order, and `python` between them.

A `json` block behind one of them shows its answer. `"..."` stands for any value, also within a text; an object with the
key `"..."` has further fields, and a list that ends with `"..."` further items. A `text` block is compared line by
line, and `...` stands for any part of a line.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from running import Running
from servers import ROOT

GUIDE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
ANY = "..."
MARK = "\n--- end of example {} ---\n"


@dataclass
class Example:
    """One example: where it stands, its language, its text, and what it is said to answer."""

    section: str
    language: str
    text: str
    shown: str = ""
    shown_as: str = ""


def examples() -> list[Example]:
    """Return all examples of the guide."""
    found: list[Example] = []
    parts = re.split(r"^## (.+)$", GUIDE, flags=re.MULTILINE)
    for section, text in zip(parts[1::2], parts[2::2], strict=True):
        for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            if language in {"sh", "python"}:
                found.append(Example(section, language, block))
            elif language in {"json", "text"}:
                assert found, f"An answer without a question in {section}"
                assert not found[-1].shown, f"Two answers to one question in {section}"
                found[-1].shown, found[-1].shown_as = block, language
    return found


def differs(shown: Any, answered: Any, place: str = "") -> list[str]:
    """Return where an answer is not what is shown."""
    if shown == ANY:
        return []
    if isinstance(shown, dict) and isinstance(answered, dict):
        names = shown.keys() - {ANY} | (set() if ANY in shown else answered.keys())
        missing = [f"{place}/{name} {'is not shown' if name in answered else 'is not answered'}"
                   for name in sorted(names) if name not in shown or name not in answered]  # fmt: skip
        both = sorted(names & shown.keys() & answered.keys())
        return missing + [it for name in both for it in differs(shown[name], answered[name], f"{place}/{name}")]
    if isinstance(shown, list) and isinstance(answered, list):
        wanted = shown[:-1] if shown and shown[-1] == ANY else shown
        if len(wanted) > len(answered) or (wanted is shown and len(wanted) != len(answered)):
            return [f"{place} has {len(answered)} items, not {len(wanted)}"]
        return [it for n, one in enumerate(wanted) for it in differs(one, answered[n], f"{place}/{n}")]
    if isinstance(shown, str) and isinstance(answered, str) and re.fullmatch(pattern(shown), answered, re.DOTALL):
        return []
    return [] if shown == answered else [f"{place} is {answered!r}, not {shown!r}"]


def pattern(shown: str) -> str:
    """Return what matches a text in which `...` stands for anything."""
    return ".*".join(re.escape(part) for part in shown.split(ANY))


def check(example: Example, output: str) -> None:
    """Hold the output of an example against what is shown."""
    where = f"## {example.section}\n{example.text}\nanswered\n{output[:3000]}"
    if example.shown_as == "json":
        assert differs(json.loads(example.shown), json.loads(output)) == [], where
    elif example.shown_as == "text":
        wanted, said = example.shown.strip().splitlines(), output.strip().splitlines()
        assert len(wanted) == len(said), where
        assert [one for one, line in zip(wanted, said, strict=True) if not re.fullmatch(pattern(one), line)] == [], (
            where
        )


def surroundings(server: Running) -> dict[str, str]:
    """Return the environment that the guide says the examples are run in."""
    keys = {word: server.keys[f"acme.{word.lower()}"] for word in ("READ", "WRITE", "ADMIN")}
    told = {"URL": server.host("acme"), "PLATFORM": server.url, "STAFF": server.keys["sam"], **keys}
    return {**os.environ, **told, "HOME": os.devnull}


def script(found: list[Example], folder: Path) -> str:
    """Return a shell script that runs all examples, with a mark after each."""
    lines = ["set -eu"]
    for number, example in enumerate(found):
        if example.language == "python":
            (folder / f"{number}.py").write_text(example.text, encoding="utf-8")
            lines.append(f"'{sys.executable}' {number}.py")
        else:
            lines.append(example.text)
        lines.append(f"printf '%s' '{MARK.format(number)}'")
    return "\n".join(lines)


def test_every_example_works_as_printed(new_server: Running, tmp_path: Path) -> None:
    found = examples()
    done = subprocess.run(
        ["/bin/sh", "-c", script(found, tmp_path)],
        check=False, cwd=tmp_path, env=surroundings(new_server), capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    rest = done.stdout
    for number, example in enumerate(found):
        output, mark, rest = rest.partition(MARK.format(number))
        assert mark, f"## {example.section}\n{example.text}\nfailed with\n{rest[-3000:]}\n{done.stderr[-3000:]}"
        check(example, output)
    assert done.returncode == 0, done.stderr


def test_the_guide_has_each_task() -> None:
    sections = {example.section for example in examples()}
    assert {"The same everywhere", "Read the trail", "Poll", "Catalogue of event types", "Move from WorkOS"} <= sections
    assert sum(bool(example.shown) for example in examples()) > 10


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", GUIDE)
    assert links
    assert [link for link in links if "://" not in link and not (ROOT / "docs" / link).exists()] == []


@pytest.mark.parametrize(
    ("shown", "answered"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": 1, "...": "..."}, {"b": 2}),
        ({"a": "x...z"}, {"a": "xy"}),
        ([1], [1, 2]),
        ([1, "..."], []),
        ({"a": {"b": None}}, {"a": {"b": 0}}),
        ([{"a": "..."}], [{}]),
        ({}, []),
    ],
)
def test_a_wrong_answer_would_be_noticed(shown: Any, answered: Any) -> None:
    assert differs(shown, answered)


@pytest.mark.parametrize(
    ("shown", "answered"),
    [
        ({"a": "...", "b": "x...z"}, {"a": [1], "b": "xyz"}),
        ({"a": 1, "...": "..."}, {"a": 1, "b": 2}),
        ([1, "..."], [1, 2, 3]),
        ([1, "..."], [1]),
        ({"a": [{"b": None, "...": "..."}]}, {"a": [{"b": None, "c": 1}]}),
    ],
)
def test_a_right_answer_is_taken(shown: Any, answered: Any) -> None:
    assert differs(shown, answered) == []
