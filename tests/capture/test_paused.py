"""Capture that is paused: case 56. It is an entry, ends with its block, in that thread alone, and cannot be forged."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection, transaction
from hostapp.models import Counter, Organization, Tag
from seen import Trail, session
from world import World

from audit.capture import capture_paused
from audit.models import AuditLog
from subscriptions.models import Plan, PlatformLog
from tenants.context import current_scope, enter_tenant, roll_back, tenant_scope
from tenants.errors import BadInput, NoScope
from tenants.models import Tenant


def count(world: World) -> int:
    return int(world.sql(f"SELECT count(*) FROM {world.acme.schema_name}.hostapp_counter")[0][0])


def test_a_pause_is_an_entry_that_says_who_and_why_and_rows_of_its_block_are_none(world: World) -> None:
    trail = Trail(world)
    with world.scope("acme", "alice"), capture_paused(reason="  Backfill of 2026 "):
        Counter.objects.create(id=1, value=1)
        Counter.objects.bulk_create([Counter(id=2), Counter(id=3)])
        Counter.objects.update(value=7)
        Counter.objects.filter(id=1).delete()
        Organization.objects.create(name="North", slug="north").tags.add(Tag.objects.create(name="red"))
    (entry,) = trail.rows()
    assert (entry["action"], entry["operation"], entry["captured"]) == ("capture.paused", "other", False)
    assert (entry["description"], entry["actor_label"]) == ("Backfill of 2026", "alice@acme.example")
    assert (entry["resource_type"], str(entry["resource_uuid"])) == ("tenant", str(world.acme.id))
    assert count(world) == 2


def test_it_ends_with_its_block(world: World) -> None:
    trail = Trail(world)
    with world.scope("acme"):
        Counter.objects.create(id=1)
        with capture_paused(reason="Backfill"):
            Counter.objects.create(id=2)
        Counter.objects.create(id=3)
    assert [(row["action"], row["resource_key"]) for row in trail.rows()] == [
        ("created", "1"),
        ("capture.paused", None),
        ("created", "3"),
    ]


def test_it_ends_with_an_exception_and_what_it_wrote_is_gone(world: World) -> None:
    trail = Trail(world)

    def fail() -> None:
        with capture_paused(reason="Backfill"):
            Counter.objects.create(id=2)
            raise ZeroDivisionError

    with world.scope("acme"):
        with pytest.raises(ZeroDivisionError):
            fail()
        Counter.objects.create(id=3)
        assert current_scope().paused is None
    assert [row["action"] for row in trail.rows()] == ["capture.paused", "created"]
    assert count(world) == 1


def test_it_ends_with_an_error_of_the_database(world: World) -> None:
    trail = Trail(world)
    with world.scope("acme"):
        with pytest.raises(DatabaseError), capture_paused(reason="Backfill"), connection.cursor() as cursor:
            cursor.execute("SELECT nothing_of_the_kind")
        Counter.objects.create(id=3)
    assert [row["action"] for row in trail.rows()] == ["capture.paused", "created"]


def test_the_next_unit_of_work_is_not_paused(world: World) -> None:
    with world.scope("acme"), capture_paused(reason="Backfill"):
        Counter.objects.create(id=1)
    trail = Trail(world)
    with world.scope("acme"):
        Counter.objects.create(id=2)
    assert len(trail.told()) == 1


def test_it_is_not_in_another_thread(world: World) -> None:
    acme = Trail(world)
    errors: list[BaseException] = []
    tenant, actor = world.acme, world.actor("bob")

    def other() -> None:
        try:
            with tenant_scope(tenant, actor=actor):
                Counter.objects.create(id=2)
            connection.close()
        except BaseException as error:  # noqa: BLE001 - told by the assertion below
            errors.append(error)

    with world.scope("acme", "alice"), capture_paused(reason="Backfill"):
        Counter.objects.create(id=1)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert errors == []
    assert [(entry.id, entry.actor[2]) for entry in acme.told()] == [("2", "bob@acme.example")]


def test_it_is_not_in_another_task(world: World) -> None:
    trail = Trail(world)
    tenant, actor = world.acme, world.actor("bob")

    def work(key: int, *, paused: bool) -> None:
        with tenant_scope(tenant, actor=actor):
            if paused:
                with capture_paused(reason="Backfill"):
                    Counter.objects.create(id=key)
            else:
                Counter.objects.create(id=key)
        connection.close()

    async def both() -> None:
        one = sync_to_async(work, thread_sensitive=False)
        await asyncio.gather(*(one(key, paused=key % 2 == 0) for key in range(6)))

    asyncio.run(both())
    assert sorted(entry.id for entry in trail.told()) == ["1", "3", "5"]
    assert count(world) == 6


def test_scopes_within_a_pause_are_paused_as_well(world: World) -> None:
    trail = Trail(world)
    with world.scope("acme") as outer, capture_paused(reason="Backfill"):
        with transaction.atomic():
            Counter.objects.create(id=1)
        with tenant_scope(outer.tenant, actor=outer.actor):
            Counter.objects.create(id=2)
        Counter.objects.create(id=3)
    assert [row["action"] for row in trail.rows()] == ["capture.paused"]


def test_a_pause_within_a_pause_ends_for_itself(world: World) -> None:
    trail = Trail(world)
    with world.scope("acme"):
        with capture_paused(reason="Outer"):
            with capture_paused(reason="Inner"):
                Counter.objects.create(id=1)
            Counter.objects.create(id=2)
        Counter.objects.create(id=3)
    assert [(row["action"], row["description"]) for row in trail.rows()] == [
        ("capture.paused", "Outer"),
        ("capture.paused", "Inner"),
        ("created", None),
    ]


def test_what_is_said_by_hand_is_written_as_ever(world: World) -> None:
    trail = Trail(world)
    with world.scope("acme"), capture_paused(reason="Backfill"):
        AuditLog.log_action(None, "backfilled", "organization", "1")
    assert [row["action"] for row in trail.rows()] == ["capture.paused", "backfilled"]


def test_a_pause_that_is_rolled_back_leaves_neither_rows_nor_an_entry(world: World) -> None:
    trail = Trail(world)
    with world.scope("acme"):
        with capture_paused(reason="Backfill"):
            Counter.objects.create(id=1)
        roll_back()
    assert (trail.rows(), count(world)) == ([], 0)


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 1001])
def test_it_asks_for_a_reason(world: World, reason: str) -> None:
    trail = Trail(world)
    with world.scope("acme"):
        with pytest.raises(BadInput, match="1 to 1000"), capture_paused(reason=reason):
            raise AssertionError
        Counter.objects.create(id=1)
    assert len(trail.rows()) == 1


def test_without_a_scope_it_is_refused(world: World) -> None:
    trail = Trail(world)
    with pytest.raises(NoScope), capture_paused(reason="Backfill"):
        raise AssertionError
    assert trail.rows() == []


def test_a_pause_of_the_platform_is_one_of_its_own_log_and_tenants_are_told_as_ever(world: World) -> None:
    platform, acme = Trail(world, None), Trail(world)
    with world.platform("sam"), capture_paused(reason="Backfill"):
        Plan.objects.update(name="Renamed")
        Tenant.objects.filter(slug="acme").update(name="ACME")
    (entry,) = platform.rows()
    assert (entry["action"], entry["resource_type"], entry["description"]) == ("capture.paused", "platform", "Backfill")
    assert [(told.says, told.actor[2]) for told in acme.told()] == [
        (("updated", "tenant", {"name": {"old": "Acme", "new": "ACME"}}), "sam@daybook.example")
    ]
    with world.platform("sam"):
        Plan.objects.update(name="Again")
        assert PlatformLog.objects.filter(action="updated", resource_type="plan").count() == 2


def test_a_platform_that_enters_a_tenant_does_not_take_its_pause_along(world: World) -> None:
    acme = Trail(world)
    tenant = world.acme
    with world.platform("sam"), capture_paused(reason="Backfill"), enter_tenant(tenant):
        AuditLog.log_action(None, "said", "organization", "1")
        assert current_scope().paused is None
    assert [row["action"] for row in acme.rows()] == ["said"]


def forged(entry: UUID) -> str:
    context = {"actor": ["system", "nobody", ""], "source": "command", "paused": str(entry)}
    return f"SET daybook.context = '{json.dumps(context)}'"


def refused(psql: psycopg.Connection[Any], statement: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="paused by an entry of this transaction"):
        psql.execute(statement.encode())


def test_a_pause_that_no_entry_says_is_refused_with_the_write(world: World) -> None:
    trail = Trail(world)
    with session(world, "tenant") as psql:
        psql.execute(forged(uuid4()).encode())
        refused(psql, "INSERT INTO hostapp_counter VALUES (1, 1)")
    with session(world, "superuser") as psql:
        psql.execute(forged(uuid4()).encode())
        refused(psql, "UPDATE shared.subscriptions_plan SET name = 'x'")
        refused(psql, "TRUNCATE hostapp_counter")
    assert (trail.rows(), count(world)) == ([], 0)


def test_a_pause_of_a_transaction_before_is_refused(world: World) -> None:
    with world.scope("acme"), capture_paused(reason="Backfill"):
        paused = current_scope().paused
    assert paused
    trail = Trail(world)
    with session(world, "tenant") as psql:
        psql.execute(forged(paused).encode())
        refused(psql, "INSERT INTO hostapp_counter VALUES (1, 1)")
    assert trail.rows() == []


def test_an_entry_that_says_something_else_is_no_pause(world: World) -> None:
    trail = Trail(world)
    with session(world, "tenant") as psql, psql.transaction(force_rollback=True):
        row = psql.execute(
            "INSERT INTO audit_log (version, actor_type, actor_key, action, operation, outcome, source, resource_type,"
            " resource_key, salt) VALUES (1, 'system', 'x', 'said', 'other', 'success', 'command', 't', '1', '')"
            " RETURNING id"
        ).fetchone()
        assert row
        psql.execute(forged(row[0]).encode())
        refused(psql, "INSERT INTO hostapp_counter VALUES (1, 1)")
    assert (trail.rows(), count(world)) == ([], 0)


def test_a_pause_that_another_trail_says_is_refused(world: World) -> None:
    """An entry of globex's trail, in the same transaction, pauses nothing of acme's."""
    trail, globex = Trail(world), world.globex.schema_name
    with session(world, "superuser") as psql, psql.transaction(force_rollback=True):
        row = psql.execute(
            f"INSERT INTO {globex}.audit_log (version, actor_type, actor_key, action, operation, outcome, source,"
            " resource_type, resource_key, salt) VALUES (1, 'system', 'x', 'capture.paused', 'other', 'success',"
            " 'command', 't', '1', '') RETURNING id".encode()
        ).fetchone()
        assert row
        psql.execute(forged(row[0]).encode())
        refused(psql, "INSERT INTO hostapp_counter VALUES (1, 1)")
    assert (trail.rows(), count(world)) == ([], 0)
