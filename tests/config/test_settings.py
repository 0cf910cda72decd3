"""Wrong settings stop the start of every command: one line with the setting's name and how to set it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from django.core.checks import registry

from audit.models import AuditLog
from config.checks import no_table_stands_in_both_schemas

ROOT = Path(__file__).resolve().parents[2]
GOOD = {
    "DATABASE_URL": "postgresql://app:secret@127.0.0.1:1/none",
    "SECRET_KEY": "x" * 50,
    "ALLOWED_HOSTS": "example.com",
}


def manage(*command: str, **changed: str | None) -> subprocess.CompletedProcess[str]:
    """Run manage.py as an installation with good settings would, some of them changed or (None) missing."""
    settings: Mapping[str, str | None] = {"PATH": os.defpath, **GOOD, **changed}
    environment = {name: value for name, value in settings.items() if value is not None}
    return subprocess.run(
        [sys.executable, "manage.py", *command], check=False, cwd=ROOT, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"DATABASE_URL": "postgresql://app:secret@host:none/db"},
            "DATABASE_URL is not of the form postgresql://login:",
        ),
        ({"MIGRATION_DATABASE_URL": "db.example"}, "MIGRATION_DATABASE_URL is not of the form postgresql://login:"),
        ({"SECRET_KEY": None}, "SECRET_KEY is not set: export SECRET_KEY="),
        (
            {"SECRET_KEY": None, "SECRET_KEY_FILE": "/none/key"},
            "SECRET_KEY_FILE names '/none/key', which cannot be read",
        ),
        ({"ALLOWED_HOSTS": None}, "ALLOWED_HOSTS is not set: export ALLOWED_HOSTS=example.com,.example.com"),
        ({"ALLOWED_HOSTS": ","}, "ALLOWED_HOSTS names nothing: export ALLOWED_HOSTS="),
        ({"POOL_MIN": "9", "POOL_MAX": "8"}, "POOL_MIN='9' is not a whole number from 0 to 8"),
        ({"STATEMENT_TIMEOUT": "1s"}, "STATEMENT_TIMEOUT='1s' is not a whole number"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL='LOUD' is unknown: set it to one of DEBUG, INFO,"),
        ({"SECURE_COOKIES": "maybe"}, "SECURE_COOKIES='maybe' is neither true nor false"),
    ],
)
def test_a_wrong_setting_is_one_line(changed: dict[str, str | None], message: str) -> None:
    done = manage("check", **changed)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


def test_good_settings_pass_the_same_command_without_a_database() -> None:
    done = manage("check")
    assert (done.returncode, done.stdout) == (0, "System check identified no issues (2 silenced).\n")


def test_a_short_secret_key_is_named_by_a_check() -> None:
    done = manage("check", SECRET_KEY="short")
    assert done.returncode == 1
    assert "(daybook.E001) SECRET_KEY is too short.\n\tHINT: Set SECRET_KEY to 32 random characters" in done.stderr


def test_a_wildcard_host_is_named_by_a_check() -> None:
    done = manage("check", ALLOWED_HOSTS="*")
    assert done.returncode == 1
    assert "(daybook.E002)" in done.stderr
    assert "HINT: Set ALLOWED_HOSTS=example.com,.example.com" in done.stderr


@pytest.mark.parametrize("name", ["tenants_tenant", "subscriptions_plan"])
def test_a_table_of_one_name_in_both_schemas_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert no_table_stands_in_both_schemas() == []
    monkeypatch.setattr(AuditLog._meta, "db_table", name)
    found = no_table_stands_in_both_schemas()
    assert [(error.id, error.msg, error.is_serious()) for error in found] == [
        ("daybook.E003", f"The table {name} stands in both schemas.", True)
    ]
    assert no_table_stands_in_both_schemas in registry.registry.get_checks()


@pytest.mark.parametrize("port", ["abc", "0", "65536"])
def test_a_wrong_port_stops_the_server(port: str) -> None:
    done = manage("serve", PORT=port)
    assert done.returncode == 1
    assert done.stderr == f"PORT={port!r} is not a whole number from 1 to 65535: set it to one.\n"


def test_a_port_in_use_stops_the_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = manage("serve", PORT=str(port))
    assert done.returncode == 1
    expected = f"Port {port} of 127.0.0.1 is in use: stop what uses it, or set PORT to another one.\n"
    assert done.stderr == expected


def test_a_host_of_another_machine_stops_the_server() -> None:
    done = manage("serve", HOST="192.0.2.1")
    assert done.returncode == 1
    assert done.stderr == "This machine has none of the addresses 192.0.2.1: set HOST to one of its own.\n"


@pytest.mark.parametrize("command", [["serve"], ["demo"], ["tenants", "list"], ["migrate_schemas"]])
def test_a_database_that_is_down_is_one_line(command: list[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        free = str(unused.getsockname()[1])
    done = manage(*command, PORT=free, MIGRATION_DATABASE_URL="postgresql://own:secret@127.0.0.1:1/none")
    assert done.returncode == 1
    assert done.stdout in {"", "Tables ... "}
    assert done.stderr.count("\n") == 1, done.stderr
    assert "database" in done.stderr
    assert "DATABASE_URL" in done.stderr
    assert "secret" not in done.stderr


def test_an_option_of_the_url_that_postgresql_does_not_know_is_named() -> None:
    done = manage("serve", PORT="0" * 3 + "1", DATABASE_URL=f"{GOOD['DATABASE_URL']}?colour=blue")
    assert done.returncode == 1
    assert done.stderr.startswith("DATABASE_URL has an option that PostgreSQL does not know: ")
    assert "colour" in done.stderr
