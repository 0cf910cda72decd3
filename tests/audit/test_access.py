"""Looks at the trail are told by the trail: once for each actor, kind and minute."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import call_command
from world import World

from audit import access
from audit.models import AuditLog
from tenants.errors import NoScope

pytestmark = pytest.mark.accesses
NOW = datetime(2026, 11, 26, 12, 0, 30, tzinfo=UTC)


class Clock(datetime):
    """A clock that stands."""

    moment = NOW

    @classmethod
    def now(cls, tz: Any = None) -> Any:  # noqa: ARG003 - as datetime's
        return cls.moment


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    monkeypatch.setattr(access, "datetime", Clock)
    monkeypatch.setattr(access, "_noted", {})
    monkeypatch.setattr(Clock, "moment", NOW)
    return Clock


def looks(world: World) -> list[tuple[str, str, str]]:
    with world.scope("acme"):
        entries = AuditLog.objects.filter(action__startswith="trail.").order_by("id")
        return [(entry.action, entry.actor_label, entry.operation) for entry in entries]


@pytest.mark.parametrize(
    "path", ["audit-logs", "resources/tenant/1/history", "actors/1/activity", "audit-logs?action=created&limit=1"]
)
def test_it_tells_who_reads_by_the_api(world: World, path: str) -> None:
    assert world.api(key="acme.read").get(f"/api/v1/{path}").status_code == 200
    assert looks(world) == [("trail.read", "acme read", "read")]


def test_who_goes_on_reading_is_told_once_a_minute(world: World, clock: type[Clock]) -> None:
    api = world.api(key="acme.read")
    for second in (30, 31, 59):
        clock.moment = NOW.replace(second=second)
        assert api.get("/api/v1/audit-logs").status_code == 200
    assert len(looks(world)) == 1
    clock.moment = NOW.replace(minute=1)
    api.get("/api/v1/audit-logs")
    assert len(looks(world)) == 2


def test_another_process_that_has_told_it_is_believed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.api(key="acme.read").get("/api/v1/audit-logs")
    monkeypatch.setattr(access, "_noted", {})
    world.api(key="acme.read").get("/api/v1/audit-logs")
    assert len(looks(world)) == 1


def test_many_at_once_are_told_once(world: World) -> None:
    acme, actor = world.acme, world.actor("alice")

    def look(_number: int) -> None:
        from django.db import connection

        from tenants.context import tenant_scope

        with tenant_scope(acme, actor=actor):
            access.note("read")
        connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(look, range(8)))
    assert looks(world) == [("trail.read", "alice@acme.example", "read")]


def test_each_reader_and_kind_is_told(world: World) -> None:
    for name in ("alice", "bob"):
        for kind in ("read", "exported"):
            with world.scope("acme", name):
                access.note(kind)
    assert len(looks(world)) == 4


def test_what_is_rolled_back_is_not_remembered(world: World) -> None:
    def looked_and_failed() -> None:
        with world.scope("acme", "alice"):
            access.note("read")
            raise ValueError("undone")

    with pytest.raises(ValueError, match="undone"):
        looked_and_failed()
    with world.scope("acme", "alice"):
        access.note("read")
    assert len(looks(world)) == 1


def test_a_refused_or_empty_handed_look_is_none(world: World) -> None:
    assert world.api(key="acme.write").get("/api/v1/audit-logs").status_code == 403
    assert world.api(key="acme.read").get("/api/v1/audit-logs?limit=no").status_code == 400
    assert world.api(key="acme.read").get(f"/api/v1/audit-logs/{'0' * 32}").status_code == 404
    assert looks(world) == []


def test_writing_is_no_look(world: World) -> None:
    event = {"action": "invoice.paid", "resource": {"type": "invoice", "id": "1"}}
    assert world.api(key="acme.write").post("/api/v1/audit-logs", event).status_code == 201
    assert looks(world) == []


def test_the_next_reader_sees_the_look(world: World) -> None:
    world.api(key="acme.read").get("/api/v1/audit-logs")
    api = world.api()
    api.sign_in("bob")
    (seen,) = api.get("/api/v1/audit-logs?action=trail.read").json()["results"]
    assert (seen["actor"]["label"], seen["resource"]["type"]) == ("acme read", "trail")


def test_the_admins_pages_are_looks(world: World) -> None:
    api = world.api()
    api.sign_in("alice")
    assert api.get("/admin/audit/auditlog/").status_code == 200
    assert looks(world) == [("trail.read", "alice@acme.example", "read")]


def test_an_entry_of_the_admin_is_a_look(world: World) -> None:
    api = world.api()
    api.sign_in("alice")
    with world.scope("acme"):
        key = AuditLog.objects.values_list("pk", flat=True)[0]
    assert api.get(f"/admin/audit/auditlog/{key}/change/").status_code == 200
    assert looks(world) == [("trail.read", "alice@acme.example", "read")]


@pytest.mark.parametrize("arguments", [("history", "tenant", "1"), ("activity", "somebody")])
def test_the_command_line_looks_as_well(world: World, arguments: tuple[str, ...]) -> None:
    call_command("audit", *arguments, tenant="acme")
    assert looks(world) == [("trail.read", "Daybook", "read")]


def test_the_memory_of_looks_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_MOST", 1)
    for name in ("alice", "bob"):
        with world.scope("acme", name):
            access.note("read")
    assert len(access._noted) == 1


def test_the_platforms_own_log_is_not_a_tenants_trail(world: World) -> None:
    with world.platform(), pytest.raises(NoScope, match="tenant's scope"):
        access.note("read")


def test_what_is_no_tenants_trail_is_read_without_a_note(world: World) -> None:
    platform, acme = world.api("platform", "sam"), world.api("acme", "acme.read")
    for api, path in (
        (platform, "/api/v1/platform/platform-logs"),
        (platform, "/api/v1/platform/tenants"),
        (platform, "/api/v1/platform/plans"),
        (platform, "/api/v1/platform/tenants/acme/subscription"),
        (acme, "/api/v1/subscription"),
    ):
        assert api.get(path).status_code == 200, path
    assert looks(world) == []
