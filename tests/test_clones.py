"""A clone is a test's own, but its roles are not: a test that leaves them changed is told."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from clones import unchanged

LEFT = {
    "a membership": ("GRANT daybook_guard TO daybook_owner", "REVOKE daybook_guard FROM daybook_owner"),
    "a right": ("ALTER ROLE daybook_platform CREATEDB", "ALTER ROLE daybook_platform NOCREATEDB"),
    "a setting": ("ALTER ROLE daybook_app SET jit = off", "ALTER ROLE daybook_app RESET ALL"),
    "a setting of all": ("ALTER ROLE ALL SET jit = off", "ALTER ROLE ALL RESET ALL"),
}


@pytest.mark.parametrize(("done", "undone"), LEFT.values(), ids=LEFT)
def test_a_test_that_leaves_this_fails(
    superuser: psycopg.Connection[Any], standing: list[str], done: str, undone: str
) -> None:
    try:
        with pytest.raises(AssertionError, match="not as they were"), unchanged(superuser, standing):
            superuser.execute(done)
    finally:
        superuser.execute(undone)


def test_one_that_undoes_what_it_did_or_makes_roles_of_its_own_does_not(
    superuser: psycopg.Connection[Any], standing: list[str]
) -> None:
    with unchanged(superuser, standing):
        for statement in (statement for pair in LEFT.values() for statement in pair):
            superuser.execute(statement)
        superuser.execute("CREATE ROLE daybook_more; GRANT daybook_more TO daybook_owner")
    superuser.execute("DROP ROLE daybook_more")
