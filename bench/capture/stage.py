"""What a worker is ordered to do: furnish the tables, time and inspect operations, write and read many events."""

from __future__ import annotations

import gc
import itertools
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Any
from uuid import UUID

from django.db import connection
from psycopg.pq import Trace

from bench.base import cost
from bench.capture.adapter import EVENTS_OF_OBJECT, LAST, PEOPLE, Adapter, Work
from bench.capture.fields import values
from bench.capture.roster import BULK, BY_NAME, Operation

# What only the first times need (a query for the content type, say) is done before the last of so many.
_WARM = 4


class Stage:
    """The tables of one package: documents of one author that are saved, of another that bulk operations change."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self._numbers = itertools.count(1)

    def furnish(self) -> None:
        """Make tables, people and documents."""
        self.adapter.migrate()
        self.adapter.people()
        with self.adapter.group(context=False):
            author = self.adapter.author.objects.create
            self._single, self._many, self._new = (author(name=name).pk for name in ("single", "many", "new"))
            for one in (self._single, self._many):
                self._made(BULK, one)

    def measure(self, operation: str, times: int) -> dict[str, float]:
        """Return the seconds of one: CPU of both processes, and the clock's lower quartile."""
        chosen = BY_NAME[operation]
        works = iter(self._works(chosen, times))
        clocks: list[float] = []

        def one() -> None:
            work = next(works)
            began = perf_counter()
            work()
            clocks.append(perf_counter() - began)

        with self._opened(chosen) as opened:
            gc.collect()
            taken = cost(one, times, opened.info.backend_pid)
        return {"cpu": taken.cpu, "wall": statistics.quantiles([*clocks, clocks[0]], n=4, method="inclusive")[0]}

    def inspect(self, operation: str) -> dict[str, int]:
        """Return what one sends: statements and round trips; how many events it leaves, and Django's own call does."""
        chosen = BY_NAME[operation]
        works = self._works(chosen, _WARM if chosen.rows == 1 else 2)
        with self._opened(chosen):
            for work in works[:-1]:
                work()
        before = self._events()
        with self._opened(chosen) as opened:
            statements, trips = _sent(opened.pgconn, works[-1])
        events = native = self._events() - before
        if chosen.rows > 1 and getattr(type(self.adapter), chosen.verb) is not getattr(Adapter, chosen.verb):
            native = self._audited(chosen)
        return {"statements": statements, "trips": trips, "events": events, "native": native}

    def empty(self) -> None:
        """Remove all events."""
        self.adapter.empty()

    def update(self, times: int) -> int:
        """Save two fields of a document, each time in a request of its own; return how many events that left."""
        before = self._events()
        with self.adapter.group(context=False):
            docs = self._docs(self._single, BULK)
        rng = random.Random(7)
        for number in range(times):
            (doc,) = self._changed([rng.choice(docs)])
            self.adapter.requested(partial(self.adapter.save, doc), number)()
        return self._events() - before

    def seed(self, events: int) -> None:
        """Write events by SQL."""
        self.adapter.seed(events)

    def read(self, events: int, times: int) -> dict[str, list[float]]:
        """Return the milliseconds of reads of random objects and people among the seeded events."""
        rng = random.Random(7)
        objects = [UUID(int=rng.randrange(events // EVENTS_OF_OBJECT)) for _ in range(times)]
        last = min(LAST, events // PEOPLE)
        people = [rng.randrange(PEOPLE) + 1 for _ in range(times)]
        return {
            "history": [self._timed(partial(self.adapter.history, one), EVENTS_OF_OBJECT) for one in objects],
            "activity": [self._timed(partial(self.adapter.activity, one), last) for one in people],
        }

    def _timed(self, read: Callable[[], list[Any]], expected: int) -> float:
        with self.adapter.group(context=False):
            self.adapter.begin()
            began = perf_counter()
            found = read()
            took = (perf_counter() - began) * 1000
        assert len(found) == expected, f"{len(found)} events where {expected} were seeded"
        return took

    @contextmanager
    def _opened(self, operation: Operation) -> Iterator[Any]:
        """Open a group, and its transaction if it is one: what comes first is no part of an operation."""
        with self.adapter.group(context=operation.requested or operation.rows > 1):
            yield self.adapter.begin()

    def _works(self, operation: Operation, times: int, *, own: bool = True) -> list[Work]:
        """Return the operation as many times, all that it needs made before; `own` by the package's helper."""
        with self.adapter.group(context=False):
            works = list(getattr(self, f"_{operation.verb}")(self._call(operation.verb, own=own), times))
        if not operation.requested:
            return works
        return [self.adapter.requested(work, next(self._numbers)) for work in works]

    def _call(self, verb: str, *, own: bool) -> Callable[..., object]:
        if own or verb not in {"bulk_create", "bulk_update", "update"}:
            call: Callable[..., object] = getattr(self.adapter, verb)
            return call
        return partial(getattr(Adapter, verb), self.adapter)

    # --- operations, ready to run

    def _create(self, call: Callable[..., object], times: int) -> Iterator[Work]:
        return (partial(call, values(next(self._numbers), self._new)) for _ in range(times))

    def _save(self, call: Callable[..., object], times: int) -> Iterator[Work]:
        return (partial(call, doc) for doc in self._changed(self._docs(self._single, times)))

    def _delete(self, call: Callable[..., object], times: int) -> Iterator[Work]:
        made = self._made(times, self._new)
        docs = self.adapter.doc.objects.filter(pk__in=[doc.pk for doc in made])
        return (partial(call, doc) for doc in list(docs))

    def _bulk_create(self, call: Callable[..., object], times: int) -> Iterator[Work]:
        return (partial(call, self._unsaved(BULK, self._new)) for _ in range(times))

    def _bulk_update(self, call: Callable[..., object], times: int) -> Iterator[Work]:
        return (partial(call, self._changed(self._docs(self._many, BULK)), ["title", "number"]) for _ in range(times))

    def _update(self, call: Callable[..., object], times: int) -> Iterator[Work]:
        for number in itertools.islice(self._numbers, times):
            yield partial(call, self._of(self._many), title=f"Title {number}", number=number)

    # --- documents

    def _of(self, author: int) -> Any:
        return self.adapter.doc.objects.filter(author_id=author)

    def _docs(self, author: int, count: int) -> list[Any]:
        return list(self._of(author)[:count])

    def _changed(self, docs: Sequence[Any]) -> Sequence[Any]:
        """Change two fields in memory."""
        for doc in docs:
            doc.number = next(self._numbers)
            doc.title = f"Title {doc.number}"
        return docs

    def _unsaved(self, count: int, author: int) -> list[Any]:
        return [self.adapter.doc(**values(number, author)) for number in itertools.islice(self._numbers, count)]

    def _made(self, count: int, author: int) -> list[Any]:
        return list(self.adapter.doc.objects.bulk_create(self._unsaved(count, author)))

    # --- counting

    def _events(self) -> int:
        with self.adapter.group(context=False):
            return self.adapter.events()

    def _audited(self, operation: Operation) -> int:
        """Return how many events Django's own call leaves, for a package that has a helper."""
        (work,) = self._works(operation, 1, own=False)
        before = self._events()
        with self._opened(operation):
            work()
        return self._events() - before


def _sent(pgconn: Any, work: Work) -> tuple[int, int]:
    """Return how many statements Django sends for `work`, and how often it waits for the server's answer."""
    statements = 0

    def count(execute: Any, *arguments: Any) -> Any:
        nonlocal statements
        statements += 1
        return execute(*arguments)

    with tempfile.TemporaryFile("w+") as trace, connection.execute_wrapper(count):
        pgconn.trace(trace.fileno())
        pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
        try:
            work()
        finally:
            pgconn.untrace()
        trace.seek(0)
        return statements, sum("\tReadyForQuery\t" in line for line in trace)
