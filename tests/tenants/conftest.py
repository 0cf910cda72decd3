"""What the tests of tenants share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from world import World

if TYPE_CHECKING:
    from labs import Lab


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
