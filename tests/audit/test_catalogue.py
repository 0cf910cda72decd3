"""The catalogue in the database: who may read and write it, and what entries are told by it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, connections
from world import World

from audit import catalogue
from audit.api.representation import represent
from audit.models import AuditLog
from subscriptions.models import PlatformLog
from tenants.auditing import read_tenant
from tenants.context import enter_tenant


def declare(name: str = "note.kept", **told: str) -> None:
    catalogue.declare(name, description="", schema={}, personal=[], told=told)


def run(world: World, statement: str) -> None:
    """Run a statement as a tenant's code, or an injection there, could."""
    with world.scope("acme") as scope, connections[scope.alias].cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_event_schema SET metadata_schema = 'true'",
        "DELETE FROM audit_event_schema",
        "DELETE FROM audit_event_type",
        "DELETE FROM audit_event_policy",
        "TRUNCATE audit_event_type CASCADE",
        "INSERT INTO audit_event_schema (name, version, metadata_schema) VALUES ('note.kept', 1, 'true')",
        "INSERT INTO audit_event_policy (one, strict) VALUES (false, true)",
    ],
)
def test_a_version_means_the_same_for_ever_whatever_a_tenant_sends(world: World, statement: str) -> None:
    with world.scope("acme"):
        declare()
        catalogue.set_strict(strict=True)
    schema = world.acme.schema_name
    tables = [f"{schema}.audit_event_{table}" for table in ("type", "schema", "policy")]
    before = [world.sql(f"SELECT * FROM {table}") for table in tables]
    with pytest.raises(DatabaseError):
        run(world, statement)
    assert [world.sql(f"SELECT * FROM {table}") for table in tables] == before


def test_entries_are_told_by_the_tenants_own_sentences_in_one_query(world: World) -> None:
    acme = world.acme
    with world.scope("acme", "alice") as scope:
        declare("note.kept", en="{actor} kept {resource}")
        entries = [AuditLog.log_action(None, "note.kept", "note", str(number)) for number in range(3)]
        shown = [represent(entry, acme) for entry in entries]
        with connections[scope.alias].execute_wrapper(counted := Counter()):
            catalogue.tell(shown, "en")
    assert counted.sent == 1
    assert [one["sentence"] for one in shown] == [f"alice@acme.example kept note {number}" for number in range(3)]


class Counter:
    """Counts the queries that are sent."""

    sent = 0

    def __call__(self, execute: Any, *query: Any) -> Any:
        """Send a query."""
        self.sent += 1
        return execute(*query)


def test_the_platform_log_is_told_as_well(world: World) -> None:
    with world.platform("sam"):
        entry = PlatformLog.objects.of_action("subscription.created").first()
        shown = represent(entry, None)
        catalogue.tell([shown], "de")
    assert shown["sentence"].endswith("den Tarif free gegeben")


def test_staff_read_a_tenants_sentences_for_a_recorded_reason_alone(world: World) -> None:
    acme, sam = world.acme, world.actor("sam")
    with world.scope("acme", "alice"):
        declare("note.kept", en="{actor} kept {resource}")
        AuditLog.log_action(None, "note.kept", "note", "1")
    with world.platform("sam"), enter_tenant(acme) as scope, connections[scope.alias].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_event_type")
        assert cursor.fetchone() == (0,)
    with read_tenant(acme, actor=sam, reason="They asked."):
        shown = [represent(entry, None) for entry in AuditLog.objects.of_action("note.kept").select_related("agent")]
        catalogue.tell(shown, "en")
    assert [one["sentence"] for one in shown] == ["alice@acme.example kept note 1"]


@pytest.mark.parametrize("statement", ["INSERT INTO audit_event_policy (strict) VALUES (false)",
                                       "UPDATE audit_event_type SET description = 'x'",
                                       "SELECT * FROM audit_event_schema"])  # fmt: skip
def test_the_platform_within_a_tenant_changes_nothing_of_its_catalogue(world: World, statement: str) -> None:
    acme = world.acme
    with world.scope("acme"):
        declare()
    with pytest.raises(DatabaseError, match="permission denied"), world.platform("sam"), enter_tenant(acme) as scope:  # noqa: PT012
        cursor = connections[scope.alias].cursor()
        cursor.execute(statement)


def test_nothing_is_told_of_nothing(world: World) -> None:
    with world.scope("acme"):
        catalogue.tell([], "en")
        assert catalogue.check([]) == []
