"""What was measured of each entrant, and the figures that follow from it: ratios within rounds, medians over them."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bench.base import Figure, percentile
from bench.capture.roster import BYTES, READ, READS, ROUND_TRIPS, Entrant

CPU, WALL = "cpu", "wall"


@dataclass
class Outcome:
    """One entrant's: seconds by operation and round, what an operation sends and leaves, bytes, ms of reads."""

    entrant: Entrant
    version: str = ""
    costs: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    inspected: dict[str, dict[str, int]] = field(default_factory=dict)
    bytes_per_event: float | None = None
    reads: dict[str, list[float]] = field(default_factory=dict)

    def milliseconds(self, operation: str, kind: str) -> float:
        """Return the median over rounds."""
        return statistics.median(one[kind] for one in self.costs[operation]) * 1000

    def captures(self, operation: str) -> bool:
        """Tell whether the operation, as it was timed, left any event."""
        return self.inspected[operation]["events"] > 0


Outcomes = Mapping[str, Outcome]


def ratio(one: Outcome, base: Outcome, operation: str, kind: str) -> float:
    """Return the median over rounds of what one costs beside the other in the same round."""
    pairs = zip(one.costs[operation], base.costs[operation], strict=True)
    return statistics.median(mine[kind] / theirs[kind] for mine, theirs in pairs)


def figures(outcomes: Outcomes) -> list[Figure]:
    """Return all figures of what was measured."""
    return [
        figure
        for outcome in outcomes.values()
        for figure in (
            *_costs(outcomes, outcome),
            *_trips(outcomes, outcome),
            *_audited(outcome),
            *_bytes(outcome),
            *_reads(outcome),
        )
    ]


def aim(outcome: Outcome, value: float | None) -> float | None:
    """Return the aim if the figures are Daybook's own: the peers have none."""
    return value if outcome.entrant.aimed else None


def _costs(outcomes: Outcomes, outcome: Outcome) -> Iterator[Figure]:
    for operation in outcome.entrant.operations if outcome.costs else ():
        cpu, wall = (outcome.milliseconds(operation.name, kind) for kind in (CPU, WALL))
        name = f"{operation.title}: {outcome.entrant.name}"
        yield Figure(name, cpu, "ms", None, f"{wall:.3g} ms on the clock")
        for base in outcome.entrant.bases:
            beside, clock = (ratio(outcome, outcomes[base], operation.name, kind) for kind in (CPU, WALL))
            nothing = outcome.entrant.logs and not outcome.captures(operation.name)
            note = f"{clock:.2f} on the clock{'; captures nothing' if nothing else ''}"
            yield Figure(f"{name} / {base}", beside, "times", None if nothing else aim(outcome, operation.aim), note)


def _trips(outcomes: Outcomes, outcome: Outcome) -> Iterator[Figure]:
    for operation in outcome.entrant.operations if outcome.inspected else ():
        if operation.rows == 1 and outcome.entrant.bases:
            base = outcomes[outcome.entrant.bases[-1]].inspected[operation.name]
            sent = outcome.inspected[operation.name]
            name = f"{operation.title}: {outcome.entrant.name}, round trips more than {outcome.entrant.bases[-1]}"
            note = f"{sent['trips']} beside {base['trips']}; {sent['statements']} statements"
            yield Figure(name, sent["trips"] - base["trips"], "", aim(outcome, ROUND_TRIPS), note)


def _audited(outcome: Outcome) -> Iterator[Figure]:
    for operation in outcome.entrant.operations if outcome.inspected and outcome.entrant.logs else ():
        if operation.rows > 1:
            found = outcome.inspected[operation.name]
            name = f"{operation.title}: {outcome.entrant.name}, events"
            yield Figure(name, found["events"], "", None, f"{found['native']} by Django's own call")


def _bytes(outcome: Outcome) -> Iterator[Figure]:
    if outcome.bytes_per_event is not None:
        name = f"bytes per update event: {outcome.entrant.name}"
        yield Figure(name, outcome.bytes_per_event, "bytes", aim(outcome, BYTES))


def _reads(outcome: Outcome) -> Iterator[Figure]:
    for read in READS if outcome.reads else ():
        times = outcome.reads[read]
        name = f"read {read}: {outcome.entrant.name}, p50"
        yield Figure(name, percentile(times, 50), "ms", aim(outcome, READ), f"p95 {percentile(times, 95):.3g}")
