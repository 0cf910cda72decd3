"""One server for all tests of this folder that a worker runs: each writes entries of its own, and changes no other."""

from __future__ import annotations

from collections.abc import Iterator
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
