"""One pair of servers for the tests that kill them or talk to them as strangers do; each leaves them running."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from standing import Standing, standing


@pytest.fixture(scope="session")
def stand() -> Iterator[Standing]:
    """Both servers, with commits that wait for the disk, as by default."""
    with standing() as found:
        found.serve()
        yield found
