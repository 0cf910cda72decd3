"""The seeds' two questions, asked of a trail in which others acted as well."""

from __future__ import annotations

from datetime import timedelta
from unittest.mock import patch

from django.db.models import Count
from django.utils import timezone
from world import World

from audit import history
from audit.models import AuditLog
from subscriptions.models import PlatformLog


def test_a_resource_has_its_own_history_newest_first(world: World) -> None:
    with world.scope("acme", "alice"):
        entries = [AuditLog.log_action(None, action, "organization", "7") for action in ("created", "updated")]
        AuditLog.log_action(None, "created", "organization", "8")
        found = list(AuditLog.get_resource_history("organization", 7))
    assert [entry.pk for entry in found] == [entry.pk for entry in reversed(entries)]


def test_a_person_has_his_own_activity_of_the_last_days(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    with world.scope("acme"):
        mine = AuditLog.log_action(alice, "updated", "organization", "7")
        AuditLog.log_action(bob, "updated", "organization", "7")
        assert [entry.pk for entry in AuditLog.get_user_activity(alice, days=7)] == [mine.pk]
        with patch("audit.history.timezone.now", return_value=timezone.now() + timedelta(days=8)):
            assert not AuditLog.get_user_activity(alice, days=7).exists()
            assert AuditLog.get_user_activity(alice, 9).exists()


def test_the_answer_can_be_narrowed_further(world: World) -> None:
    with world.scope("acme", "alice"):
        AuditLog.log_action(None, "created", "organization", "7")
        deleted = AuditLog.log_action(None, "deleted", "organization", "7")
        narrowed = AuditLog.get_resource_history("organization", "7").filter(action="deleted").order_by("id")[:5]
        assert [entry.pk for entry in narrowed] == [deleted.pk]


def test_a_persons_own_entries_are_reached_from_the_person(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    with world.scope("acme", "alice"):
        mine = AuditLog.log_action(alice, "updated", "organization", "7")
        AuditLog.log_action(bob, "updated", "organization", "7")
        found = list(alice.audit_logs.all())
    assert mine.pk in {entry.pk for entry in found}
    assert {entry.user_id for entry in found} == {alice.pk}


def test_the_platform_log_answers_the_same_questions(world: World) -> None:
    with world.platform():
        found = history.resource_history(PlatformLog.objects.all(), "user", str(world_id(world)))
        assert [(entry.action, entry.captured) for entry in found][-2:] == [("user.created", False), ("created", True)]


def world_id(world: World) -> str:
    return str(world.sql("SELECT id FROM shared.tenants_user WHERE email = 'bob@acme.example'")[0][0])


def test_history_and_activity_are_querysets_that_group_count_and_go_on(world: World) -> None:
    person = world.person("alice")
    with world.scope("acme", "alice"):
        for action in ("opened", "opened", "closed"):
            AuditLog.log_action(None, action, "door", "7")
    with world.scope("acme"):
        for entries in (AuditLog.get_user_activity(person), AuditLog.get_resource_history("door", "7")):
            counted = entries.values("action").annotate(times=Count("id"))
            assert {row["action"]: row["times"] for row in counted} == {"opened": 2, "closed": 1}
            assert set(entries.values_list("action", flat=True).distinct()) == {"opened", "closed"}
            assert [entry.action for entry in entries] == ["closed", "opened", "opened"]
            assert [entry.action for entry in entries.reverse()] == ["opened", "opened", "closed"]
            assert entries.order_by("-id")[0].action == "closed"
            assert entries.order_by("id")[0].action == "opened"
            assert entries[1:][0].action == "opened"
            assert entries.filter(action="opened").count() == 2
            assert len(entries | entries.none()) == 3
        mine = person.audit_logs.values("action").annotate(times=Count("id"))
        assert {row["action"]: row["times"] for row in mine} == {"opened": 2, "closed": 1}


def test_the_newest_of_many_are_read_by_walking_the_index(world: World) -> None:
    with world.scope("acme", "alice"):
        for number in range(300):
            AuditLog.log_action(None, "opened", "door", str(number % 3))
    world.sql(f"ANALYZE {world.acme.schema_name}.audit_log")
    person = world.person("alice")
    with world.scope("acme"):
        assert "Sort" not in AuditLog.get_user_activity(person)[:20].explain()
