"""A PostgreSQL cluster of its own for each process that runs tests, one template, one clone for each test that asks.

Roles, their memberships, settings and passwords are a cluster's, and any transaction in it holds pollers back: in one
that they shared, two tests at a time would disturb each other. It takes about two seconds to make.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from clones import cloned, leave, unchanged
from clusters import memory
from world import World, build

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = "world"
# No test depends on what is on the disk after a crash, but those that start a server of their own.
# Tests of a host application run by its settings: tests/capture alone, in a run of its own.
HOST = os.environ.get("DJANGO_SETTINGS_MODULE") == "hostapp.settings"
collect_ignore_glob = [] if HOST else ["capture/*"]
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the cluster and Django, unless this process only hands out the tests to workers.

    Not before coverage is measured, which in a worker begins with the session: modules are covered by being imported.
    """
    config = session.config
    if config.getoption("dist", "no") != "no" and not config.getoption("collectonly"):
        return
    _start_cluster(config)
    import django
    from django.conf import settings
    from django.test.utils import setup_test_environment

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    setup_test_environment()
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    _make_template()


def _start_cluster(config: pytest.Config) -> None:
    from config import embedded
    from config.local import prepare

    home = memory() or ROOT / "var"
    home.mkdir(exist_ok=True)
    for stale in home.glob("daybook-test-*"):
        if not Path(f"/proc/{stale.name.rpartition('-')[2]}").exists():
            shutil.rmtree(stale, ignore_errors=True)
    for name in ("DATABASE_URL", "MIGRATION_DATABASE_URL", "SECRET_KEY", "ALLOWED_HOSTS", "PORT"):
        os.environ.pop(name, None)
    os.environ["LOG_LEVEL"] = "CRITICAL"
    folder = home / f"daybook-test-{os.getpid()}"
    server = prepare(folder, database=TEMPLATE, settings=FAST)
    os.environ["DAYBOOK_TEST_SUPERUSER"] = server.dsn()

    def stop() -> None:
        embedded.stop(server)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(server.data.parent, ignore_errors=True)

    config.add_cleanup(stop)


def _make_template() -> None:

    from config import local

    local.migrate()
    os.environ["DAYBOOK_TEST_KEYS"] = json.dumps(build())
    leave()
    # Whatever a test has left running would else work in the template, between two tests, and so in all after them.
    with psycopg.connect(os.environ["DAYBOOK_TEST_SUPERUSER"], autocommit=True) as superuser:
        superuser.execute(f"ALTER DATABASE {TEMPLATE} ALLOW_CONNECTIONS false")


@pytest.fixture(scope="session")
def superuser() -> Iterator[psycopg.Connection[Any]]:
    """A connection of the cluster's superuser, for cloning."""
    with psycopg.connect(os.environ["DAYBOOK_TEST_SUPERUSER"], autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def standing(superuser: psycopg.Connection[Any]) -> list[str]:
    """The roles that stand in every clone."""
    return [name for (name,) in superuser.execute("SELECT rolname FROM pg_roles WHERE rolname ~ '^daybook_'")]


@pytest.fixture(autouse=True)
def unnoted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no look at the trail be noted in it, but in tests about that (`accesses`): they count entries."""
    if not request.node.get_closest_marker("accesses"):
        from audit import access

        monkeypatch.setattr(access, "note", lambda _kind: None)


@pytest.fixture(autouse=True)
def uncounted() -> None:
    """Let no test be refused for what others before it asked, or for files that they left to the collector."""
    from audit.api import outgoing
    from subscriptions import throttles

    throttles.forget()
    if outgoing._out:
        gc.collect()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this test's exported files, kept as the settings say."""
    from django.conf import settings
    from django.core.files.storage import FileSystemStorage

    from audit import exports

    stores: dict[str, Any] = settings.STORAGES
    kept = FileSystemStorage(**{**stores["exports"]["OPTIONS"], "location": tmp_path / "exports"})
    monkeypatch.setattr(exports, "storage", lambda: kept)
    return tmp_path / "exports"


@pytest.fixture
def world(superuser: psycopg.Connection[Any], standing: list[str]) -> Iterator[World]:
    """A clone of the world of this test's own."""
    with unchanged(superuser, standing), cloned(superuser, TEMPLATE) as clone:
        yield clone
