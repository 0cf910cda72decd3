"""Liveness is the process alone; readiness is a database that answers and has been migrated."""

from __future__ import annotations

import json

import pytest
from world import World


@pytest.mark.parametrize("host", ["platform", "acme"])
def test_a_migrated_database_is_ready(world: World, host: str) -> None:
    for path in ("/healthz", "/readyz"):
        answer = world.api(host).get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_an_unmigrated_database_is_not_ready_but_alive(world: World) -> None:
    world.sql("DROP SCHEMA gate CASCADE")
    answer = world.api("platform").get("/readyz")
    assert (answer.status_code, answer["Content-Type"], answer["Retry-After"]) == (503, "application/problem+json", "5")
    assert json.loads(answer.content)["code"] == "cannot_serve"
    assert json.loads(answer.content)["detail"] == "The database is not migrated."
    assert world.api("platform").get("/healthz").status_code == 200


def test_a_host_that_nobody_knows_is_asked_for_its_health_too(world: World) -> None:
    """A load balancer asks by address or by a name of its own, as long as ALLOWED_HOSTS has it."""
    assert world.api("unknown").get("/readyz").status_code == 200
    assert world.api("unknown").get("/api/v1/audit-logs").status_code == 404
