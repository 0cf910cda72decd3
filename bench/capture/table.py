"""The tables of docs/benchmarks.md, in Markdown: what capturing costs, and what else tells packages apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.base import percentile
from bench.capture.results import CPU, WALL, Outcome, Outcomes, ratio
from bench.capture.roster import BYTES, OPERATIONS, READ, READS, ROUND_TRIPS, Operation

_SINGLE = tuple(operation for operation in OPERATIONS if operation.rows == 1 and not operation.requested)
_REQUESTED = tuple(operation for operation in OPERATIONS if operation.requested)
_BULK = tuple(operation for operation in OPERATIONS if operation.rows > 1)
_NONE = "-"


def render(outcomes: Outcomes) -> str:
    """Return both tables of what was measured; what was not is a dash."""
    costs = [outcome for outcome in outcomes.values() if outcome.costs]
    logs = [outcome for outcome in outcomes.values() if outcome.entrant.logs and not outcome.entrant.requests]
    logs = [outcome for outcome in logs if outcome.inspected or outcome.bytes_per_event or outcome.reads]
    parts = []
    if costs:
        head = ["CPU beside plain (on the clock)", *(operation.title for operation in OPERATIONS)]
        parts += [_table(head, [row for one in costs for row in _costs(outcomes, one)]), _LEGEND]
    if logs:
        aims = [_AIMS] if any(one.entrant.aimed for one in logs) else []
        parts.append(_table(_HEAD, [*map(_properties, logs), *aims]))
    return "\n".join(parts)


def _costs(outcomes: Outcomes, outcome: Outcome) -> Iterator[list[str]]:
    """Yield a row for each base; one without is shown in milliseconds."""
    name = _name(outcome)
    if not outcome.entrant.bases:
        yield [name, *(_absolute(outcome, operation) for operation in OPERATIONS)]
    for base in outcome.entrant.bases:
        label = name if len(outcome.entrant.bases) == 1 and base == "plain" else f"{name}, beside {base}"
        yield [label, *(_relative(outcome, outcomes[base], operation) for operation in OPERATIONS)]
    if outcome.entrant.aimed:
        yield ["at most", *(_NONE if operation.aim is None else f"{operation.aim:g}" for operation in OPERATIONS)]


def _absolute(outcome: Outcome, operation: Operation) -> str:
    cpu, wall = (outcome.milliseconds(operation.name, kind) for kind in (CPU, WALL))
    return f"{cpu:.2f} ms ({wall:.2f})"


def _relative(outcome: Outcome, base: Outcome, operation: Operation) -> str:
    if operation not in outcome.entrant.operations:
        return _NONE
    cpu, wall = (ratio(outcome, base, operation.name, kind) for kind in (CPU, WALL))
    nothing = outcome.entrant.logs and not outcome.captures(operation.name)
    return f"{cpu:.1f} ({wall:.1f}){' *' if nothing else ''}"


_LEGEND = """CPU of the client and of its PostgreSQL process; in brackets the clock's lower quartile. Ratios are within
a round, medians over rounds. `*`: captures nothing. `plain_atomic` and `daybook` do a group of writes in one
transaction, `daybook_units` each in a unit of work of its own, opening and commit included; all others commit each.
"""
_HEAD = (
    "",
    "SQL statements create / save / delete",
    "in request",
    "round trips create / save / delete",
    "in request",
    "rows audited of 1000: bulk_create / bulk_update / update",
    "with the package's helper",
    "bytes per update event",
    "history of an object, p50 / p95 ms",
    "last 50 of a person, p50 / p95 ms",
)
_TRIPS = f"{ROUND_TRIPS:g} more"
_AIMS = [
    "at most",
    _NONE,
    _NONE,
    _TRIPS,
    _TRIPS,
    _NONE,
    _NONE,
    f"{BYTES:g}",
    f"{READ:g} / {_NONE}",
    f"{READ:g} / {_NONE}",
]


def _properties(outcome: Outcome) -> list[str]:
    return [
        _name(outcome),
        *(_counts(outcome, group, "statements") for group in (_SINGLE, _REQUESTED)),
        *(_counts(outcome, group, "trips") for group in (_SINGLE, _REQUESTED)),
        _counts(outcome, _BULK, "native"),
        _helped(outcome),
        _NONE if outcome.bytes_per_event is None else f"{outcome.bytes_per_event:.0f}",
        *(_read(outcome, read) for read in READS),
    ]


def _name(outcome: Outcome) -> str:
    return f"{outcome.entrant.name} {outcome.version}".strip()


def _counts(outcome: Outcome, operations: Sequence[Operation], what: str) -> str:
    if not outcome.inspected:
        return _NONE
    return " / ".join(str(outcome.inspected[operation.name][what]) for operation in operations)


def _helped(outcome: Outcome) -> str:
    """Return what the helpers leave, where they leave more than Django's own calls."""
    native, helped = (_counts(outcome, _BULK, what) for what in ("native", "events"))
    return _NONE if native == helped else helped


def _read(outcome: Outcome, read: str) -> str:
    if not outcome.reads:
        return _NONE
    half, most = (percentile(outcome.reads[read], part) for part in (50, 95))
    return f"{_short(half)} / {_short(most)}"


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
