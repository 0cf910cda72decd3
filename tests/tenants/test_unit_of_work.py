"""A request is one unit of work: an answer of 400 or more, or an exception, leaves nothing but the refusal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings
from world import World

KEY = "acme.admin"


@pytest.fixture(autouse=True)
def trying() -> Iterator[None]:
    with override_settings(ROOT_URLCONF="trying_urls", TENANT_URLCONF="trying_urls"):
        yield


def trail(world: World, action: str) -> list[tuple[Any, ...]]:
    """Return outcome and description of the entries of an action in acme's trail, beyond all walls."""
    schema = world.sql("SELECT schema_name FROM shared.tenants_tenant WHERE slug = 'acme'")[0][0]
    return world.sql(f"SELECT outcome, description FROM {schema}.audit_log WHERE action = %s", action)


@pytest.mark.parametrize("status", [200, 201, 204, 302, 304, 399])
def test_an_answer_below_400_commits(world: World, status: int) -> None:
    assert world.api(key=KEY).get(f"/answer/{status}").status_code == status
    assert trail(world, "tried") == [("success", None)]


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 429, 500, 503])
def test_an_answer_from_400_on_rolls_back(world: World, status: int) -> None:
    before = world.entries("acme")
    assert world.api(key=KEY).get(f"/answer/{status}").status_code == status
    assert world.entries("acme") == before


@pytest.mark.parametrize(("name", "status"), [("value", 500), ("404", 404), ("domain", 400), ("database", 500)])
def test_an_exception_rolls_back(world: World, name: str, status: int) -> None:
    before = world.entries("acme")
    assert world.api(key=KEY).get(f"/fail/{name}").status_code == status
    assert world.entries("acme") == before


def test_a_fault_that_drf_answers_rolls_back(world: World) -> None:
    before = world.entries("acme")
    assert world.api(key=KEY).get("/rest").status_code == 400
    assert world.entries("acme") == before


@pytest.mark.parametrize("path", ["/answer/403", "/fail/403"])
def test_a_denial_is_recorded_after_the_rollback_and_nothing_else_is(world: World, path: str) -> None:
    before = world.entries("acme")
    assert world.api(key=KEY).get(path).status_code == 403
    assert trail(world, "tried") == []
    assert trail(world, "access.denied") == [("denied", f"GET {path}")]
    assert world.entries("acme") == before + 1


def test_a_key_that_lacks_the_right_is_refused_and_recorded(world: World) -> None:
    assert world.api(key="acme.write").get("/rest").status_code == 403
    assert trail(world, "tried") == []
    assert trail(world, "access.denied") == [("denied", "GET /rest")]


def test_what_waits_for_the_commit_has_no_scope(world: World) -> None:
    assert world.api(key=KEY).get("/on-commit").status_code == 200
    assert trail(world, "tried") == [("success", None)]


@pytest.mark.parametrize(("key", "path"), [(None, "/answer/200"), (KEY, "/outside")])
def test_a_view_without_a_unit_writes_nothing(world: World, key: str | None, path: str) -> None:
    before = world.entries("acme")
    assert world.api(key=key).get(path).status_code == 500
    assert world.entries("acme") == before
