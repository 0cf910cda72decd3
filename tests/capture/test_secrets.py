"""What an entry must not say: cases 27 and 28. A planted secret is looked for in all that any trail says."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone
from hostapp.models import Chosen, Organization, WebhookProvider
from rest_framework.authtoken.models import Token
from seen import Trail, done, session
from world import World

from tenants import apikeys, people
from tenants.gate import digest
from tenants.models import ApiKey, Tenant, User

MASKED = "[masked]"


def everything(world: World) -> str:
    """Return all that the three trails say."""
    return "\n".join(Trail(world, slug).text() for slug in ("acme", "globex", None))


def spellings(secret: bytes) -> Iterator[str]:
    """Yield the encodings of some bytes in which a trail might show them."""
    yield secret.hex()
    for encode in (base64.b64encode, base64.urlsafe_b64encode, base64.b32encode):
        yield encode(secret).decode().rstrip("=")
    yield "".join(chr(byte) if 32 <= byte < 127 and byte != 92 else f"\\{byte:03o}" for byte in secret)
    yield str(int.from_bytes(secret, "big"))


@pytest.fixture
def north(world: World) -> Organization:
    """An organization of acme's."""
    with world.scope("acme"):
        return Organization.objects.create(name="North", slug="north")


def test_the_search_finds_what_is_planted(world: World, north: Organization) -> None:
    """The control of the tests below."""
    with world.scope("acme", "alice", user_agent="a-planted-agent"):
        Organization.objects.update(contact="planted@example.com", name="a-planted-name")
    said = everything(world)
    assert all(word in said for word in ("planted@example.com", "a-planted-name", "a-planted-agent"))


def test_no_password_and_no_hash_of_one_stands_in_any_trail(world: World) -> None:
    alice = world.person("alice")
    platform, acme, globex = Trail(world, None), Trail(world), Trail(world, "globex")
    hashes = [row[0] for row in world.sql("SELECT password FROM shared.tenants_credential")]
    with world.platform("sam"):
        people.set_password(User.objects.get(pk=alice.pk), "a new horse")
    hashes += [row[0] for row in world.sql("SELECT password FROM shared.tenants_credential")]
    for trail in (platform, acme):
        (entry,) = trail.told()
        assert entry.says == ("updated", "credential", {"password": {"old": MASKED, "new": MASKED}})
        assert entry.id == str(alice.pk)
    assert globex.rows() == []
    said = everything(world)
    parts = {part for hashed in hashes for part in [hashed, *hashed.split("$")[1:]]}
    assert len(parts) > 10
    assert [part for part in parts if part in said] == []
    assert "a new horse" not in said


def test_a_first_password_is_told_as_set_and_no_more(world: World) -> None:
    trail = Trail(world, None)
    with world.platform("sam"):
        person = people.create_user(email="new@acme.example")
        people.set_password(person, "a new horse")
    told = {entry.type: entry.changes for entry in trail.told()}
    assert told["credential"] == {"password": {"new": MASKED}}


def test_a_sign_in_changes_a_credential_without_an_entry_for_the_row(world: World) -> None:
    trail = Trail(world, None)
    assert world.api("acme").sign_in("alice").status_code == 302
    last = world.sql("SELECT last_login FROM shared.tenants_credential WHERE user_id = %s", world.person("alice").pk)
    assert last[0][0] is not None
    assert trail.told() == []


def test_no_digest_of_a_key_stands_in_any_trail_in_any_encoding(world: World) -> None:
    with world.platform("sam"):
        key, secret = apikeys.issue(name="new", tenant=Tenant.objects.get(slug="acme"), scopes=["audit:read"])
        apikeys.revoke(key)
    digests = [bytes(row[0]) for row in world.sql("SELECT digest FROM shared.tenants_apikey")]
    assert digest(secret) in digests
    said = everything(world)
    assert [text for each in digests for text in spellings(each) if text in said] == []
    assert [each for each in [secret, *world.keys.values()] if each in said] == []


def test_a_digest_that_is_changed_is_told_as_changed(world: World) -> None:
    platform, acme = Trail(world, None), Trail(world)
    world.sql("UPDATE shared.tenants_apikey SET digest = digest || '\\x00' WHERE name = 'acme read'")
    for trail in (platform, acme):
        (entry,) = trail.told()
        assert entry.says == ("updated", "api_key", {"digest": {"old": MASKED, "new": MASKED}})


def provider(north: Organization, secret: str) -> dict[str, Any]:
    return {"organization": north, "provider_name": "stripe", "signing_key": secret, "api_token": f"{secret}-token"}


def test_masked_fields_tell_that_they_changed_and_nothing_of_what_they_are(world: World, north: Organization) -> None:
    def work(secret: str) -> None:
        made = WebhookProvider.objects.create(**provider(north, secret))
        WebhookProvider.objects.bulk_create([WebhookProvider(**provider(north, secret))])
        made.signing_key = f"{secret}-saved"
        made.save()
        made.signing_key = f"{secret}-bulk"
        WebhookProvider.objects.bulk_update([made], ["signing_key"])
        WebhookProvider.objects.update(api_token=f"{secret}-updated")
        WebhookProvider.objects.all().delete()

    told = [
        [(entry.action, entry.changes.get("signing_key"), entry.changes.get("api_token")) for entry in entries]
        for entries in (done(world, lambda: work("s3cr3t")), done(world, lambda: work("s3cr3t-and-a-longer-one")))
    ]
    new, both, old = {"new": MASKED}, {"old": MASKED, "new": MASKED}, {"old": MASKED}
    assert told[0] == told[1]
    assert told[0] == [
        ("created", new, new),
        ("created", new, new),
        ("updated", both, None),
        ("updated", both, None),
        ("updated", None, both),
        ("updated", None, both),
        ("deleted", old, old),
        ("deleted", old, old),
    ]
    assert "s3cr3t" not in everything(world)


def test_a_masked_field_that_does_not_change_is_not_told(world: World, north: Organization) -> None:
    with world.scope("acme"):
        WebhookProvider.objects.create(**provider(north, "s3cr3t"))
    assert done(world, lambda: WebhookProvider.objects.update(signing_key="s3cr3t")) == []
    (entry,) = done(world, lambda: WebhookProvider.objects.update(plan="premium"))
    assert entry.changes == {"plan": {"old": "free", "new": "premium"}}


def test_a_masked_text_of_a_megabyte_shows_neither_its_size_nor_its_hash(world: World, north: Organization) -> None:
    schema = world.acme.schema_name
    world.sql(
        f"ALTER TABLE {schema}.hostapp_webhookprovider ALTER signing_key TYPE text, ALTER provider_name TYPE text"
    )
    trail = Trail(world)
    with session(world, "superuser") as psql:
        psql.execute(
            "INSERT INTO hostapp_webhookprovider (id, organization_id, provider_name, is_active, signing_key, plan,"
            " api_token) VALUES (gen_random_uuid(), %s, repeat('x', 1000000), true, repeat('y', 1000000), '', '')",
            [north.pk],
        )
    (entry,) = trail.told()
    assert entry.changes["signing_key"] == {"new": MASKED}
    assert entry.changes["provider_name"]["new"]["bytes"] == 1_000_002


def test_the_token_of_a_third_party_is_masked_in_each_way(world: World) -> None:
    alice, secret = world.person("alice"), "k" * 40

    def work() -> None:
        token = Token.objects.create(user_id=alice.pk, key=secret)
        Token.objects.update(created=timezone.now())
        token.delete()

    entries = done(world, work)
    assert [entry.action for entry in entries] == ["created", "updated", "deleted"]
    assert {entry.id for entry in entries} == {str(alice.pk)}
    assert secret not in everything(world)


def test_a_change_of_an_excluded_field_leaves_nothing(world: World, north: Organization) -> None:
    def work() -> None:
        Organization.objects.update(seen_at=timezone.now())
        north.seen_at = timezone.now()
        north.save()

    assert done(world, work) == []


def test_an_excluded_field_is_in_no_entry_about_others(world: World) -> None:
    def work() -> None:
        made = Organization.objects.create(name="North", slug="north", seen_at=timezone.now())
        made.name, made.seen_at = "South", None
        made.save()
        made.delete()

    assert [entry for entry in done(world, work) if "seen_at" in entry.changes] == []


def test_of_chosen_fields_no_other_is_told_and_one_that_is_asked_for_by_name_is_not_masked(world: World) -> None:
    def work() -> None:
        made = Chosen.objects.create(visible="v", hidden="a-planted-secret", password="asked for")
        made.hidden = "another-planted-secret"
        made.save()
        made.visible = "w"
        made.save()

    created, changed = done(world, work)
    assert created.changes == {"visible": {"new": "v"}, "password": {"new": "asked for"}}
    assert changed.changes == {"visible": {"old": "v", "new": "w"}}
    assert "planted-secret" not in everything(world)


def test_personal_values_stand_apart_where_they_can_be_erased(world: World, north: Organization) -> None:
    (entry,) = done(world, lambda: Organization.objects.update(contact="al@example.com", name="South"))
    assert entry.row["personal"] == {"contact": {"old": "", "new": "al@example.com"}}
    assert entry.row["changes"] == {"name": {"old": "North", "new": "South"}}
    (alone,) = done(world, lambda: Organization.objects.update(contact=""))
    assert (alone.row["personal"], alone.row["changes"]) == ({"contact": {"old": "al@example.com", "new": ""}}, None)


def test_the_digest_of_no_other_key_is_told_when_all_are_revoked(world: World) -> None:
    platform = Trail(world, None)
    with world.platform("sam"):
        ApiKey.objects.update(revoked_at=timezone.now())
    entries = platform.told()
    assert len(entries) == len(world.keys)
    assert {tuple(entry.changes) for entry in entries} == {("revoked_at",)}
