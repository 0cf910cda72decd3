"""The README's way to production: roles and database by an administrator, the owner's commands, the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from servers import ROOT, free_port, processes

PREFIX = "production"


@dataclass(frozen=True)
class Installation:
    """A database of its own, and the settings of the owner's commands and of the server, as files and as variables."""

    folder: Path
    owner: dict[str, str]
    app: dict[str, str]

    def manage(self, settings: dict[str, str], *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command with these settings and no others."""
        return subprocess.run(
            [sys.executable, "manage.py", *command],
            check=False, cwd=ROOT, env=settings, input=stdin, capture_output=True, text=True, timeout=120,
        )  # fmt: skip


@pytest.fixture
def installation(superuser: psycopg.Connection[tuple[Any, ...]], tmp_path: Path) -> Iterator[Installation]:
    """What an administrator has made."""
    from tenants.bootstrap import bootstrap

    admin = os.environ["DAYBOOK_TEST_SUPERUSER"]
    made = {"database": PREFIX, "owner_password": "o'w/n@r", "app_password": "a:p p", "prefix": PREFIX}
    assert bootstrap(admin, **made)
    assert not bootstrap(admin, **made)
    address = admin.partition("@")[2].replace("/postgres?", f"/{PREFIX}?")
    (tmp_path / "app").write_text(f"postgresql://{PREFIX}_app:{quote('a:p p', safe='')}@{address}\n")
    common = {"PATH": os.defpath, "SECRET_KEY": "x" * 40, "ALLOWED_HOSTS": "localhost,.example.com"}
    common |= {"DATABASE_URL_FILE": str(tmp_path / "app"), "DATABASE_ROLE_PREFIX": PREFIX, "LOG_LEVEL": "WARNING"}
    owner = f"postgresql://{PREFIX}_owner:{quote(made['owner_password'], safe='')}@{address}"
    yield Installation(tmp_path, {**common, "MIGRATION_DATABASE_URL": owner}, common)
    superuser.execute(f"DROP DATABASE {PREFIX} WITH (FORCE)")
    roles = superuser.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE %s", [f"{PREFIX}\\_%"]).fetchall()
    # The owner has granted memberships in the others, so it goes last.
    for (role,) in sorted(roles, key=lambda row: row[0].endswith("_owner")):
        superuser.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def answer(port: int, host: str, path: str) -> int:
    """Return the status of an answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=20) as answered:  # noqa: S310 - our own http address
            return int(answered.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_it_goes_from_an_empty_database_to_a_served_tenant(installation: Installation) -> None:
    manage, owner, app = installation.manage, installation.owner, installation.app
    port = str(free_port())

    early = manage({**app, "PORT": port}, "serve")
    assert (early.returncode, early.stderr) == (
        1, "The database is not migrated: run `manage.py upgrade` as its owner first.\n",
    )  # fmt: skip
    refused = manage(app, "migrate_schemas")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "Tables, roles and tenants are made by the owner's login: set MIGRATION_DATABASE_URL for this command.\n"
    )  # fmt: skip

    assert manage(owner, "migrate_schemas").returncode == 0
    staff = manage(owner, "createsuperuser", "--email", "you@example.com", stdin="a long enough passphrase\n")
    assert staff.stdout == "Created you@example.com, admin of the platform.\n", staff.stderr
    made = manage(owner, "tenants", "create", "acme", "--name", "Acme", "--domain", "acme.example.com")
    assert made.returncode == 0, made.stderr
    again = manage(owner, "migrate_schemas")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("No migrations to apply.") == 1
    assert again.stdout.endswith("Every tenant is up to date.\n")

    served = subprocess.Popen(
        [sys.executable, "manage.py", "serve"], cwd=ROOT, env={**app, "PORT": port}, process_group=0
    )
    try:
        deadline = time.monotonic() + 60
        while served.poll() is None and time.monotonic() < deadline:
            try:
                ready = answer(int(port), "localhost", "/readyz")
                break
            except OSError:
                time.sleep(0.1)
        assert ready == 200
        assert answer(int(port), "acme.example.com", "/api/v1/audit-logs") == 401
        assert answer(int(port), "other.example.com", "/api/v1/audit-logs") == 404
        assert answer(int(port), "elsewhere.test", "/api/v1/audit-logs") == 400
        served.send_signal(signal.SIGTERM)
        assert served.wait(30) == 0
        assert processes(f"PORT={port}\0") == []
    finally:
        if served.poll() is None:
            os.killpg(served.pid, signal.SIGKILL)
            served.wait(30)
