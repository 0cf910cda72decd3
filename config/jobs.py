"""What runs in the background, how often, and the engine that runs it: a thread for each job.

Every server process runs all jobs (unless BACKGROUND_JOBS=off, where `manage.py work` does). Each job is short and
finds in the database what there is to do, takes it under a lock or leaves it to whoever has it: so any number of
processes may run, any of them may be killed at any time, and what it had begun is done by the next.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, connections
from psycopg_pool import PoolTimeout

from audit import jobs as audit_jobs
from audit.integrity import sequencer
from config import problems
from tenants.owner.access import OWNER

log = structlog.get_logger("daybook.jobs")

_LONGEST_PAUSE = 10.0


@dataclass(frozen=True, slots=True)
class Job:
    """A function that does some of what there is to do and returns how much that was, and the seconds between calls.

    While it finds something to do it is called again at once.
    """

    name: str
    every: float
    run: Callable[[], int]


def schedule() -> list[Job]:
    """Return the jobs of this installation: those of a database for each shard."""
    shards = [alias for alias in settings.DATABASES if alias != OWNER]
    return [
        *(Job(f"sequence {alias}", 0.1, partial(sequencer.sequence, alias)) for alias in shards),
        *(Job(f"index words {alias}", 0.5, partial(sequencer.index_words, alias)) for alias in shards),
        Job("export", 1.0, audit_jobs.run_exports),
        Job("expire exports", 60.0, audit_jobs.expire_exports),
    ]


class Engine:
    """Runs jobs until it is stopped."""

    def __init__(self, jobs: list[Job]) -> None:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=[job], name=job.name, daemon=True) for job in jobs]

    def start(self) -> None:
        """Begin, in threads of their own."""
        for thread in self._threads:
            thread.start()

    def stop(self, wait: float = 2.0) -> None:
        """End after what each job is at, or leave it to the next process after `wait` seconds in all."""
        self._over.set()
        until = time.monotonic() + wait
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _work(self, job: Job) -> None:
        pause = job.every
        while not self._over.is_set():
            try:
                done, pause = job.run(), job.every
            except (OperationalError, InterfaceError, PoolTimeout) as error:
                done, pause = 0, min(_LONGEST_PAUSE, pause * 2)
                log.warning("job_waits_for_database", job=job.name, again_in=pause, error=problems.reason(error))
            except Exception:
                # Whatever it is, what was begun is rolled back and tried again.
                done, pause = 0, min(_LONGEST_PAUSE, pause * 2)
                log.exception("job_failed", job=job.name, again_in=pause)
            if not done:
                connections.close_all()
                self._over.wait(pause)
        connections.close_all()
