"""The engine of background jobs: it goes on, whatever happens to a job, and ends when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from world import World

from audit.models import AuditLog
from config import jobs
from config.jobs import Engine, Job

ROOT = Path(__file__).resolve().parents[2]


def until(met: Callable[[], object], seconds: float = 20) -> None:
    ends = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < ends, "it does not happen"
        time.sleep(0.01)


def test_a_job_that_finds_something_to_do_is_called_again_at_once() -> None:
    left, calls = [1, 1, 1, 0], list[float]()

    def run() -> int:
        calls.append(time.monotonic())
        return left.pop(0) if left else 0

    engine = Engine([Job("a", 60, run)])
    engine.start()
    until(lambda: len(calls) == 4)
    time.sleep(0.05)
    engine.stop(wait=60)
    assert len(calls) == 4


def test_a_job_that_fails_is_tried_again_and_holds_up_no_other() -> None:
    calls = {"bad": 0, "good": 0}

    def bad() -> int:
        calls["bad"] += 1
        raise ZeroDivisionError

    def good() -> int:
        calls["good"] += 1
        return 0

    engine = Engine([Job("bad", 0.01, bad), Job("good", 0.01, good)])
    engine.start()
    until(lambda: calls["bad"] > 2 and calls["good"] > 5)
    engine.stop(wait=60)


def test_a_stopped_engine_calls_nothing_more() -> None:
    calls = list[int]()

    def run() -> int:
        calls.append(1)
        return 0

    engine = Engine([Job("a", 0.001, run)])
    engine.start()
    until(lambda: calls)
    engine.stop(wait=60)
    before = len(calls)
    time.sleep(0.05)
    assert len(calls) == before


def test_the_schedule_gives_entries_their_positions(world: World) -> None:
    with world.scope("acme"):
        key = AuditLog.log_action(None, "a", "t", "1").id
    engine = Engine(jobs.schedule())
    engine.start()
    place = f"{world.acme.schema_name}.audit_log_position"
    try:
        until(lambda: world.sql(f"SELECT 1 FROM {place} WHERE %s = ANY (ids)", key))
    finally:
        engine.stop(wait=60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_works_until_it_is_told_to_end(world: World, number: signal.Signals) -> None:
    with world.scope("acme"):
        key = AuditLog.log_action(None, "a", "t", "1").id
    command = [sys.executable, "manage.py", "work"]
    place = f"{world.acme.schema_name}.audit_log_position"
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **world.environment()}, stdout=subprocess.DEVNULL
    ) as process:
        try:
            until(lambda: world.sql(f"SELECT 1 FROM {place} WHERE %s = ANY (ids)", key))
            process.send_signal(number)
            assert process.wait(20) == 0
        finally:
            process.kill()
