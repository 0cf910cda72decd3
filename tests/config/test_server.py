"""The server takes its port before anything else, and its pools fit into the database."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.db import connections
from programs import SERVER, lines, serving
from servers import free_port
from world import World

from config import server
from config.env import BadSetting

ROOT = Path(__file__).resolve().parents[2]
# The same, whose workers dwell on what comes before they can be stopped.
SLOW = f"""
import gunicorn.util, time
gunicorn.util.seed = lambda: (print("booting", flush=True), time.sleep(0.5))
{SERVER}"""


def test_it_takes_the_port_on_this_machine_alone() -> None:
    taken = server.bind(free_port())
    try:
        assert {made.getsockname()[0] for made in taken} <= set(server.LOOPBACK)
        assert taken[0].getsockname()[0] == "127.0.0.1"
    finally:
        for made in taken:
            made.close()


def test_it_refuses_a_port_that_is_taken() -> None:
    expected = f"^Port {(port := free_port())} of 127.0.0.1 is in use: stop what uses it, or set PORT"
    with closing(server.bind(port, ("127.0.0.1",))[0]), pytest.raises(BadSetting, match=expected):
        server.bind(port)


def test_an_address_that_the_machine_does_not_have_is_left_out() -> None:
    taken = server.bind(free_port(), ("192.0.2.1", "127.0.0.1"))
    assert [made.getsockname()[0] for made in taken] == ["127.0.0.1"]
    taken[0].close()


def test_the_pools_of_all_workers_fit_a_plain_postgresql() -> None:
    options = connections["default"].settings_dict["OPTIONS"]
    assert server.workers() * options["pool"]["max_size"] <= 100 - 10


def test_it_refuses_more_workers_than_the_database_has_connections_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.check()
    monkeypatch.setenv("WEB_CONCURRENCY", "12")
    expected = (
        r"WEB_CONCURRENCY times POOL_MAX is 192 connections, but PostgreSQL allows 200 \(and 10 should be left\): lower"
    )
    with pytest.raises(BadSetting, match=expected):
        server.check()


def test_it_says_that_the_database_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    where = connections["default"].settings_dict
    monkeypatch.setitem(where, "HOST", "127.0.0.1")
    monkeypatch.setitem(where, "PORT", "1")
    with pytest.raises(psycopg.OperationalError, match="Connection refused"):
        server.check()


def processes(argument: str) -> list[str]:
    """Return the running processes that were started with this argument; a zombie has none any more."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if argument.encode() in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
    return found


SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"]


@pytest.mark.parametrize("sign", SIGNALS)
def test_each_way_to_stop_it_ends_its_workers_and_says_nothing(sign: str) -> None:
    with serving(SERVER, port := free_port()) as process:
        assert lines(process, 1) == ["ready\n"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
            # A worker says which logins it knows besides its own: neither the owner's nor the superuser's.
            assert answer.read() == b"ok"
        os.kill(process.pid, getattr(signal, sign))
        said, errors = process.communicate(timeout=40)
    assert (said, errors, process.returncode) == ("ended\n", "", 0)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=2)
    assert processes(str(port)) == []


@pytest.mark.parametrize("sign", SIGNALS)
def test_a_worker_that_boots_when_it_is_stopped_ends_at_once_and_as_quietly(sign: str) -> None:
    with serving(SLOW, port := free_port()) as process:
        assert lines(process, 2) == ["ready\n", "booting\n"]
        os.kill(process.pid, getattr(signal, sign))
        began = time.monotonic()
        said, errors = process.communicate(timeout=40)
    # Gunicorn kills a worker that did not hear it after ten seconds.
    assert time.monotonic() - began < 8
    assert (said.replace("booting\n", ""), errors, process.returncode) == ("ended\n", "", 0)
    assert processes(str(port)) == []


def test_a_worker_that_is_just_giving_a_request_to_a_thread_ends_at_once() -> None:
    """A signal comes in between any two instructions: also while the pool of threads is locked by the loop itself."""
    worker: Any = object.__new__(server._Worker)
    worker.cfg, worker.tpool = SimpleNamespace(worker_int=lambda _worker: None), ThreadPoolExecutor(1)
    ended = threading.Event()

    def interrupted() -> None:
        with worker.tpool._shutdown_lock, suppress(SystemExit):
            worker.handle_quit(signal.SIGQUIT, None)
            raise AssertionError("it goes on")
        ended.set()

    threading.Thread(target=interrupted, daemon=True).start()
    assert ended.wait(10)
    assert worker.alive is False
