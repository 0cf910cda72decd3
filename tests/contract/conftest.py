"""One server for the tests of this folder that write entries of their own; others get a new one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from clones import unchanged
from running import Running, running

TEMPLATE = "world"


@pytest.fixture(scope="session")
def server(
    superuser: psycopg.Connection[Any], standing: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A server of its own, with acme, globex and their keys."""
    log = tmp_path_factory.mktemp("server") / "log"
    with unchanged(superuser, standing), running(superuser, TEMPLATE, log) as started:
        yield started


@pytest.fixture
def new_server(superuser: psycopg.Connection[Any], standing: list[str], tmp_path: Path) -> Iterator[Running]:
    """A server of a test's own, which may change what holds for the whole tenant."""
    with unchanged(superuser, standing), running(superuser, TEMPLATE, tmp_path / "log") as started:
        yield started
