"""A database server and a web server of a test's own, as processes that it may kill: the world, served by gunicorn."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from clusters import kill, temporary
from servers import free_port, processes

from config import embedded
from tenants.bootstrap import bootstrap

ROOT = Path(__file__).resolve().parent.parent
LOGS = "/api/v1/audit-logs"
_DATABASE = "standing"
_PATIENCE = 60.0
_SET_UP = """
import sys; sys.path[:0] = [sys.argv[1], sys.argv[1] + "/tests"]
import django, json, os; django.setup()
from pathlib import Path
from config import local
from world import build
local.migrate()
(Path(os.environ["STANDING"]) / "keys.json").write_text(json.dumps(build()))
"""
# `manage.py serve`, whose workers can be told by a header to die within a request: `before` the transaction ends
# or `after` it, when the answer is not yet sent.
_SERVE = """
import os, signal, sys; sys.path.insert(0, sys.argv[1])
import django; django.setup()
from django.conf import settings
from audit.api import views
from config import middleware, server

def die_at(place, owner, name):
    whole = getattr(owner, name)
    def dying(self, request, *rest):
        result = whole(self, request, *rest)
        if request.headers.get("X-Die") == place:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, dying)

die_at("before", views.AuditLogsView, "post")
middleware.RequestLog._log = staticmethod(lambda request, response, seconds: (
    os.kill(os.getpid(), signal.SIGKILL) if request.headers.get("X-Die") == "after" else None))
server.serve(server.bind(int(os.environ["PORT"]), ("127.0.0.1",)))
"""


@dataclass
class Standing:
    """What stands: the keys of the world, and how to kill and restart each part."""

    folder: Path
    settings: Mapping[str, str]
    port: int
    keys: dict[str, str] = field(default_factory=dict)

    _server: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.database = embedded.start(self.folder / "postgres", settings=self.settings)
        owner, app = self.database.secrets["owner"], self.database.secrets["app"]
        bootstrap(self.database.dsn(), database=_DATABASE, owner_password=owner, app_password=app)
        kept = {name: value for name, value in os.environ.items() if "DATABASE" not in name}
        self._environment = {
            **kept,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": self.database.dsn("daybook_app", app, _DATABASE),
            "SECRET_KEY": "standing" * 8,
            "ALLOWED_HOSTS": "localhost,127.0.0.1,.localhost",
            "PORT": str(self.port),
            "STANDING": str(self.folder),
        }
        rights = {
            "MIGRATION_DATABASE_URL": self.database.dsn("daybook_owner", owner, _DATABASE),
            "SUPERUSER_DATABASE_URL": self.database.dsn(database=_DATABASE),
        }
        made = self._python(_SET_UP, rights, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = made.communicate(timeout=_PATIENCE)[0].decode()
        assert made.returncode == 0, said[-3000:]
        self.keys = json.loads((self.folder / "keys.json").read_text(encoding="utf-8"))

    def _python(self, code: str, more: Mapping[str, str], **options: Any) -> subprocess.Popen[bytes]:
        environment = {**self._environment, **more}
        return subprocess.Popen([sys.executable, "-c", code, str(ROOT)], cwd=ROOT, env=environment, **options)

    def serve(self, **environment: str) -> None:
        """Start the web server, and wait until it answers."""
        with (self.folder / "output").open("ab") as output:
            self._server = self._python(_SERVE, environment, stdout=output, stderr=output, process_group=0)
        self.wait()

    def wait(self) -> None:
        """Wait until the web server can answer from the database."""
        began = time.monotonic()
        while time.monotonic() - began < _PATIENCE:
            with suppress(OSError, http.client.HTTPException):
                if self.send("GET", "/readyz", host="localhost")[0] == http.client.OK:
                    return
            time.sleep(0.02)
        raise AssertionError((self.folder / "output").read_text(encoding="utf-8")[-3000:])

    def kill_server(self) -> None:
        """Kill the web server with all its workers, at once."""
        assert self._server
        os.killpg(self._server.pid, signal.SIGKILL)
        self._server.wait(_PATIENCE)

    def kill_database(self) -> None:
        """Kill the database server with all its processes, at once."""
        kill(self.database)

    def start_database(self) -> None:
        """Start the database server again: it recovers by itself."""
        self.database = embedded.start(self.folder / "postgres", settings=self.settings)

    def send(
        self, method: str, path: str, body: bytes | None = None, *, host: str = "acme.localhost", **headers: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send a request of acme's writer on a connection of its own; return status, headers and body."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        key = {"Authorization": f"Bearer {self.keys['acme.write']}"} if host != "localhost" else {}
        try:
            client.request(method, path, body, {"Host": host, "Content-Type": "application/json", **key, **named})
            answer = client.getresponse()
            return answer.status, dict(answer.headers), answer.read()
        finally:
            client.close()

    def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement as superuser, in acme's schema."""
        with psycopg.connect(self.database.dsn(database=_DATABASE), autocommit=True) as connection:
            schema = connection.execute("SELECT schema_name FROM shared.tenants_tenant WHERE slug = 'acme'").fetchone()
            assert schema
            connection.execute(f"SET search_path = {schema[0]}".encode())
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def end(self) -> None:
        """End all of it."""
        for process in processes(str(self.folder)):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if self._server:
            self._server.wait(_PATIENCE)
        embedded.stop(self.database)
        shutil.rmtree(self.database.data.parent, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def standing(**settings: str) -> Iterator[Standing]:
    """Make both servers for the time of the block, with these settings of PostgreSQL."""
    found = Standing(temporary("daybook-standing-"), {"max_connections": "60", **settings}, free_port())
    try:
        yield found
    finally:
        found.end()
