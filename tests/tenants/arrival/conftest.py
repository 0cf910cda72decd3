"""A tenant that was exported, is gone, and is to arrive again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from world import World

if TYPE_CHECKING:
    from moving import Moving


@pytest.fixture
def moving(world: World) -> Moving:
    """The tenant that is moved: it is in no database now."""
    from moving import kept

    return kept(world).moving


@pytest.fixture
def place(world: World, tmp_path: Path) -> Path:
    """Where it was exported to."""
    from moving import kept

    return shutil.copytree(kept(world).directory, tmp_path / "out")
