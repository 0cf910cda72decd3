"""The benchmark of capture: how its figures and tables follow from what its workers measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.__main__ import CAPTURE
from bench.capture import DEFAULT, environment, roster, table
from bench.capture.results import Outcome, figures, ratio

BY_NAME = {entrant.name: entrant for entrant in roster.ENTRANTS}


def outcome(name: str, *milliseconds: float, events: int = 1, trips: int = 1) -> Outcome:
    """Return an entrant for which all operations took so long, round by round."""
    entrant = BY_NAME[name]
    costs = {
        one.name: [{"cpu": took / 1000, "wall": took / 500} for took in milliseconds] for one in entrant.operations
    }
    found = {"statements": 1, "trips": trips, "events": events, "native": 0}
    return Outcome(entrant, "1.0", costs, {one.name: found for one in entrant.operations})


def measured(*outcomes: Outcome) -> dict[str, Outcome]:
    return {one.entrant.name: one for one in outcomes}


def test_a_ratio_is_the_median_of_ratios_within_rounds() -> None:
    plain, peer = outcome("plain", 1, 10, 2), outcome("auditlog", 3, 20, 8)
    assert ratio(peer, plain, "create", "cpu") == pytest.approx(3)


def test_a_package_is_shown_beside_what_it_is_compared_with() -> None:
    assert [one.name for one in roster.chosen(("auditlog",))] == ["plain", "auditlog"]
    assert [one.name for one in roster.chosen(("daybook",))] == ["plain", "plain_atomic", "daybook_plain", "daybook"]
    assert roster.chosen(()) == roster.ENTRANTS


def test_only_what_daybook_captures_has_an_aim() -> None:
    shown = measured(
        outcome("plain", 1), outcome("plain_atomic", 1), outcome("daybook_plain", 1), outcome("daybook", 1.5, trips=2)
    )
    aims = {one.name: (round(one.value, 3), one.aim, one.verdict) for one in figures(shown) if one.aim is not None}
    assert aims["create in request: daybook / daybook_plain"] == (1.5, 1.4, "missed")
    assert aims["qs.update 1000: daybook / plain_atomic"] == (1.5, 2.4, "met")
    assert aims["create(): daybook, round trips more than daybook_plain"] == (1, 0, "missed")
    assert all(": daybook / " in name or ": daybook, " in name for name in aims)
    shown["daybook"] = outcome("daybook", 1.5, events=0)
    assert not [one.name for one in figures(shown) if one.aim is not None and " / " in one.name]


def test_the_table_marks_what_captures_nothing() -> None:
    shown = measured(outcome("plain", 2), outcome("reversion", 3, events=0), outcome("pghistory", 4))
    rows = {line.split(" | ")[0].lstrip("| "): line for line in table.render(shown).splitlines() if "| " in line}
    assert rows["plain 1.0"].count("2.00 ms (4.00)") == len(roster.OPERATIONS)
    rendered = table.render(shown)
    assert rendered.count("1.5 (1.5) *") == rendered.count("2.0 (2.0) |") == len(roster.OPERATIONS)
    assert "at most" not in rendered


def test_the_table_has_the_reads_alone_if_nothing_else_was_measured() -> None:
    one = Outcome(BY_NAME["daybook"], "", reads={"history": [1.0, 2.0, 3.0], "activity": [4.0, 5.0, 6.0]})
    rendered = table.render(measured(one))
    assert "| daybook | - | - | - | - | - | - | - | 2 / 2.9 | 5 / 5.9 |" in rendered
    assert "CPU" not in rendered
    assert [(figure.value, figure.aim, figure.verdict) for figure in figures(measured(one))] == [
        (2.0, 3.0, "met"),
        (5.0, 3.0, "missed"),
    ]


def test_peers_are_pinned_with_hashes_and_run_on_our_versions() -> None:
    pinned = environment.PINNED.read_text(encoding="utf-8")
    ours = Path("requirements.lock").read_text(encoding="utf-8")
    for name in ("django", "psycopg", "psycopg-binary"):
        (version,) = re.findall(rf"^{name}==(\S+)", pinned, re.MULTILINE)
        assert f"\n{name}=={version} " in ours
    assert "http" not in pinned
    assert set(DEFAULT) < set(CAPTURE)
