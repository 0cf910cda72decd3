"""What capturing model changes costs in Django's audit packages, beside plain Django and beside Daybook.

One model, one server, one database and one process per package; each package as its documentation has it, at the
versions of `peers.txt`, with its own middleware and its helpers for bulk operations where it has them. Parts:

writes  what each operation costs, in rounds: all operations of all packages in random order, the first round discarded;
        what they send and how many events they leave
size    bytes of tables and indexes per event, over updates that are each made in a request of their own
reads   a million events written by SQL, then history of an object and last 50 events of a person (not by default)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter

from bench.__main__ import CAPTURE
from bench.base import FOLDER, Bench, Figure
from bench.capture import environment, roster, table
from bench.capture.databases import Databases, committing, databases
from bench.capture.process import Worker
from bench.capture.results import Outcome, figures
from bench.capture.roster import Entrant

DEFAULT = ("writes", "size")
ROUNDS, TIMES, UPDATES = 6, 40, 4_000
READS, UNWARM = 215, 15


def run(bench: Bench) -> list[Figure]:
    """Run the parts that are asked for, print the tables and write them to `var/bench/capture.md`."""
    parts = [part for part in bench.parts if part in CAPTURE] or DEFAULT
    measuring = Measuring(bench)
    for part in CAPTURE:
        if part in parts:
            getattr(measuring, part)()
    rendered = table.render(measuring.outcomes)
    print(f"\n{rendered}", flush=True)
    (FOLDER / "capture.md").write_text(rendered, encoding="utf-8")
    return figures(measuring.outcomes)


class Measuring:
    """One run: its entrants, their databases, and what was measured so far."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._entrants = roster.chosen(bench.peers)
        self._databases: Databases = databases(bench)
        self._python = environment.python()
        self.outcomes = {entrant.name: Outcome(entrant) for entrant in self._entrants}

    def writes(self) -> None:
        """Measure operations, with all workers at once of which one works at a time."""
        with committing(self._bench, durably=self._bench.durable), self._workers(self._entrants) as workers:
            _told("inspecting what operations send and leave", partial(self._inspect, workers))
            for number in range(ROUNDS + 1):
                _told(f"round {number} of {ROUNDS}", partial(self._round, workers, kept=number > 0))

    def size(self) -> None:
        """Measure sizes: these are the same when commits do not wait for the disk, and when two work at a time."""
        logging = [one for one in self._entrants if one.logs and not one.requests]
        settled = committing(self._bench, durably=False)
        with settled, self._workers(logging) as workers, ThreadPoolExecutor(2) as threads:
            _told(f"{UPDATES:,} updates each", lambda: list(threads.map(self._size, workers)))

    def reads(self) -> None:
        """Measure reads: one log at a time, for each takes a gigabyte."""
        for entrant in self._entrants:
            if entrant.reads:
                _told(f"{self._bench.events:,} events of {entrant.name}", partial(self._reads, entrant))

    @contextmanager
    def _workers(self, entrants: Sequence[Entrant]) -> Iterator[list[Worker]]:
        """Start workers and furnish their tables, two at a time; end them after the block."""
        workers: list[Worker] = []
        try:
            for one in entrants:
                python = Path(environment.OWN) if one.ours else self._python
                workers.append(Worker(one, python, self._databases.environment(one)))
            # Ours each make a tenant, one after the other.
            ours = [worker for worker in workers if worker.entrant.ours]
            groups = [*([worker] for worker in workers if not worker.entrant.ours), ours]
            with ThreadPoolExecutor(2) as threads:
                _told(f"furnishing {len(workers)} workers", lambda: list(threads.map(self._furnish, groups)))
            yield workers
        finally:
            for worker in workers:
                worker.end()

    def _furnish(self, workers: Sequence[Worker]) -> None:
        for worker in workers:
            self.outcomes[worker.entrant.name].version = worker.greeted()
            worker.ask("furnish")

    def _inspect(self, workers: Sequence[Worker]) -> None:
        for worker in workers:
            found = {one.name: worker.ask("inspect", operation=one.name) for one in worker.entrant.operations}
            self.outcomes[worker.entrant.name].inspected = found

    def _round(self, workers: Sequence[Worker], *, kept: bool) -> None:
        turns = [(worker, operation) for worker in workers for operation in worker.entrant.operations]
        random.shuffle(turns)
        for worker, operation in turns:
            sample = worker.ask("measure", operation=operation.name, times=TIMES if operation.rows == 1 else 1)
            if kept:
                self.outcomes[worker.entrant.name].costs.setdefault(operation.name, []).append(sample)

    def _size(self, worker: Worker) -> None:
        worker.ask("empty")
        before = self._databases.size(worker.entrant)
        events = worker.ask("update", times=UPDATES)
        if events:
            grown = self._databases.size(worker.entrant) - before
            self.outcomes[worker.entrant.name].bytes_per_event = grown / events

    def _reads(self, entrant: Entrant) -> None:
        with self._workers([entrant]) as (worker,):
            worker.ask("seed", events=self._bench.events)
            found = worker.ask("read", events=self._bench.events, times=READS + UNWARM)
        self.outcomes[entrant.name].reads = {read: times[UNWARM:] for read, times in found.items()}
        self._databases.drop(entrant)


def _told(what: str, work: Callable[[], object]) -> None:
    """Say what is done, and how long it took."""
    began = perf_counter()
    work()
    print(f"  {what}: {perf_counter() - began:.0f} s", flush=True)
