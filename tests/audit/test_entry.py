"""Finding entries by what the indexes hold, and what may not be done with an entry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, connection
from hypothesis import given
from hypothesis import strategies as st
from world import World

from audit.entry import as_uuid, canonical, first_id, moment_of
from audit.models import AuditLog

MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(MOMENTS)
def test_the_first_id_of_a_moment_is_not_after_it_and_less_than_a_millisecond_before(moment: datetime) -> None:
    millis = first_id(moment).int >> 80
    begins = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=millis)
    assert timedelta(0) <= moment - begins < timedelta(milliseconds=1)


@given(st.uuids())
def test_each_spelling_of_a_uuid_is_canonical_in_one_way(value: UUID) -> None:
    for spelling in (str(value), str(value).upper(), value.hex, value.hex.upper()):
        assert as_uuid(spelling) == value
        assert canonical(spelling) == str(value)


@pytest.mark.parametrize("text", ["", "1", "x" * 36, "{" + str(UUID(int=1)) + "}", "urn:uuid:" + str(UUID(int=1))])
def test_other_text_is_no_uuid_and_stays_as_it_is(text: str) -> None:
    assert as_uuid(text) is None
    assert canonical(text) == text


def test_a_uuid_with_hyphens_in_odd_places_is_other_text() -> None:
    odd = "1234567-81234-1234-1234-123456789012"
    assert as_uuid(odd) is None


def test_since_and_until_are_half_open_at_the_microsecond(world: World) -> None:
    with world.scope("acme"):
        moments = [AuditLog.log_action(None, "created", "note", number).created_at for number in range(20)]
        for number, moment in enumerate(moments):
            after = AuditLog.objects.since(moment).filter(resource_type="note")
            before = AuditLog.objects.until(moment).filter(resource_type="note")
            assert (after.count(), before.count()) == (20 - number, number)


def test_a_resource_is_found_in_every_spelling_of_its_uuid(world: World) -> None:
    key = uuid4()
    with world.scope("acme"):
        entry = AuditLog.log_action(None, "created", "note", key.hex.upper())
        assert entry.resource_id == str(key)
        for spelling in (str(key), key.hex, str(key).upper()):
            assert [found.pk for found in AuditLog.get_resource_history("note", spelling)] == [entry.pk]
        assert not AuditLog.get_resource_history("other", key).exists()


def test_types_and_ids_with_colons_are_not_confused(world: World) -> None:
    with world.scope("acme"):
        first = AuditLog.log_action(None, "created", "a:b", "c")
        second = AuditLog.log_action(None, "created", "a", "b:c")
        assert [entry.pk for entry in AuditLog.get_resource_history("a:b", "c")] == [first.pk]
        assert [entry.pk for entry in AuditLog.get_resource_history("a", "b:c")] == [second.pk]


def test_an_action_is_found_by_its_whole_name(world: World) -> None:
    with world.scope("acme"):
        entry = AuditLog.log_action(None, "note.created", "note", "1")
        AuditLog.log_action(None, "note.created.twice", "note", "1")
        assert [found.pk for found in AuditLog.objects.of_action("note.created")] == [entry.pk]


def test_an_entry_can_be_neither_saved_nor_deleted_by_django(world: World) -> None:
    with world.scope("acme"):
        entry = AuditLog.log_action(None, "created", "note", "1")
    before = world.entries("acme")
    with world.scope("acme"):
        with pytest.raises(TypeError, match="never changed"):
            entry.save()
        with pytest.raises(TypeError, match="never deleted"):
            entry.delete()
        with pytest.raises(TypeError, match="log_action"):
            AuditLog.objects.create(action="created", resource_type="note", resource_id="1")
    assert world.entries("acme") == before


def test_an_entry_says_who_did_what_also_when_nobody_is_left(world: World) -> None:
    with world.scope("acme", "alice"):
        entry = AuditLog.log_action(None, "updated", "note", "1")
    assert str(entry) == "alice@acme.example updated note (1)"
    entry.actor_label = None
    assert str(entry) == "Deleted User updated note (1)"


def test_personal_changes_are_shown_with_the_others_until_they_are_erased(world: World) -> None:
    changes = {"email": {"old": "a@x.example", "new": "b@x.example"}, "seats": {"old": 1, "new": 2}}
    with world.scope("acme"):
        entry = AuditLog.log_action(None, "updated", "note", "1", changes, personal=["email"])
        stored = AuditLog.objects.get(pk=entry.pk)
    assert stored.changes == {"seats": changes["seats"]}
    assert stored.personal == {"email": changes["email"]}
    assert stored.all_changes == changes
    stored.personal = None
    assert stored.all_changes == {"seats": changes["seats"]}


def test_an_id_says_the_moment_that_the_database_computes_from_it(world: World) -> None:
    with world.scope("acme"):
        keys = [AuditLog.log_action(None, "created", "note", number).pk for number in range(50)]
        stored = dict(AuditLog.objects.filter(pk__in=keys).values_list("pk", "created_at"))
    assert {key: moment_of(key) for key in keys} == stored
    assert sorted(keys) == keys


def test_a_type_or_an_id_alone_finds_its_entries(world: World) -> None:
    with world.scope("acme"):
        first = AuditLog.log_action(None, "created", "note", "1")
        second = AuditLog.log_action(None, "created", "note", "2")
        third = AuditLog.log_action(None, "created", "page", "1")
        assert {entry.pk for entry in AuditLog.objects.of_resource_type("note")} == {first.pk, second.pk}
        assert {entry.pk for entry in AuditLog.objects.of_resource_id("1")} == {first.pk, third.pk}
        assert not AuditLog.objects.of_resource_type("not").exists()
        assert not AuditLog.objects.of_resource_id("").exists()


@pytest.mark.parametrize("transaction", [1, 2**62])
def test_an_entry_that_claims_another_transaction_is_refused(world: World, transaction: int) -> None:
    """A poller goes by the transaction: with a false one the entry would be hidden from it."""
    statement = """INSERT INTO audit_log (transaction_id, version, actor_type, actor_key, action, operation, outcome,
        source, resource_type, resource_key, salt) VALUES (%s, 1, 'user', 'x', 'a', 'other', 'success', 'database',
        'note', '1', '\\x00')"""
    before = world.entries("acme")
    with pytest.raises(DatabaseError, match="not its own"), world.scope("acme"), connection.cursor() as cursor:
        cursor.execute(statement, [transaction])
    assert world.entries("acme") == before
    with world.scope("acme"), connection.cursor() as cursor:
        cursor.execute(statement.replace("(transaction_id, ", "(").replace("VALUES (%s, ", "VALUES ("))
    assert world.entries("acme") == before + 1
