"""A row as it was: put together from its entries, equal to the live row at the end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hostapp.models import Organization, Sample, Tag, WebhookLog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from world import World

from audit import query
from audit.models import AuditLog
from subscriptions import lifecycle
from subscriptions.models import Plan, PlatformLog, TenantSubscription
from tenants.models import Tenant

_FIELDS = {
    "flag": some.none() | some.booleans(),
    "small": some.none() | some.integers(-(2**15), 2**15 - 1),
    "text": some.none() | some.text(some.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20),
    "data": some.none() | some.dictionaries(some.sampled_from("ab"), some.integers(0, 3)),
    "words": some.none() | some.lists(some.sampled_from(["x", "y, z", "'"]), max_size=2),
}


def now() -> datetime:
    return datetime.now(UTC)


def live(key: Any) -> dict[str, Any]:
    """Return what the row holds, of the fields that are played with, without what is empty."""
    row = Sample.objects.values(*_FIELDS).get(pk=key)
    return {name: value for name, value in row.items() if value is not None}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some.lists(some.dictionaries(some.sampled_from([*_FIELDS]), some.integers()), max_size=5), some.data())
def test_the_state_of_now_is_the_live_row_and_that_of_then_what_it_was(
    world: World, steps: list[dict[str, int]], data: Any
) -> None:
    with world.scope("acme"):
        key = Sample.objects.create(text="first").pk
    seen = []
    for step in [{}, *steps]:
        values = {name: data.draw(_FIELDS[name]) for name in step}
        with world.scope("acme"):
            if values:
                Sample.objects.filter(pk=key).update(**values)
            before = live(key)
        seen.append((now(), before))
    with world.scope("acme"):
        for moment, expected in [*seen, (None, seen[-1][1])]:
            told = query.state_of("sample", key, at=moment) or {}
            assert {name: value for name, value in told.items() if name in _FIELDS and value is not None} == expected


def test_a_row_that_is_not_there_yet_or_no_longer_has_no_state(world: World) -> None:
    before = now()
    with world.scope("acme"):
        made = Organization.objects.create(name="North", slug="n", id="01990000-0000-7000-8000-000000000001")
        key = made.pk
    between = now()
    with world.scope("acme"):
        Organization.objects.filter(pk=key).delete()
    after = now()
    with world.scope("acme"):
        Organization.objects.create(name="Again", slug="n", id=key)
    with world.scope("acme"):
        assert query.state_of("organization", key, at=before) is None
        assert query.state_of("organization", key, at=after) is None
        assert (query.state_of("organization", key, at=between) or {})["name"] == "North"
        assert (query.state_of("organization", key) or {})["name"] == "Again"
        assert query.state_of("organization", "unknown") is None


def test_of_a_row_older_than_its_capture_is_known_what_changed_since(world: World) -> None:
    schema = world.acme.schema_name
    key = "01990000-0000-7000-8000-000000000002"
    world.sql(f"ALTER TABLE {schema}.hostapp_organization DISABLE TRIGGER daybook_insert")
    with world.scope("acme"):
        Organization.objects.create(id=key, name="Old", slug="old")
    world.sql(f"ALTER TABLE {schema}.hostapp_organization ENABLE ALWAYS TRIGGER daybook_insert")
    then = now()
    with world.scope("acme"):
        Organization.objects.filter(pk=key).update(plan="premium")
    with world.scope("acme"):
        assert query.state_of("organization", key, at=then) == {"plan": "free"}
        assert query.state_of("organization", key) == {"plan": "premium"}
        Organization.objects.filter(pk=key).delete()
    with world.scope("acme"):
        assert (query.state_of("organization", key, at=then) or {})["name"] == "Old"


def test_links_are_no_fields_of_the_row(world: World) -> None:
    with world.scope("acme"):
        made = Organization.objects.create(name="North", slug="n")
        made.tags.add(Tag.objects.create(name="vip"))
    with world.scope("acme"):
        state = query.state_of("organization", made.pk)
    assert state == {"name": "North", "slug": "n", "plan": "free", "contact": "", "seats": 0}


def test_a_changed_key_leaves_the_row_under_its_new_one(world: World) -> None:
    with world.scope("acme"):
        made = Organization.objects.create(name="North", slug="n")
        new = "01990000-0000-7000-8000-000000000003"
        Organization.objects.filter(pk=made.pk).update(id=new, name="Moved")
    with world.scope("acme"):
        assert (query.state_of("organization", new) or {})["name"] == "Moved"


def test_a_subscription_is_told_by_both_trails(world: World) -> None:
    with world.platform() as scope:
        tenant, premium = Tenant.objects.get(slug="acme"), Plan.objects.get(slug="premium")
        subscription = TenantSubscription.objects.get(tenant=tenant)
        free, then = subscription.plan_id, now()
        lifecycle.change_plan(tenant, premium, actor=scope.actor, reason="asked for")
    with world.platform():
        trail = PlatformLog.objects.all()
        assert (query.state_of("subscription", subscription.pk, at=then, entries=trail) or {})["plan"] == str(free)
        assert (query.state_of("subscription", subscription.pk, entries=trail) or {})["plan"] == str(premium.pk)
    with world.scope("acme"):
        assert (query.state_of("subscription", subscription.pk) or {})["plan"] == str(premium.pk)
        told = AuditLog.objects.of_action("subscription.plan_changed").get()
        (beneath,) = told.row_changes()
        assert (beneath.resource_type, beneath.all_changes["plan"]["new"]) == ("subscription", str(premium.pk))


def test_numbers_that_count_up_are_told_step_by_step(world: World) -> None:
    from django.db.models import F
    from hostapp.models import WebhookProvider

    with world.scope("acme"):
        owner = Organization.objects.create(name="North", slug="n")
        provider = WebhookProvider.objects.create(organization=owner, provider_name="stripe")
        log = WebhookLog.objects.create(provider=provider, count=17)
        WebhookLog.objects.update(count=F("count") + 1)
    with world.scope("acme"):
        assert (query.state_of("webhook_log", log.pk) or {})["count"] == 18
