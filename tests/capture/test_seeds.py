"""The flows of the two documents that the project started from, in the host application, as they tell them.

What they write by hand is written as ever; beneath it stands now what the database saw by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models.signals import ModelSignal, post_delete, post_save
from hostapp.models import Organization, WebhookProvider
from world import Api, World

from audit.models import AuditLog
from subscriptions import lifecycle
from subscriptions.models import Plan, PlatformLog
from tenants.models import Tenant, User


def told(entries: Any) -> list[tuple[Any, ...]]:
    """Return who wrote each entry (the database, or the code), its action and its changes; newest first."""
    return [(entry.captured, entry.action, entry.all_changes) for entry in entries]


def made(world: World, name: str = "alice") -> Organization:
    """Create an organization as a person of acme, and log it, as the first document does."""
    user = world.person(name)
    with world.scope("acme", name):
        org: Organization = Organization.objects.create(name="Test Corp", slug="test-corp", plan="starter")
        AuditLog.log_action(
            user=user,
            action="created",
            resource_type="organization",
            resource_id=org.id,
            changes={"name": org.name, "plan": org.plan},
        )
    return org


def upgraded(world: World, org: Organization) -> None:
    """Change its plan, and log that with the old and the new value."""
    user = world.person("alice")
    with world.scope("acme", "alice"):
        old_plan = org.plan
        org.plan = "premium"
        org.save()
        AuditLog.log_action(
            user=user,
            action="updated",
            resource_type="organization",
            resource_id=org.id,
            changes={"field": "plan", "old_value": old_plan, "new_value": org.plan},
        )


BY_HAND_CREATED = (False, "created", {"name": "Test Corp", "plan": "starter"})
CAPTURED_CREATED = (
    True,
    "created",
    {
        "name": {"new": "Test Corp"},
        "slug": {"new": "test-corp"},
        "plan": {"new": "starter"},
        "contact": {"new": ""},
        "seats": {"new": 0},
    },
)
BY_HAND_UPDATED = (False, "updated", {"field": "plan", "old_value": "starter", "new_value": "premium"})
CAPTURED_UPDATED = (True, "updated", {"plan": {"old": "starter", "new": "premium"}})


def test_an_organization_is_created_and_logged_with_its_row_beneath(world: World) -> None:
    org, alice = made(world), world.person("alice")
    with world.scope("acme"):
        history = AuditLog.get_resource_history("organization", org.id)
        assert told(history) == [BY_HAND_CREATED, CAPTURED_CREATED]
        assert told(history[0].row_changes()) == [CAPTURED_CREATED]
        assert {(entry.user_id, entry.actor_label) for entry in history} == {(alice.pk, alice.email)}


def test_a_plan_is_changed_and_logged_with_its_old_and_new_value(world: World) -> None:
    org = made(world)
    upgraded(world, org)
    with world.scope("acme"):
        history = AuditLog.get_resource_history("organization", org.id)
        assert told(history) == [BY_HAND_UPDATED, CAPTURED_UPDATED, BY_HAND_CREATED, CAPTURED_CREATED]
        assert told(history[0].row_changes()) == [CAPTURED_UPDATED]
        assert str(history[0]) == f"alice@acme.example updated organization ({org.id})"


def test_a_history_keeps_spellings_of_an_id_and_organizations_apart(world: World) -> None:
    org, other = made(world), made(world)
    upgraded(world, org)
    with world.scope("acme"):
        for spelling in (org.id, str(org.id), org.id.hex, str(org.id).upper()):
            assert AuditLog.get_resource_history("organization", spelling).count() == 4
        assert AuditLog.get_resource_history("organization", other.id).count() == 2


def test_a_provider_is_deleted_and_its_last_values_are_logged_and_captured(world: World) -> None:
    org, user = made(world), world.person("alice")
    with world.scope("acme", "alice"):
        provider = WebhookProvider.objects.create(
            organization=org, provider_name="stripe", signing_key="whsec_1", api_token="tok_1"
        )
    with world.scope("acme", "alice"):
        provider_id = provider.id
        provider_data = {
            "provider_name": provider.provider_name,
            "organization": provider.organization.name,
            "was_active": provider.is_active,
        }
        provider.delete()
        # The document says that the id still exists in memory. Django takes it away.
        assert provider.id is None
        AuditLog.log_action(
            user=user,
            action="deleted",
            resource_type="webhook_provider",
            resource_id=provider_id,
            changes=provider_data,
        )
    with world.scope("acme"):
        last = AuditLog.get_resource_history("webhook_provider", provider_id)
        assert told(last[:2]) == [
            (False, "deleted", {"provider_name": "stripe", "organization": "Test Corp", "was_active": True}),
            (
                True,
                "deleted",
                {
                    "organization": {"old": str(org.id)},
                    "provider_name": {"old": "stripe"},
                    "is_active": {"old": True},
                    "plan": {"old": "free"},
                    "signing_key": {"old": "[masked]"},
                    "api_token": {"old": "[masked]"},
                },
            ),
        ]
        assert last[1].resource_label == "stripe"


def test_a_persons_entries_are_his_own_logged_and_captured_ones_newest_first(world: World) -> None:
    org = made(world)
    made(world, "bob")
    upgraded(world, org)
    alice, bob = world.person("alice"), world.person("bob")
    with world.scope("acme"):
        assert told(alice.audit_logs.all()) == [BY_HAND_UPDATED, CAPTURED_UPDATED, BY_HAND_CREATED, CAPTURED_CREATED]
        assert told(AuditLog.get_user_activity(alice, days=7)) == told(alice.audit_logs.all())
        assert told(AuditLog.get_user_activity(bob, days=7)) == [BY_HAND_CREATED, CAPTURED_CREATED]


def test_a_deleted_persons_entries_stay_with_his_label(world: World) -> None:
    org, alice = made(world), world.person("alice")
    with world.platform():
        User.objects.get(pk=alice.pk).delete()
    with world.scope("acme"):
        assert not User.objects.filter(pk=alice.pk).exists()
        history = AuditLog.get_resource_history("organization", org.id)
        assert told(history) == [BY_HAND_CREATED, CAPTURED_CREATED]
        assert {(entry.user, entry.actor_label, entry.actor_id) for entry in history} == {
            (None, "alice@acme.example", str(alice.pk))
        }
        assert str(history[0]) == f"alice@acme.example created organization ({org.id})"
        assert told(AuditLog.get_user_activity(alice, days=7)) == told(history)
        assert AuditLog.objects.of_action("user.deleted").get().resource_label == "alice@acme.example"
    with world.platform():
        row = PlatformLog.objects.of_resource("user", str(alice.pk)).filter(captured=True)[0]
        assert (row.action, row.actor_label, row.changes["is_active"]) == (
            "deleted",
            "sam@daybook.example",
            {"old": True},
        )


def test_the_admin_shows_the_action_with_its_row_beneath_and_changes_nothing(world: World) -> None:
    org = made(world)
    upgraded(world, org)
    with world.scope("acme"):
        entry = AuditLog.get_resource_history("organization", org.id)[0]
    api = Api("acme.localhost")
    api.sign_in("alice")
    page = api.client.get(f"/admin/audit/auditlog/{entry.pk}/change/").content.decode()
    _, _, beneath = page.partition("Row changes of the same action")
    assert f"updated organization {org.id}" in beneath
    assert '<td class="old">starter</td><td class="new">premium</td>' in beneath
    assert 'name="_save"' not in page
    for place in ("add/", f"{entry.pk}/change/", f"{entry.pk}/delete/"):
        assert api.client.post(f"/admin/audit/auditlog/{place}", {"post": "yes"}).status_code >= 300
    with world.scope("acme"):
        assert told([AuditLog.objects.get(pk=entry.pk)]) == [BY_HAND_UPDATED]


def update_subscription(org: Organization, new_plan: str) -> AuditLog:
    """Change a plan and tell it, in the code path that knows what it means: the second document's service function."""
    org.plan = new_plan
    org.save()
    written: AuditLog = AuditLog.log_action(
        action="SUBSCRIPTION_UPDATE",
        resource_type="organization",
        resource_id=org.id,
        description=f"Changed subscription plan to {new_plan} for tenant {org.name}",
    )
    return written


def test_a_service_function_tells_what_the_row_beneath_cannot(world: World) -> None:
    org = made(world)
    with world.scope("acme", "alice"):
        written = update_subscription(org, "premium")
    with world.scope("acme"):
        entry = AuditLog.objects.get(pk=written.pk)
        assert entry.description == "Changed subscription plan to premium for tenant Test Corp"
        assert (entry.actor_label, told(entry.row_changes())) == ("alice@acme.example", [CAPTURED_UPDATED])


def test_a_service_function_that_fails_leaves_neither_the_change_nor_a_word(world: World) -> None:
    org = made(world)
    before = world.entries("acme")

    def refused() -> None:
        with world.scope("acme", "alice"):
            update_subscription(org, "premium")
            raise ValueError("payment refused")

    with pytest.raises(ValueError, match="payment"):
        refused()
    assert world.entries("acme") == before
    with world.scope("acme"):
        assert Organization.objects.get(pk=org.pk).plan == "starter"


def test_a_tenants_subscription_is_changed_by_staff_and_told_to_both_trails(world: World) -> None:
    with world.platform() as scope:
        tenant, premium = Tenant.objects.get(slug="acme"), Plan.objects.get(slug="premium")
        lifecycle.change_plan(tenant, premium, actor=scope.actor, reason="They asked for it.")
    with world.platform():
        entry = PlatformLog.objects.of_action("subscription.plan_changed").get()
        assert (entry.actor_label, entry.description) == ("sam@daybook.example", "They asked for it.")
        assert [row.changes["plan"]["new"] for row in entry.row_changes()] == [str(premium.pk)]
    with world.scope("acme"):
        mine = AuditLog.objects.of_action("subscription.plan_changed").get()
        assert mine.changes == {"plan": {"old": "free", "new": "premium"}}
        assert [row.changes["plan"]["new"] for row in mine.row_changes()] == [str(premium.pk)]
    with world.scope("globex"):
        assert not AuditLog.objects.of_action("subscription.plan_changed").exists()


@contextmanager
def receiving(signal: ModelSignal, receiver: Any) -> Iterator[None]:
    """Connect a receiver for the time of the block."""
    signal.connect(receiver, sender=Organization)
    try:
        yield
    finally:
        signal.disconnect(receiver, sender=Organization)


def test_a_receiver_of_model_signals_writes_beside_the_captured_row(world: World) -> None:
    org = made(world)

    def deletion_audit(sender: Any, instance: Organization, **kwargs: Any) -> None:
        AuditLog.log_action(
            action="ORGANIZATION_DELETE",
            resource_type="organization",
            resource_id=instance.pk,
            description=f"Deleted organization {instance.name}",
        )

    with receiving(post_delete, deletion_audit), world.scope("acme", "alice"):
        key = org.pk
        org.delete()
    with world.scope("acme"):
        history = AuditLog.get_resource_history("organization", key)[:2]
        assert [(entry.action, entry.description) for entry in history] == [
            ("ORGANIZATION_DELETE", "Deleted organization Test Corp"),
            ("deleted", None),
        ]


def test_what_signals_miss_is_captured_all_the_same(world: World) -> None:
    org = made(world)
    seen: list[Any] = []

    def heard(instance: Organization, **kwargs: Any) -> None:
        seen.append(instance)

    with receiving(post_save, heard), world.scope("acme", "alice"):
        Organization.objects.filter(pk=org.pk).update(plan="premium")
    assert seen == []
    with world.scope("acme"):
        assert told(AuditLog.get_resource_history("organization", org.id)[:1]) == [CAPTURED_UPDATED]


def test_a_command_and_the_shell_are_told_as_what_they_are(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    org = made(world)
    call_command("move_plans", "starter", "premium", tenant="acme", actor="alice@acme.example")
    assert capsys.readouterr().out == "Moved from starter to premium: 1\n"
    code = "from hostapp.models import Organization as O; O.objects.update(plan='starter')"
    call_command("shell", tenant="acme", command=code, verbosity=0)
    with world.scope("acme"):
        by_shell, by_command = AuditLog.get_resource_history("organization", org.id).select_related("agent")[:2]
        assert told([by_command]) == [CAPTURED_UPDATED]
        assert (by_command.agent.user_agent, by_command.actor_label) == ("manage.py move_plans", "alice@acme.example")
        assert (by_shell.agent.user_agent, by_shell.actor_label) == ("manage.py shell", "Daybook")
        said = AuditLog.objects.of_action("plan.moved").get()
        assert told(said.row_changes()) == [CAPTURED_UPDATED]


def test_an_entry_is_made_by_log_action_alone(world: World) -> None:
    before = world.entries("acme")
    with world.scope("acme", "alice"), pytest.raises(TypeError, match="log_action"):
        AuditLog.objects.create(action="USER_DELETE", description="by hand")
    assert world.entries("acme") == before


def test_each_tenant_has_its_own_history(world: World) -> None:
    org = made(world)
    before = world.entries("globex")
    upgraded(world, org)
    assert world.entries("globex") == before
    with world.scope("globex", "charlie"):
        assert not AuditLog.get_resource_history("organization", org.id).exists()
        assert not Organization.objects.exists()
