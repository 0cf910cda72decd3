"""What deletes take along, and what is taken back: cases 6, 7 and 30."""

from __future__ import annotations

from collections import Counter as Counted

import pytest
from django.db import transaction
from hostapp.models import (
    Counter,
    Employment,
    Member,
    Organization,
    Passport,
    Place,
    Restaurant,
    Tag,
    WebhookLog,
    WebhookProvider,
)
from seen import Trail, done
from world import World

from audit.models import AuditLog
from tenants.context import roll_back


def organization(name: str, *, providers: int = 2, logs: int = 3) -> Organization:
    """Make an organization with providers and, below each of them, logs."""
    made = Organization.objects.create(name=name, slug=name)
    for number in range(providers):
        provider = WebhookProvider.objects.create(organization=made, provider_name=f"{name} {number}")
        WebhookLog.objects.bulk_create(WebhookLog(provider=provider, count=each) for each in range(logs))
    return made


def test_a_cascade_over_two_levels_is_an_entry_for_each_row_under_one_transaction(world: World) -> None:
    with world.scope("acme"):
        north, _south = organization("north"), organization("south")
        key = north.pk
        provided = set(WebhookProvider.objects.filter(organization=north).values_list("pk", flat=True))
        logs = set(WebhookLog.objects.filter(provider__in=provided).values_list("pk", flat=True))
    entries = done(world, north.delete)
    assert Counted(entry.says[:2] for entry in entries) == {
        ("deleted", "organization"): 1,
        ("deleted", "webhook_provider"): 2,
        ("deleted", "webhook_log"): 6,
    }
    assert len({entry.transaction for entry in entries}) == 1
    assert {entry.id for entry in entries} == {str(key) for key in {key} | provided | logs}


def test_a_delete_of_a_queryset_tells_each_row_and_what_hangs_on_it(world: World) -> None:
    with world.scope("acme"):
        for name in ("north", "south", "east"):
            organization(name)
    entries = done(world, lambda: Organization.objects.exclude(name="east").delete())
    counted = Counted(entry.type for entry in entries)
    assert counted == {"organization": 2, "webhook_provider": 4, "webhook_log": 12}
    assert {entry.label for entry in entries if entry.type == "organization"} == {"north", "south"}


def test_links_and_rows_with_the_same_key_go_along(world: World) -> None:
    with world.scope("acme"):
        north, south = organization("north", providers=0), organization("south", providers=0)
        key = str(north.pk)
        tag, member = Tag.objects.create(name="red"), Member.objects.create(code="m-1", name="Mia")
        north.tags.add(tag)
        north.partners.add(south)
        Employment.objects.create(organization=north, member=member, title="boss")
        Passport.objects.create(organization=north, number="7")
    entries = done(world, north.delete)
    told = sorted((entry.action, entry.type, *entry.changes) for entry in entries if entry.type != "organization")
    assert told == [("deleted", "passport", "number")]
    links = sorted((entry.action, entry.id, *sorted(entry.changes)) for entry in entries if entry.action != "deleted")
    assert links == sorted(
        [
            ("unlinked", key, "members", "title"),
            ("unlinked", key, "partners"),
            ("unlinked", str(south.pk), "partners"),
            ("unlinked", key, "tags"),
        ]
    )


def test_a_reference_that_a_delete_sets_to_null_is_an_update_of_the_row(world: World) -> None:
    with world.scope("acme"):
        mia = Member.objects.create(code="m-1", name="Mia")
        organization("north", providers=1, logs=2)
        WebhookLog.objects.update(replayed_by=mia)
        logs = list(WebhookLog.objects.values_list("pk", flat=True))
    entries = done(world, mia.delete)
    updates = [entry for entry in entries if entry.action == "updated"]
    assert {entry.id for entry in updates} == set(map(str, logs))
    assert all(entry.changes == {"replayed_by": {"old": "m-1", "new": None}} for entry in updates)
    assert [entry.says[:2] for entry in entries if entry not in updates] == [("member.dismissed", "member")]
    assert len({entry.transaction for entry in entries}) == 1


def test_a_cascade_that_the_database_makes_by_itself_is_told_as_well(world: World) -> None:
    schema = world.acme.schema_name
    with world.scope("acme"):
        north = organization("north", providers=1, logs=2)
    (name,) = world.sql(
        "SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid = %s::regclass"
        " AND confrelid = %s::regclass",
        f"{schema}.hostapp_webhooklog",
        f"{schema}.hostapp_webhookprovider",
    )[0]
    world.sql(
        f'ALTER TABLE {schema}.hostapp_webhooklog DROP CONSTRAINT "{name}", ADD FOREIGN KEY (provider_id) REFERENCES '
        f"{schema}.hostapp_webhookprovider (id) ON DELETE CASCADE"
    )
    trail = Trail(world)
    world.sql(f"DELETE FROM {schema}.hostapp_webhookprovider WHERE organization_id = %s", north.pk)
    entries = trail.told()
    assert Counted(entry.type for entry in entries) == {"webhook_provider": 1, "webhook_log": 2}
    assert len({entry.transaction for entry in entries}) == 1


def test_a_child_of_a_parent_takes_its_parent_along(world: World) -> None:
    with world.scope("acme"):
        inn = Restaurant.objects.create(name="Inn", stars=3)
    told = [(entry.action, entry.type, entry.id, entry.changes) for entry in done(world, inn.delete)]
    key = told[0][2]
    assert sorted(told, key=lambda entry: entry[1]) == [
        ("deleted", "place", key, {"name": {"old": "Inn"}}),
        ("deleted", "restaurant", key, {"stars": {"old": 3}}),
    ]


def test_what_is_rolled_back_leaves_nothing(world: World) -> None:
    trail = Trail(world)

    def fail() -> None:
        with world.scope("acme"):
            Place.objects.create(name="Inn")
            assert AuditLog.objects.filter(resource_type="place").count() == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with world.scope("acme"):
        Place.objects.create(name="Pub")
        roll_back()
    assert trail.rows() == []
    assert world.sql(f"SELECT * FROM {trail.schema}.hostapp_place") == []


def test_a_savepoint_that_is_rolled_back_takes_its_entries_along_and_no_others(world: World) -> None:
    def work() -> None:
        Counter.objects.create(id=1, value=1)
        with transaction.atomic():
            Counter.objects.create(id=2, value=2)
            Counter.objects.filter(id=1).update(value=9)
            transaction.set_rollback(True)
        Counter.objects.create(id=3, value=3)

    told = [(entry.action, entry.id, entry.changes["value"]) for entry in done(world, work)]
    assert told == [("created", "1", {"new": 1}), ("created", "3", {"new": 3})]


def test_a_savepoint_that_is_kept_keeps_its_entries_under_the_same_transaction(world: World) -> None:
    def work() -> None:
        Counter.objects.create(id=1)
        with transaction.atomic(), transaction.atomic():
            Counter.objects.create(id=2)

    first, second = done(world, work)
    assert first.transaction == second.transaction
