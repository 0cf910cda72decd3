"""`manage.py flush` empties databases. Here it must not: not as the application's login, not as the owner."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from world import World


@pytest.mark.parametrize("database", ["default", "owner"])
def test_it_refuses_to_flush_a_database_and_keeps_every_row(world: World, database: str) -> None:
    before = world.sql("SELECT count(*) FROM shared.platform_log")
    with pytest.raises(CommandError, match="tenants drop"):
        call_command("flush", interactive=False, verbosity=0, database=database)
    assert world.sql("SELECT count(*) FROM shared.platform_log") == before
    assert world.sql("SELECT count(*) FROM shared.tenants_tenant") == [(2,)]
