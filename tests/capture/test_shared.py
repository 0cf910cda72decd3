"""Rows of the shared tables: the platform log has all of them, a tenant's trail those that are his."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db import DatabaseError
from django.utils import timezone
from seen import Told, Trail
from world import World, address

from subscriptions import lifecycle
from subscriptions.models import Plan, TenantSubscription
from tenants import apikeys, people, provisioning
from tenants.context import Origin, current_scope, platform_scope
from tenants.models import ApiKey, Domain, Membership, Tenant, User


class Trails:
    """All three trails from now on."""

    def __init__(self, world: World) -> None:
        self.platform, self.acme, self.globex = (Trail(world, slug) for slug in (None, "acme", "globex"))

    def told(self) -> tuple[list[Told], list[Told], list[Told]]:
        return self.platform.told(), self.acme.told(), self.globex.told()


@pytest.fixture
def trails(world: World) -> Trails:
    """All three trails."""
    return Trails(world)


def join(world: World, name: str, slug: str, role: str = "member") -> None:
    with world.platform():
        people.set_role(User.objects.get(email=address(name)), Tenant.objects.get(slug=slug), role)


def rename(world: World, name: str) -> None:
    with world.platform("sam"):
        User.objects.filter(email=address(name)).update(name="Renamed")


def test_a_row_of_a_tenant_is_told_in_both_trails_and_in_no_other(world: World, trails: Trails) -> None:
    with world.platform("sam"):
        made = Domain.objects.create(
            domain="shop.acme.example", tenant=Tenant.objects.get(slug="acme"), is_primary=False
        )
    (platform,), (acme,), globex = trails.told()
    acme_id = world.acme.id
    assert globex == []
    for entry in (platform, acme):
        assert entry.says == (
            "created",
            "domain",
            {
                "domain": {"new": "shop.acme.example"},
                "tenant": {"new": str(acme_id)},
                "is_primary": {"new": False},
            },
        )
        assert (entry.id, entry.label, entry.source) == (str(made.pk), "shop.acme.example", "command")
    assert platform.row["tenant_id"] == acme_id
    assert platform.transaction == acme.transaction
    assert platform.row["id"] != acme.row["id"]
    assert bytes(platform.row["salt"]) != bytes(acme.row["salt"])


def test_a_copy_names_the_member_of_staff_and_points_to_nobody(world: World, trails: Trails) -> None:
    origin = Origin(ip="203.0.113.7", user_agent="probe/1", request_id="r-1", source="admin")
    sam = world.actor("sam")
    with platform_scope(actor=sam, origin=origin):
        Domain.objects.filter(tenant__slug="acme").update(is_primary=False)
    (platform,), (acme,), _ = trails.told()
    for entry in (platform, acme):
        assert (entry.actor, entry.source) == (("staff", sam.id, "sam@daybook.example"), "admin")
        assert (str(entry.row["ip"]), entry.row["request_id"]) == ("203.0.113.7", "r-1")
    assert (platform.row["user_id"], acme.row["user_id"]) == (UUID(sam.id), None)
    assert platform.row["agent_id"] is not None
    assert acme.row["agent_id"] is None


def test_a_person_is_told_to_each_tenant_that_he_belongs_to(world: World) -> None:
    join(world, "alice", "globex")
    trails = Trails(world)
    rename(world, "alice")
    platform, acme, globex = trails.told()
    for (entry,) in (platform, acme, globex):
        assert entry.says == ("updated", "user", {"name": {"old": "Alice", "new": "Renamed"}})
        assert (entry.label, entry.row["changes"]) == ("alice@acme.example", None)
    assert platform[0].row["tenant_id"] is None


def test_a_person_is_told_to_no_tenant_that_he_left_and_to_none_that_he_never_belonged_to(world: World) -> None:
    with world.platform():
        people.end_membership(User.objects.get(email=address("alice")), Tenant.objects.get(slug="acme"))
    trails = Trails(world)
    rename(world, "alice")
    platform, acme, globex = trails.told()
    assert (len(platform), acme, globex) == (1, [], [])


def test_a_person_who_came_back_is_told_once(world: World) -> None:
    with world.platform():
        people.end_membership(User.objects.get(email=address("alice")), Tenant.objects.get(slug="acme"))
    join(world, "alice", "acme")
    join(world, "alice", "acme", "auditor")
    trails = Trails(world)
    rename(world, "alice")
    assert [len(entries) for entries in trails.told()] == [1, 1, 0]


def test_a_member_of_staff_is_told_to_the_platform_alone(world: World, trails: Trails) -> None:
    with world.platform("sam"):
        User.objects.filter(email=address("sue")).update(is_active=False)
    (platform,), acme, globex = trails.told()
    assert platform.changes == {"is_active": {"old": True, "new": False}}
    assert (acme, globex) == ([], [])


def test_a_person_without_a_tenant_is_told_to_the_platform_alone(world: World, trails: Trails) -> None:
    with world.platform("sam"):
        people.create_user(email="new@example.com", name="New")
    platform, acme, globex = trails.told()
    assert [entry.says[:2] for entry in platform] == [("created", "user")]
    assert platform[0].row["personal"] == {"email": {"new": "new@example.com"}, "name": {"new": "New"}}
    assert (acme, globex) == ([], [])


def test_all_people_together_are_told_each_to_his_own(world: World, trails: Trails) -> None:
    with world.platform("sam"):
        User.objects.update(is_active=False)
    platform, acme, globex = trails.told()
    assert len(platform) == 8
    assert {entry.label for entry in acme} == {address(name) for name in ("olga", "alice", "bob", "mia")}
    assert {entry.label for entry in globex} == {address("charlie")}


def test_a_plan_is_told_to_the_platform_alone(world: World, trails: Trails) -> None:
    with world.platform("bill"):
        Plan.objects.create(slug="huge", name="Huge")
        Plan.objects.filter(slug="free").update(name="Gratis")
    platform, acme, globex = trails.told()
    assert [(entry.says[:2], entry.label) for entry in platform] == [
        (("created", "plan"), "Huge"),
        (("updated", "plan"), "Gratis"),
    ]
    assert [entry.row["tenant_id"] for entry in platform] == [None, None]
    assert (acme, globex) == ([], [])


def test_a_subscription_is_told_in_both_trails_beside_what_the_action_says(world: World, trails: Trails) -> None:
    with world.platform("bill"):
        tenant, plan = Tenant.objects.get(slug="acme"), Plan.objects.get(slug="premium")
        free = Plan.objects.get(slug="free")
        lifecycle.change_plan(tenant, plan, actor=current_scope().actor, reason="They asked")
    (platform,), (acme,), globex = trails.told()
    expected = ("updated", "subscription", {"plan": {"old": str(free.pk), "new": str(plan.pk)}})
    assert (platform.says, acme.says, globex) == (expected, expected, [])


def test_a_membership_is_told_to_its_tenant_also_when_it_ends(world: World, trails: Trails) -> None:
    join(world, "alice", "globex")
    platform, acme, globex = trails.told()
    assert [entry.says[:2] for entry in platform] == [entry.says[:2] for entry in globex] == [("created", "membership")]
    assert acme == []
    with world.platform():
        Membership.objects.filter(user__email=address("alice"), tenant__slug="globex").update(ended_at=timezone.now())
    platform, acme, globex = trails.told()
    assert [tuple(entry.changes) for entry in platform] == [tuple(entry.changes) for entry in globex] == [("ended_at",)]
    assert acme == []


def test_a_key_of_a_tenant_is_told_to_it_and_one_of_staff_to_no_tenant(world: World, trails: Trails) -> None:
    with world.platform("sam"):
        apikeys.issue(name="ours", tenant=Tenant.objects.get(slug="acme"), scopes=["audit:read"])
        apikeys.issue(name="mine", user=User.objects.get(email=address("sam")))
    platform, acme, globex = trails.told()
    assert [entry.label for entry in platform] == ["ours", "mine"]
    assert [entry.label for entry in acme] == ["ours"]
    assert globex == []
    (scopes,) = (entry.changes["scopes"] for entry in acme)
    assert scopes == {"new": ["audit:read"]}


def test_the_use_of_a_key_is_no_change_that_is_told(world: World, trails: Trails) -> None:
    assert world.api(key="acme.read").get("/api/v1/audit-logs").status_code == 200
    with world.platform("sam"):
        assert ApiKey.objects.get(name="acme read").last_used_at is not None
    assert trails.told() == ([], [], [])


def test_a_new_tenant_is_told_to_the_platform_and_a_dropped_one_as_well(world: World, trails: Trails) -> None:
    tenant = provisioning.create_tenant(slug="hooli", name="Hooli", domain="hooli.localhost")
    platform, acme, globex = trails.told()
    assert [entry.says[:2] for entry in platform] == [
        ("created", "tenant"),
        ("created", "domain"),
        ("created", "subscription"),
    ]
    assert {entry.row["tenant_id"] for entry in platform} == {tenant.pk}
    # Its own trail begins with what was changed once it was there.
    schema = world.tenant("hooli").schema_name
    own = world.sql(f"SELECT action, resource_type FROM {schema}.audit_log WHERE captured")
    assert own == [("created", "subscription")]
    provisioning.drop_tenant(tenant)
    gone = trails.platform.told()
    assert {entry.says[:2] for entry in gone} == {("deleted", kind) for kind in ("tenant", "domain", "subscription")}
    assert {entry.actor[1] for entry in gone} == {"daybook"}
    assert (acme, globex, trails.acme.told()) == ([], [], [])


def test_a_person_who_is_deleted_is_told_where_he_was(world: World, trails: Trails) -> None:
    with world.platform("sam"):
        people.delete_user(User.objects.get(email=address("mia")))
    platform, acme, globex = trails.told()
    assert {entry.says[:2] for entry in platform} == {
        ("deleted", kind) for kind in ("credential", "membership", "user")
    }
    assert {entry.says[:2] for entry in acme} == {entry.says[:2] for entry in platform}
    assert globex == []


def test_a_session_without_a_context_is_told_by_its_role_in_both_trails(world: World, trails: Trails) -> None:
    world.sql("UPDATE shared.tenants_tenant SET name = 'ACME' WHERE slug = 'acme'")
    (platform,), (acme,), globex = trails.told()
    for entry in (platform, acme):
        assert (entry.source, entry.actor) == ("database", ("system", "postgres", "postgres"))
        assert entry.says == ("updated", "tenant", {"name": {"old": "Acme", "new": "ACME"}})
    assert globex == []


def test_what_is_rolled_back_is_told_in_no_trail(world: World, trails: Trails) -> None:
    def fail() -> None:
        with world.platform("sam"):
            Tenant.objects.filter(slug="acme").update(name="ACME")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [trail.rows() for trail in (trails.platform, trails.acme, trails.globex)] == [[], [], []]


def test_a_tenants_role_reads_shared_rows_and_changes_none(world: World, trails: Trails) -> None:
    def change() -> None:
        with world.scope("acme", "olga"):
            TenantSubscription.objects.update(changed_at=timezone.now(), created_at=timezone.now())

    with pytest.raises(DatabaseError, match="permission denied"):
        change()
    assert trails.told() == ([], [], [])
