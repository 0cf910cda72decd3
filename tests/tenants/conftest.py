"""What the tests of tenants share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from world import World

if TYPE_CHECKING:
    from labs import Lab

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


@pytest.fixture
def lab(world: World, tmp_path: Path) -> Iterator[Lab]:
    """Scratch migrations after the real ones."""
    from labs import Lab

    lab = Lab(tmp_path)
    with lab.open():
        yield lab


@pytest.fixture
def few(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Six tenants, acme and globex among them, in the order in which they are migrated."""
    from tenants import provisioning

    monkeypatch.setattr(provisioning, "on_created", [])
    for number in range(1, 5):
        provisioning.create_tenant(slug=f"t{number}", name=f"T{number}", domain=f"t{number}.localhost")
    return ["acme", "globex", "t1", "t2", "t3", "t4"]
