"""People across tenants: their roles, and what remains in the trails when they go."""

from __future__ import annotations

from typing import Any

import pytest
from world import PASSWORD, World, address

from audit.models import AuditLog
from subscriptions import platform_log
from subscriptions.models import PlatformLog
from tenants import gate, people, provisioning
from tenants.context import Actor
from tenants.errors import BadInput, Conflict, NoScope, ScopeConflict
from tenants.models import Membership, Tenant, User

PAT = "pat@agency.example"


def employ_pat(world: World) -> Any:
    """Make pat: member of acme and initech, once of globex; he has acted in all three, and on the platform."""
    provisioning.create_tenant(slug="initech", name="Initech", domain="initech.localhost")
    with world.platform():
        pat = people.create_user(email=PAT, name="Pat")
        people.set_password(pat, PASSWORD)
        for slug in ("acme", "globex", "initech"):
            people.set_role(pat, Tenant.objects.get(slug=slug), "member")
    for slug in ("acme", "globex", "initech"):
        with world.scope(slug):
            AuditLog.log_action(pat, "created", "invoice", f"{slug}-1")
            AuditLog.log_action(pat, "updated", "invoice", f"{slug}-1")
    with world.platform():
        people.end_membership(pat, Tenant.objects.get(slug="globex"))
        platform_log.log_action("viewed", "plan", "1", user=pat)
    return pat


def pointers(world: World, user: Any) -> dict[str, int]:
    """Return how many entries of each trail point to a person, counted beyond all walls."""
    found = {}
    for schema, slug in world.sql("SELECT schema_name, slug FROM shared.tenants_tenant ORDER BY slug"):
        found[slug] = world.sql(f"SELECT count(*) FROM {schema}.audit_log WHERE user_id = %s", user.pk)[0][0]
    rows = world.sql("SELECT count(*) FROM shared.platform_log WHERE user_id = %s", user.pk)
    return {**found, "platform": rows[0][0]}


def everything_of(world: World, user: Any) -> tuple[Any, ...]:
    """Return all that must not change when a deletion is refused."""
    counts = [world.entries(slug) for slug in ("acme", "globex")]
    rows = world.sql("SELECT count(*) FROM shared.tenants_user WHERE id = %s", user.pk)
    memberships = world.sql("SELECT count(*) FROM shared.tenants_membership WHERE user_id = %s", user.pk)
    return pointers(world, user), counts, rows, memberships, world.sql("SELECT count(*) FROM shared.platform_log")


def test_a_deleted_person_of_three_tenants_leaves_labels_in_all_three_and_no_pointer_in_any(world: World) -> None:
    pat = employ_pat(world)
    assert pointers(world, pat) == {"acme": 2, "globex": 2, "initech": 2, "platform": 1}
    with world.platform():
        assert people.delete_user(pat) == 7
    assert pointers(world, pat) == {"acme": 0, "globex": 0, "initech": 0, "platform": 0}
    for slug in ("acme", "globex", "initech"):
        with world.scope(slug):
            left = AuditLog.get_resource_history("invoice", f"{slug}-1")
            assert [(entry.action, entry.user_id, entry.actor_label, entry.actor_id) for entry in left] == [
                ("updated", None, PAT, str(pat.pk)),
                ("created", None, PAT, str(pat.pk)),
            ]


def test_a_deletion_is_in_each_trail_and_in_the_platform_log_by_whoever_did_it(world: World) -> None:
    pat = employ_pat(world)
    with world.platform("sam"):
        people.delete_user(pat)
    for slug in ("acme", "globex", "initech"):
        with world.scope(slug):
            entry = AuditLog.objects.get(action="user.deleted")
            assert (entry.resource_id, entry.resource_label) == (str(pat.pk), PAT)
            assert (entry.actor_type, entry.actor_label) == ("staff", "sam@daybook.example")
    with world.platform():
        entry = PlatformLog.objects.get(action="user.deleted")
        assert (entry.resource_id, entry.changes) == (str(pat.pk), {"tenants": ["acme", "globex", "initech"]})


def test_nothing_of_a_deleted_person_is_left_to_sign_in_with(world: World) -> None:
    pat = employ_pat(world)
    with world.platform():
        pat.delete()
    assert gate.person(email=PAT) is None
    for table in ("credential", "membership", "apikey"):
        assert world.sql(f"SELECT count(*) FROM shared.tenants_{table} WHERE user_id = %s", pat.pk) == [(0,)]


def test_a_tenant_that_a_person_never_belonged_to_is_not_told(world: World) -> None:
    bob, before = world.person("bob"), world.entries("globex")
    with world.platform():
        people.delete_user(bob)
    assert world.entries("globex") == before


def test_a_queryset_deletes_people_with_their_pointers(world: World) -> None:
    pat = employ_pat(world)
    with world.platform():
        assert User.objects.filter(email=PAT).delete() == (1, {"tenants.User": 1})
    assert set(pointers(world, pat).values()) == {0}


def delete_by_function(user: Any) -> None:
    people.delete_user(user)


def delete_by_model(user: Any) -> None:
    user.delete()


def delete_by_queryset(user: Any) -> None:
    User.objects.filter(pk=user.pk).delete()


@pytest.mark.parametrize("delete", [delete_by_function, delete_by_model, delete_by_queryset])
@pytest.mark.parametrize("slug", ["acme", None])
def test_it_refuses_to_delete_a_person_outside_a_platform_scope(world: World, delete: Any, slug: str | None) -> None:
    pat = employ_pat(world)
    before = everything_of(world, pat)
    if slug:
        with world.scope(slug, "olga"), pytest.raises(ScopeConflict):
            delete(pat)
    else:
        with pytest.raises(NoScope):
            delete(pat)
    assert everything_of(world, pat) == before


def test_a_deletion_that_fails_at_the_last_tenant_changes_no_trail(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pat = employ_pat(world)
    before = everything_of(world, pat)
    clear = people._clear

    def fail(schema: str, trail: str, user: User) -> int:
        if schema == world_schema:
            raise ZeroDivisionError
        return clear(schema, trail, user)

    world_schema = world.tenant("initech").schema_name
    monkeypatch.setattr(people, "_clear", fail)
    with pytest.raises(ZeroDivisionError), world.platform():
        people.delete_user(pat)
    assert everything_of(world, pat) == before


def test_a_tenants_role_can_neither_clear_pointers_nor_delete_people(world: World) -> None:
    from django.db import connection

    alice = world.person("alice")
    with world.scope("acme", "alice"):
        AuditLog.log_action(alice, "created", "invoice", "1")
    before = everything_of(world, alice)
    for statement in (
        "SELECT guard.clear_user('shared', 'platform_log', %s)",
        "SELECT guard.delete_person(%s)",
        "SELECT guard.set_password(%s, 'x')",
        "DELETE FROM tenants_user WHERE id = %s",
        "UPDATE audit_log SET user_id = NULL WHERE user_id = %s",
    ):
        with pytest.raises(Exception, match="permission denied"), world.scope("acme", "olga"):  # noqa: SIM117
            with connection.cursor() as cursor:
                cursor.execute(statement, [alice.pk])
    assert everything_of(world, alice) == before


def test_a_person_is_one_address_whatever_its_case(world: World) -> None:
    with world.platform(), pytest.raises(Conflict, match="already"):
        people.create_user(email="ALICE@Acme.example")
    with world.platform():
        assert people.create_user(email="Pat@Agency.example").email == "pat@agency.example"


@pytest.mark.parametrize(
    ("wrong", "message"), [({"email": "pat"}, "no e-mail"), ({"email": PAT, "staff_role": "king"}, "no role of staff")]
)
def test_it_refuses_what_is_no_address_or_no_role(world: World, wrong: dict[str, str], message: str) -> None:
    with world.platform(), pytest.raises(BadInput, match=message):
        people.create_user(**wrong)
    assert gate.person(email=wrong["email"]) is None


def test_a_change_of_role_keeps_the_old_membership_as_a_past_one(world: World) -> None:
    with world.platform():
        bob, acme = User.objects.get(email=address("bob")), Tenant.objects.get(slug="acme")
        people.set_role(bob, acme, "admin")
        history = [(it.role, it.ended_at is None) for it in Membership.objects.filter(user=bob).order_by("id")]
        assert history == [("auditor", False), ("admin", True)]
        told = PlatformLog.objects.filter(tenant_id=acme.pk, resource_id=str(bob.pk)).order_by("id")
        assert [(entry.action, entry.changes) for entry in told][-2:] == [
            ("membership.ended", {"tenant": "acme", "role": "auditor"}),
            ("membership.created", {"tenant": "acme", "role": "admin"}),
        ]
    bob_now = gate.person(email=address("bob"), tenant_id=world.acme.id)
    assert bob_now is not None
    assert bob_now.tenant_role == "admin"


def test_an_unknown_role_is_refused_and_the_old_one_stays(world: World) -> None:
    with world.platform():
        bob, acme = User.objects.get(email=address("bob")), Tenant.objects.get(slug="acme")
        with pytest.raises(BadInput, match="owner, admin, auditor, member"):
            people.set_role(bob, acme, "king")
        assert Membership.objects.get(user=bob).ended_at is None


def test_ending_what_has_ended_is_nothing_and_leaves_no_entry(world: World) -> None:
    with world.platform():
        bob, acme = User.objects.get(email=address("bob")), Tenant.objects.get(slug="acme")
        people.end_membership(bob, acme)
        before = PlatformLog.objects.count()
        people.end_membership(bob, acme)
        assert PlatformLog.objects.count() == before


def test_a_password_is_set_with_an_entry_that_does_not_tell_it(world: World) -> None:
    with world.platform("sam"):
        people.set_password(world_alice := User.objects.get(email=address("alice")), "a new secret")
        entry = PlatformLog.objects.filter(action="user.password_set").order_by("id").last()
        assert entry is not None
        assert (entry.resource_id, entry.changes) == (str(world_alice.pk), None)
    assert "a new secret" not in str(world.sql("SELECT * FROM shared.tenants_credential"))


def test_a_member_of_staff_who_acts_in_a_tenant_is_no_pointer_there(world: World) -> None:
    sam = world.actor("sam")
    assert isinstance(sam, Actor)
    with world.scope("acme", "sam"):
        entry = AuditLog.log_action(None, "viewed", "invoice", "1")
    assert (entry.actor_type, entry.user_id) == ("staff", None)
