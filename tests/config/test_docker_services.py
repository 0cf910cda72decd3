"""The services of the composition, run against a fresh PostgreSQL: as processes here, in Docker where there is one."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from clusters import temporary
from images import DOCKER, Machine, composition
from servers import ROOT, free_port

from config import embedded

if TYPE_CHECKING:
    from clusters import Start

EVENT = {"action": "ops.checked", "resource": {"type": "server", "id": "1"}}


@pytest.fixture
def machine(start: Start) -> Iterator[Machine]:
    """What `docker compose up` would find: secrets just made, and a PostgreSQL that knows nothing of Daybook."""
    folder = temporary("daybook-image-")
    yield Machine(folder, start(max_connections="60").dsn())
    shutil.rmtree(folder)


def answer(port: int, path: str, host: str = "localhost", **headers: str) -> tuple[int, Any]:
    """Return status and text of an answer; headers with `body` are a POST of JSON."""
    body = headers.pop("body", None)
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body.encode() if body else None)
    for name, value in {"Host": host, **headers, **({"Content-Type": "application/json"} if body else {})}.items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=20) as answered:  # noqa: S310 - our own http address
            return answered.status, answered.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@contextmanager
def served(machine: Machine, port: int) -> Iterator[None]:
    """Run the service `web`, ready from here on, to the end that Docker gives it: status 0, and no word of an error."""
    web = machine.start("web", PORT=str(port), POOL_MAX="4")
    try:
        assert eventually(lambda: web.poll() is not None or answer(port, "/readyz")[0] == 200)
        assert web.poll() is None, web.communicate()[1]
        yield
        web.send_signal(signal.SIGTERM)
        assert (web.communicate(timeout=60)[1], web.returncode) == ("", 0)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(web.pid, signal.SIGKILL)


def eventually(true: Callable[[], bool]) -> bool:
    """Wait a minute at most for something to be true; what cannot be reached yet is not."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError):
            if true():
                return True
        time.sleep(0.1)
    return False


def files(machine: Machine) -> list[str]:
    """Return all that stands in the image's tree and its temporary folder."""
    return sorted(str(path) for folder in ("tree", "tmp") for path in (machine.folder / folder).rglob("*"))


def test_the_services_go_from_an_empty_server_to_an_entry_and_again(machine: Machine) -> None:
    port, before = free_port(), files(machine)
    assert machine.done("roles") == "The database daybook was made, its logins have their passwords.\n"
    early = machine.run("web", PORT=str(port), POOL_MAX="4")
    assert (early.returncode, "The database is not migrated" in early.stderr) == (1, True)
    assert machine.healthy(port).returncode == 1
    assert machine.done("migrate") == (
        "The shared tables are up to date.\nHardened the database.\nEvery tenant is up to date.\n"
        "The database is up to date.\n"
    )
    machine.done("manage", "tenants", "create", "acme", "--name", "Acme", "--domain", "acme.localhost")
    key = machine.done(
        "manage", "tenants", "key", "acme", "--issue", "ops", "--scope", "audit:write", "--scope", "audit:read"
    )
    bearer = {"Authorization": f"Bearer {key.strip()}"}
    token = {"Authorization": f"Bearer {(machine.secrets / 'metrics_token').read_text()}"}

    with served(machine, port):
        assert machine.healthy(port).returncode == 0
        status, entry = answer(port, "/api/v1/audit-logs", "acme.localhost", body=json.dumps(EVENT), **bearer)
        assert status == 201, entry
        assert answer(port, "/metrics")[0] == 401
        status, text = answer(port, "/metrics", **token)
        assert status == 200
        assert 'daybook_requests_total{method="POST",route="/api/v1/audit-logs",status="201"} 1.0' in text
        assert 'daybook_pool_connections{login="app",state="idle"}' in text
    assert files(machine) == before

    renew_passwords(machine)
    assert machine.done("roles") == "The database daybook is there, its logins have their passwords.\n"
    assert machine.done("manage", "tenants", "rekey") == "Renewed the passwords of 1 logins: daybook_cell_1.\n"
    assert machine.done("migrate") == (
        "The shared tables are up to date.\nEvery tenant is up to date.\nThe database is up to date.\n"
    )
    with served(machine, port):
        path = f"/api/v1/audit-logs/{json.loads(entry)['id']}"
        status, again = answer(port, path, "acme.localhost", **bearer)
        assert status == 200
        assert {**json.loads(again), "position": None} == json.loads(entry)


def renew_passwords(machine: Machine) -> None:
    """Put other passwords into the secrets of both logins."""
    for name in ("database_url", "migration_database_url"):
        file = machine.secrets / name
        file.write_text(re.sub(r":[^:@/]+@", ":n'ew%21@", file.read_text()))


def test_new_passwords_hold_once_the_roles_are_made_again(machine: Machine) -> None:
    machine.done("roles")
    renew_passwords(machine)
    refused = machine.run("web")
    assert refused.returncode == 1
    assert "password authentication failed" in refused.stderr
    assert "ew!" not in refused.stderr
    machine.done("roles")
    for name in ("database_url", "migration_database_url"):
        psycopg.connect((machine.secrets / name).read_text()).close()
    with psycopg.connect(machine.admin_dsn) as connection:
        stored = connection.execute(
            "SELECT rolpassword FROM pg_authid WHERE rolname ~ '^daybook_(app|owner)$'"
        ).fetchall()
    assert [row[0][:14] for row in stored] == ["SCRAM-SHA-256$"] * 2


def test_jobs_say_how_each_went_are_tried_again_and_end_when_they_are_told_to(machine: Machine) -> None:
    machine.done("roles")
    with psycopg.connect(machine.admin_dsn.replace("@/postgres?", "@/daybook?")) as connection:
        connection.execute("CREATE FUNCTION gate.clear_sessions() RETURNS int LANGUAGE sql AS 'SELECT 1 / 0'")
    failed = machine.run("jobs", "jobs", "once")
    assert failed.returncode == 1
    assert json.loads(failed.stderr.splitlines()[-1])["event"] == "job_failed"
    jobs = machine.start("jobs", JOBS_EVERY="1")
    try:
        assert said(jobs) == "job_failed"
        with psycopg.connect(machine.admin_dsn.replace("@/postgres?", "@/daybook?")) as connection:
            connection.execute(
                "CREATE OR REPLACE FUNCTION gate.clear_sessions() RETURNS int LANGUAGE sql AS 'SELECT 1'"
            )
        assert eventually(lambda: said(jobs) == "job_done")
        jobs.send_signal(signal.SIGTERM)
        assert jobs.wait(60) == 0
        with pytest.raises(ProcessLookupError):  # its sleep has ended too
            os.killpg(jobs.pid, 0)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(jobs.pid, signal.SIGKILL)
        jobs.communicate()


def said(jobs: subprocess.Popen[str]) -> str:
    """Return the next event that a process logs."""
    assert jobs.stderr is not None
    while line := jobs.stderr.readline():
        with suppress(ValueError):
            return str(json.loads(line)["event"])
    raise AssertionError(jobs.wait())


# --- waiting, and what administrators get wrong


def test_it_waits_for_a_database_that_is_starting(start: Start, place: Path) -> None:
    server = start()
    machine = Machine(place / "machine", server.dsn())
    embedded.stop(server)
    waiting = machine.start("roles", DATABASE_WAIT="60")
    try:
        time.sleep(1)
        assert waiting.poll() is None
        start()
        assert waiting.communicate(timeout=60)[0].startswith("The database daybook was made")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(waiting.pid, signal.SIGKILL)


def test_it_does_not_wait_for_ever(machine: Machine) -> None:
    file = machine.secrets / "database_url"
    file.write_text(file.read_text().replace("port=5432", "port=1"))
    for service in ("web", "jobs"):
        done = machine.run(service, DATABASE_WAIT="1")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            "The PostgreSQL that DATABASE_URL names took no connection within 1 s: see that it runs and that the "
            "address is right, or raise DATABASE_WAIT.\n"
        )


@pytest.mark.parametrize(
    ("name", "found", "wrong", "message"),
    [
        (
            "database_url",
            "daybook_app:",
            "daybook_web:",
            "DATABASE_URL names the login 'daybook_web', but this one is ",
        ),
        ("migration_database_url", "/daybook?", "/other?", "DATABASE_URL and MIGRATION_DATABASE_URL name different "),
        ("admin_database_url", "postgres:", "nobody:", "connection failed: "),
        ("admin_database_url", "postgresql://", "", "ADMIN_DATABASE_URL is not of the form postgresql://login:"),
    ],
)
def test_a_wrong_address_is_one_line_and_makes_nothing(
    machine: Machine, name: str, found: str, wrong: str, message: str
) -> None:
    file = machine.secrets / name
    right = file.read_text()
    assert found in right
    file.write_text(right.replace(found, wrong, 1))
    done = machine.run("roles")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert not roles(machine)


def test_a_login_without_a_password_is_not_made(machine: Machine) -> None:
    file = machine.secrets / "database_url"
    file.write_text(re.sub(r":[^:@/]+@", "@", file.read_text()))
    done = machine.run("roles")
    assert (done.returncode, done.stderr) == (
        1, "DATABASE_URL holds no password: its login could not be given one.\n",
    )  # fmt: skip
    assert not roles(machine)


def roles(machine: Machine) -> list[str]:
    """Return the roles of Daybook that the server has."""
    with psycopg.connect(machine.admin_dsn) as connection:
        rows = connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'daybook%'").fetchall()
    return [row[0] for row in rows]


@pytest.mark.parametrize("arguments", [["sh", "docker/entrypoint.sh"], ["sh", "docker/entrypoint.sh", "dance"]])
def test_an_unknown_verb_is_answered_with_the_known_ones(arguments: list[str]) -> None:
    done = subprocess.run(arguments, check=False, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (64, "")
    assert re.findall(r"^  ([a-z]+) ", done.stderr, re.MULTILINE) == ["roles", "migrate", "web", "jobs", "manage"]


@pytest.mark.parametrize("arguments", [[], ["wait"], ["roles", "now"]])
def test_the_module_says_how_it_is_called(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "config.database", *arguments]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "usage: python -m config.database wait NAME | roles\n")


def test_secrets_are_made_once_and_for_their_owner_alone(tmp_path: Path) -> None:
    made: list[dict[str, str]] = []
    for _ in range(2):
        subprocess.run(
            ["/bin/sh", str(DOCKER / "secrets.sh"), str(tmp_path / "secrets")], check=True, stdout=subprocess.DEVNULL
        )
        made.append({path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()})
    assert made[0] == made[1]
    assert set(made[0]) == set(composition()["secrets"])
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    random = {name: re.sub(r".*://\w+:|@.*", "", text) for name, text in made[0].items()}
    assert all(re.fullmatch(r"[A-Za-z0-9]{48}", text) for text in random.values())
    assert random["admin_database_url"] == random["superuser_database_url"] == random["postgres_password"]
    assert len(set(random.values())) == len(random) - 2


# --- with a Docker engine


def engine() -> bool:
    """Tell whether Docker and its composer can be used here."""
    asked: list[list[str]] = [["docker", "info"], ["docker", "compose", "version"]]
    return bool(shutil.which("docker")) and all(
        subprocess.run(command, check=False, capture_output=True, timeout=30).returncode == 0 for command in asked
    )


@pytest.fixture
def composed() -> Iterator[Callable[..., str]]:
    """`docker compose` in a project of its own, of a copy of this checkout; all that it made is removed."""
    if not engine():
        pytest.skip("there is no Docker engine here (`docker info`, `docker compose version`)")
    folder = temporary("daybook-docker-")
    shutil.copytree(
        ROOT,
        folder / "daybook",
        ignore=shutil.ignore_patterns(".venv", "var", ".git", "secrets", ".*_cache"),
        symlinks=True,
    )
    project = f"daybook-test-{uuid.uuid4().hex[:8]}"
    environment = {**os.environ, "DAYBOOK_PORT": str(free_port())}

    def compose(*arguments: str) -> str:
        command = ["docker", "compose", "-p", project, "-f", "docker/compose.yaml", *arguments]
        done = subprocess.run(
            command, check=False, cwd=folder / "daybook", env=environment, capture_output=True, text=True, timeout=1200
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    subprocess.run(["/bin/sh", "docker/secrets.sh"], cwd=folder / "daybook", check=True)
    yield compose
    compose("down", "--volumes", "--rmi", "local")
    shutil.rmtree(folder)


def test_docker_builds_the_image_and_runs_the_composition(composed: Callable[..., str]) -> None:
    composed("up", "--build", "--detach", "--wait", "web")
    run = ("run", "--rm", "-T", "manage", "tenants")
    composed(*run, "create", "acme", "--name", "Acme", "--domain", "acme.localhost")
    key = composed(*run, "key", "acme", "--issue", "ops", "--scope", "audit:write").strip()
    port = int(composed("port", "web", "8000").strip().rpartition(":")[2])
    bearer = {"Authorization": f"Bearer {key}"}
    status, text = answer(port, "/api/v1/audit-logs", "acme.localhost", body=json.dumps(EVENT), **bearer)
    assert status == 201, text
    assert composed("exec", "-T", "web", "id", "-u").strip() == "10001"
    # What one container exports, another one reads: it is not lost with the first.
    composed(*run, "drop", "acme", "--confirm", "Acme", "--export", "/backup/acme-final")
    assert "Imported acme" in composed(*run, "import", "/backup/acme-final")
    assert json.loads(composed("ps", "--format", "json", "web"))["Health"] == "healthy"
