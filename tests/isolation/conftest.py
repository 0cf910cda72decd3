"""What the tests of isolation share."""

from __future__ import annotations

from typing import Any

import pytest
from world import World


@pytest.fixture
def pair(world: World) -> dict[str, Any]:
    """The two tenants, each with one thing in its trail that bears its name."""
    from trying_urls import write

    from tenants.context import SYSTEM, tenant_scope

    tenants = {"acme": world.acme, "globex": world.globex}
    for slug, tenant in tenants.items():
        with tenant_scope(tenant, actor=SYSTEM):
            write("waved", slug)
    return tenants
