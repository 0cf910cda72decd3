"""What is seen of a row that the ORM creates, saves and deletes: cases 1 to 5, 11, 16, 17, 23 and 43."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db.models import F, Value
from django.db.models.functions import Concat
from hostapp.models import Counter, Member, Organization, Place, Sample, Untold, WebhookLog, WebhookProvider
from seen import Trail, done
from world import World

from audit.models import AuditLog


@pytest.fixture
def north(world: World) -> Organization:
    """An organization of acme's, made before the test looks at the trail."""
    with world.scope("acme"):
        return Organization.objects.create(name="North", slug="north", seats=17)


def test_a_created_row_is_one_entry_that_says_every_value(world: World) -> None:
    with world.scope("acme", "alice", ip="203.0.113.7", request_id="r-1", source="request"):
        made = Organization.objects.create(name="North", slug="north", seats=3)
    with world.scope("acme"):
        (entry,) = AuditLog.get_resource_history("organization", made.pk)
    assert (entry.action, entry.operation, entry.captured) == ("created", "create", True)
    assert entry.all_changes == {
        "name": {"new": "North"},
        "slug": {"new": "north"},
        "plan": {"new": "free"},
        "contact": {"new": ""},
        "seats": {"new": 3},
    }
    assert (entry.actor_id, entry.user_id, entry.actor_label) == (
        str(world.person("alice").pk),
        world.person("alice").pk,
        "alice@acme.example",
    )
    assert (entry.ip, entry.request_id, entry.source) == ("203.0.113.7", "r-1", "request")


def test_an_entry_says_when_and_stands_in_the_trail_of_its_tenant_alone(world: World) -> None:
    globex, platform = Trail(world, "globex"), Trail(world, None)
    before = datetime.now(UTC) - timedelta(seconds=1)
    (entry,) = done(world, lambda: Organization.objects.create(name="North", slug="north"))
    assert before < entry.row["created_at"] < datetime.now(UTC) + timedelta(seconds=1)
    assert (entry.row["outcome"], entry.row["version"], entry.label) == ("success", 1, "North")
    assert (globex.rows(), platform.rows()) == ([], [])


def test_a_field_that_is_null_is_not_told_of_a_created_row(world: World) -> None:
    (entry,) = done(world, lambda: Sample.objects.create(small=0, file="a", text=""))
    assert entry.changes == {"small": {"new": 0}, "file": {"new": "a"}, "text": {"new": ""}, "shout": {"new": ""}}


def test_a_save_names_the_two_fields_of_ten_that_were_changed(world: World, north: Organization) -> None:
    north.name, north.seats = "South", 18
    (entry,) = done(world, north.save)
    assert entry.says == (
        "updated",
        "organization",
        {"name": {"old": "North", "new": "South"}, "seats": {"old": 17, "new": 18}},
    )
    assert (entry.operation, entry.id, entry.label) == ("update", str(north.pk), "South")


def test_a_save_that_changes_nothing_leaves_nothing(world: World, north: Organization) -> None:
    assert done(world, north.save) == []
    assert done(world, lambda: Organization.objects.update(name=F("name"), seats=17)) == []


def test_a_save_of_some_fields_names_those_alone(world: World, north: Organization) -> None:
    north.name, north.seats = "South", 18
    (entry,) = done(world, lambda: north.save(update_fields=["name"]))
    assert entry.changes == {"name": {"old": "North", "new": "South"}}
    # The other change is told once it is saved.
    (entry,) = done(world, north.save)
    assert entry.changes == {"seats": {"old": 17, "new": 18}}


def test_a_deleted_row_is_told_with_its_last_values_and_found_afterwards(world: World, north: Organization) -> None:
    key = north.pk
    (entry,) = done(world, north.delete)
    assert entry.says == (
        "deleted",
        "organization",
        {
            "name": {"old": "North"},
            "slug": {"old": "north"},
            "plan": {"old": "free"},
            "contact": {"old": ""},
            "seats": {"old": 17},
        },
    )
    assert (entry.operation, entry.label) == ("delete", "North")
    with world.scope("acme"):
        history = AuditLog.get_resource_history("organization", key)
        assert [found.action for found in history] == ["deleted", "created"]


def test_two_lives_of_one_key_are_kept_apart(world: World) -> None:
    def live(value: int) -> None:
        counter = Counter.objects.create(id=7, value=value)
        counter.delete()

    done(world, lambda: live(1))
    done(world, lambda: live(2))
    with world.scope("acme"):
        told = [(entry.action, entry.changes["value"]) for entry in AuditLog.get_resource_history("counter", 7)]
    assert told == [
        ("deleted", {"old": 2}),
        ("created", {"new": 2}),
        ("deleted", {"old": 1}),
        ("created", {"new": 1}),
    ]


def test_f_expressions_are_told_as_numbers(world: World, north: Organization) -> None:
    north.seats = F("seats") + 1
    (entry,) = done(world, north.save)
    assert entry.changes == {"seats": {"old": 17, "new": 18}}


def test_an_expression_of_the_database_is_told_by_its_value(world: World, north: Organization) -> None:
    (entry,) = done(world, lambda: Organization.objects.update(name=Concat("slug", Value("-x"))))
    assert entry.changes == {"name": {"old": "North", "new": "north-x"}}


def test_true_null_and_one_are_told_as_what_they_are(world: World) -> None:
    (made,) = done(world, lambda: Sample.objects.create(flag=True, small=1, real=1.5))
    assert (made.changes["flag"], made.changes["small"], made.changes["real"]) == (
        {"new": True},
        {"new": 1},
        {"new": 1.5},
    )
    assert made.changes["flag"]["new"] is True
    (changed,) = done(world, lambda: Sample.objects.update(flag=None, small=None, real=None))
    assert changed.changes == {
        "flag": {"old": True, "new": None},
        "small": {"old": 1, "new": None},
        "real": {"old": 1.5, "new": None},
    }


@pytest.mark.parametrize("way", ["object", "id"])
def test_a_changed_foreign_key_is_one_entry_with_the_keys(world: World, north: Organization, way: str) -> None:
    with world.scope("acme"):
        south = Organization.objects.create(name="South", slug="south")
        provider = WebhookProvider.objects.create(organization=north, provider_name="stripe")
    if way == "object":
        provider.organization = south
    else:
        provider.organization_id = south.pk
    (entry,) = done(world, provider.save)
    assert entry.says == (
        "updated",
        "webhook_provider",
        {"organization": {"old": str(north.pk), "new": str(south.pk)}},
    )


def test_what_a_row_refers_to_may_be_renamed_without_an_entry_for_the_row(world: World, north: Organization) -> None:
    with world.scope("acme"):
        provider = WebhookProvider.objects.create(organization=north, provider_name="stripe")

    def rename() -> None:
        north.name = "South"
        north.save()
        provider.save()

    (entry,) = done(world, rename)
    assert (entry.type, entry.id) == ("organization", str(north.pk))


def test_no_entry_needs_the_text_of_a_row(world: World, north: Organization) -> None:
    """The control is in the model: str() of an organization raises."""
    with pytest.raises(RuntimeError):
        str(north)
    assert done(world, lambda: Organization.objects.update(seats=1))[0].label == "North"


def test_a_row_whose_relation_is_gone_is_told(world: World, north: Organization) -> None:
    with world.scope("acme"):
        provider = WebhookProvider.objects.create(organization=north, provider_name="stripe")
        log = WebhookLog.objects.create(provider=provider)

    def delete() -> None:
        Organization.objects.filter(pk=north.pk).delete()

    entries = done(world, delete)
    gone = [entry for entry in entries if entry.type == "webhook_log"]
    assert [(entry.id, entry.changes["provider"]) for entry in gone] == [(str(log.pk), {"old": str(provider.pk)})]


def test_the_verbs_of_a_declaration_are_the_actions(world: World) -> None:
    def work() -> None:
        member = Member.objects.create(code="m-1", name="Mia")
        member.name = "Max"
        member.save()
        member.delete()

    told = [(entry.action, entry.operation) for entry in done(world, work)]
    assert told == [("member.hired", "create"), ("updated", "update"), ("member.dismissed", "delete")]


def test_the_type_of_a_resource_is_its_models_name_in_snake_case(world: World) -> None:
    (entry,) = done(world, lambda: Place.objects.create(name="Inn"))
    assert (entry.type, entry.label) == ("place", None)


def test_a_person_is_found_as_the_actor_by_his_uuid_in_each_spelling(world: World) -> None:
    person = world.person("alice")
    alice = person.pk
    (entry,) = done(world, lambda: Place.objects.create(name="Inn"))
    assert isinstance(entry.row["actor_uuid"], UUID)
    assert (entry.actor, entry.row["user_id"]) == (("user", str(alice), "alice@acme.example"), alice)
    done(world, lambda: Place.objects.create(name="Pub"), name="olga")
    with world.scope("acme"):
        for spelling in (str(alice), alice.hex, str(alice).upper()):
            assert [found.id for found in AuditLog.objects.of_actor(spelling)] == [entry.row["id"]]
        assert [found.id for found in AuditLog.get_user_activity(person)] == [entry.row["id"]]
        assert [found.id for found in person.audit_logs.all()] == [entry.row["id"]]


def test_a_model_that_is_not_declared_leaves_nothing(world: World) -> None:
    def work() -> None:
        Untold.objects.create(value=1)
        Untold.objects.update(value=2)
        Untold.objects.all().delete()

    assert done(world, work) == []


def test_the_ids_of_entries_are_unique_and_in_the_order_of_the_rows(world: World) -> None:
    entries = done(world, lambda: Place.objects.bulk_create([Place(name=str(number)) for number in range(300)]))
    assert len({entry.row["id"] for entry in entries}) == 300
    assert len({bytes(entry.row["salt"]) for entry in entries}) == 300
    names = [entry.changes["name"]["new"] for entry in sorted(entries, key=lambda entry: entry.row["created_at"])]
    assert names == [str(number) for number in range(300)]


def test_a_key_that_python_chose_is_told_as_one(world: World) -> None:
    key = uuid4()
    (entry,) = done(world, lambda: Organization.objects.create(pk=key, name="North", slug="north"))
    assert (entry.row["resource_uuid"], entry.row["resource_key"], entry.id) == (key, None, str(key))
