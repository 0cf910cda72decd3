"""The embedded PostgreSQL, with real processes: made, shared, private, and repaired after every kind of crash."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pytest
from clusters import ask, elsewhere, kill, lives, one_line, said

from config import embedded, embedded_account

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clusters import Start


def test_it_makes_and_serves_a_cluster(start: Start, place: Path) -> None:
    (place / "postgres").mkdir(mode=0o711)
    server = start()
    assert server.started
    shown = "SELECT current_setting(x) FROM unnest('{TimeZone,server_encoding,data_checksums,fsync}'::text[]) x"
    assert ask(server, shown) == ["UTC", "UTF8", "on", "off"]
    assert ask(server, "SELECT datlocale FROM pg_database WHERE datname = 'postgres'") == ["C.UTF-8"]
    by_parts = f"host='{server.host}' port={server.port} user=postgres password={server.password} dbname=postgres"
    with psycopg.connect(by_parts) as connection:
        assert connection.info.host == server.host


def test_it_listens_on_a_private_socket_only(running: embedded.Server) -> None:
    assert ask(running, "SHOW listen_addresses") == [""]
    assert stat.S_IMODE(running.socket.stat().st_mode) == 0o700
    assert stat.S_IMODE(running.data.stat().st_mode) == 0o700


def test_nobody_gets_in_without_a_password(running: embedded.Server) -> None:
    methods = set(ask(running, "SELECT auth_method FROM pg_hba_file_rules"))
    assert methods == {"scram-sha-256"}
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(host=running.host, port=running.port, user="postgres", dbname="postgres", passfile="/none")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(running.dsn(password="wrong"))


def test_its_passwords_are_kept_and_private(start: Start) -> None:
    first = start()
    embedded.stop(first)
    second = start()
    assert first.secrets == second.secrets
    assert len({second.secrets[name] for name in ("superuser", "owner", "app")}) == 3
    assert stat.S_IMODE((second.folder / "secrets.json").stat().st_mode) == 0o600
    assert second.password not in repr(second)


def test_it_reuses_a_server_that_runs(start: Start) -> None:
    first, second = start(), start()
    assert (first.started, second.started) == (True, False)
    assert second.pid == first.pid


def test_the_last_to_stop_ends_it(start: Start) -> None:
    first, second = start(), start()
    embedded.stop(first)
    embedded.stop(first)
    assert ask(second, "SELECT 1") == ["1"]
    embedded.stop(second)
    assert not lives(first.pid)


def test_a_fork_does_not_stop_it(running: embedded.Server) -> None:
    child = os.fork()
    if child == 0:
        embedded.stop(running)
        os._exit(0)
    os.waitpid(child, 0)
    assert ask(running, "SELECT 1") == ["1"]


def test_a_fork_does_not_keep_it(start: Start) -> None:
    server = start()
    child = os.fork()
    if child == 0:
        time.sleep(30)
        os._exit(0)
    try:
        embedded.stop(server)
        assert not lives(server.pid)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_ctrl_c_while_it_starts_stops_it(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded.stop(start())
    before = set(embedded._CHILDREN)

    def interrupted(done: Callable[[], bool], _: float) -> bool:
        if set(embedded._CHILDREN) - before:
            raise KeyboardInterrupt
        return done()

    with monkeypatch.context() as patch:
        patch.setattr(embedded, "_wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            start()
    (begun,) = set(embedded._CHILDREN) - before
    assert not lives(begun)
    assert start().started


def test_it_stops_when_its_folder_is_gone(start: Start, place: Path) -> None:
    server = start()
    (place / "postgres").rename(place / "moved")
    embedded.stop(server)
    assert not lives(server.pid)


def test_two_starts_at_once_make_one_server(place: Path) -> None:
    both = [elsewhere(place / "postgres") for _ in range(2)]
    answers = [said(process) for process in both]
    assert sorted(started for started, _ in answers) == [False, True]
    assert len({pid for _, pid in answers}) == 1
    for process in both:
        process.communicate()
    assert not lives(answers[0][1])


def test_it_takes_over_from_a_killed_starter(start: Start, place: Path) -> None:
    starter = elsewhere(place / "postgres")
    _, pid = said(starter)
    starter.kill()
    starter.communicate()
    server = start()
    assert (server.started, server.pid) == (False, pid)
    embedded.stop(server)
    assert not lives(pid)


def test_ctrl_c_does_not_reach_it(running: embedded.Server) -> None:
    assert os.getsid(running.pid) != os.getsid(0)


def test_it_survives_kill_9(start: Start) -> None:
    server = start()
    ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    kill(server)
    again = start()
    assert again.started
    assert ask(again, "SELECT answer FROM kept") == ["42"]


def test_it_waits_for_the_last_process_of_a_killed_server(start: Start) -> None:
    server = start()
    with psycopg.connect(server.dsn()) as connection:
        orphan = connection.info.backend_pid
        os.kill(orphan, signal.SIGSTOP)
        os.kill(server.pid, signal.SIGKILL)
        while lives(server.pid):
            time.sleep(0.01)
        timer = threading.Timer(1, os.kill, (orphan, signal.SIGCONT))
        begun = time.monotonic()
        timer.start()
        assert start().started
        assert time.monotonic() - begun > 0.9
        connection.close()
    timer.join()


def test_it_repairs_a_stale_lock(start: Start) -> None:
    server = start()
    lock = (server.data / "postmaster.pid").read_text(encoding="utf-8")
    socket_lock = server.socket / f".s.PGSQL.{server.port}.lock"
    owned = socket_lock.read_text(encoding="utf-8")
    embedded.stop(server)
    account = embedded_account.account_for(server.folder)
    account.folder(server.socket)
    foreign = subprocess.Popen(["/bin/sleep", "60"], **account.launch())
    try:
        for path, text in ((server.data / "postmaster.pid", lock), (socket_lock, owned)):
            path.write_text(text.replace(str(server.pid), str(foreign.pid)), encoding="utf-8")
            account.own(path)
        assert ask(start(), "SELECT 1") == ["1"]
        assert foreign.poll() is None
    finally:
        foreign.kill()
        foreign.wait()


def test_a_half_made_data_folder_is_made_again(start: Start, place: Path) -> None:
    for name in ("data", "making"):
        (place / "postgres" / name / "base").mkdir(parents=True)
    (place / "postgres" / "data" / "PG_VERSION").write_text("18\n", encoding="ascii")
    assert ask(start(), "SELECT 1") == ["1"]
    left = sorted(path.name for path in (place / "postgres").iterdir() if path.is_dir())
    assert [re.sub(r"\d+$", "", name) for name in left] == ["data", "data.half-made-", "socket"]


def test_a_folder_of_another_version_is_explained_and_kept(start: Start) -> None:
    server = start()
    embedded.stop(server)
    (server.data / "PG_VERSION").write_text("17\n", encoding="ascii")
    before = sorted(server.data.rglob("*"))
    with pytest.raises(embedded.EmbeddedError) as error:
        start()
    assert "was made by PostgreSQL 17, this is 18" in one_line(error)
    assert sorted(server.data.rglob("*")) == before


def test_lost_passwords_are_explained_and_data_kept(start: Start) -> None:
    server = start()
    embedded.stop(server)
    (server.folder / "secrets.json").unlink()
    with pytest.raises(embedded.EmbeddedError) as error:
        start()
    assert "secrets.json is gone but data are there" in one_line(error)
    assert (server.data / "PG_VERSION").exists()


def test_a_failed_start_is_explained(start: Start) -> None:
    with pytest.raises(embedded.EmbeddedError) as error:
        start(shared_buffers="plenty")
    assert 'invalid value for parameter "shared_buffers": "plenty"' in one_line(error)
    assert start().started
