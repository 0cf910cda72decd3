"""Clusters for the tests of the embedded PostgreSQL."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

import pytest
from clusters import FAST, copy, temporary

from config import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clusters import Start


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A folder with a cluster in it, to be copied: cheaper than to make one for each test."""
    folder = temporary("daybook-made-")
    embedded.stop(embedded.start(folder, settings=FAST))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def running(made: Path) -> Iterator[embedded.Server]:
    """A server for the tests that only look at one."""
    folder = made.with_name(f"{made.name}-running")
    copy(made, folder)
    with embedded.start(folder, settings=FAST) as server:
        yield server
    shutil.rmtree(folder)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may enter, removed afterwards."""
    folder = temporary("daybook-place-")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def start(place: Path, made: Path) -> Iterator[Start]:
    """Start a server (under `place` unless told) on a copy of `made`, stopped afterwards."""
    with contextlib.ExitStack() as stack:

        def begin(folder: Path = place / "postgres", **settings: str) -> embedded.Server:
            if not folder.exists():
                copy(made, folder)
            return stack.enter_context(embedded.start(folder, settings={**FAST, **settings}))

        yield begin
