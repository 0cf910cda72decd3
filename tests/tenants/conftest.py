"""What the tests of tenants share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

# `Yard.relaxed` takes it as well.
LOCK = "hashtext('the guard role')"


@pytest.fixture
def alone() -> None:
    """Asked for beside `guard_role` by a test that changes who may become the guard."""


@pytest.fixture
def guard_role(request: pytest.FixtureRequest, superuser: psycopg.Connection[Any]) -> Iterator[None]:
    """Nobody else changes meanwhile who may become the guard: that is one thing for all databases of the server."""
    mode = "" if "alone" in request.fixturenames else "_shared"
    superuser.execute(f"SELECT pg_advisory_lock{mode}({LOCK})")
    yield
    superuser.execute(f"SELECT pg_advisory_unlock{mode}({LOCK})")
