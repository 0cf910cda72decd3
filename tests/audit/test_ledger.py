"""The ledger: every field of an entry, whose it is, what is refused, and that a batch is one statement in order."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.test.utils import CaptureQueriesContext
from world import World

from audit import ledger
from audit.events import MAX_ENTRY_BYTES, Event, Operation, Outcome, Party, RequestContext, Source
from audit.models import AuditLog, AuditUserAgent
from subscriptions import platform_log
from subscriptions.models import PlatformLog
from tenants.context import SYSTEM, Actor, Origin, enter_tenant, tenant_scope
from tenants.errors import BadInput, NoScope, TooLarge

THING = Party("thing", "1", "Thing one")
FULL = Event(
    action="invoice.updated",
    resource=Party("invoice", "INV 1/2 é", "Invoice one"),
    actor=Party("api_key", "k-1", "The key"),
    impersonator=Party("staff", "s-1", "Sam"),
    operation=Operation.OTHER,
    outcome=Outcome.FAILURE,
    targets=(Party("line", "1", "First"), Party("line", "2")),
    changes={"plan": {"old": "free", "new": "premium"}, "email": {"old": "a@example.com", "new": None}},
    description="It did not work",
    occurred_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    context=RequestContext(ip="2001:db8::7", user_agent="curl/8", request_id="r-1", source=Source.IMPORT),
    metadata={"a": [1, 2.5, None, True, {"b": "c"}]},
    version=3,
    personal=frozenset({"email"}),
)


def stored(entry: Any) -> AuditLog:
    """Return an entry as the database has it."""
    found: AuditLog = type(entry).objects.select_related("agent").get(pk=entry.pk)
    return found


def append(*events: Event) -> list[AuditLog]:
    return ledger.append(AuditLog, list(events))


def test_every_field_of_an_event_is_stored(world: World) -> None:
    with world.scope("acme", "alice"):
        entry = stored(append(FULL)[0])
    assert (entry.action, entry.operation, entry.outcome, entry.version) == ("invoice.updated", "other", "failure", 3)
    assert (entry.actor_type, entry.actor_id, entry.actor_label) == ("api_key", "k-1", "The key")
    assert (entry.impersonator_type, entry.impersonator_id, entry.impersonator_label) == ("staff", "s-1", "Sam")
    assert (entry.resource_type, entry.resource_id, entry.resource_label) == ("invoice", "INV 1/2 é", "Invoice one")
    assert entry.targets == [{"type": "line", "id": "1", "label": "First"}, {"type": "line", "id": "2", "label": ""}]
    assert entry.description == "It did not work"
    assert entry.occurred_at == FULL.occurred_at
    assert (entry.ip, entry.request_id, entry.source) == ("2001:db8::7", "r-1", "import")
    assert entry.agent is not None
    assert entry.agent.user_agent == "curl/8"
    assert entry.metadata == FULL.metadata
    assert entry.user_id is None
    # A field added to Event must be looked at here. `length` alone is of how it came, and no part of the entry.
    assert len(fields(Event)) == 15


def test_what_is_returned_equals_what_is_stored(world: World) -> None:
    with world.scope("acme", "alice", user_agent="probe/1", ip="203.0.113.9", request_id="r"):
        for event in (FULL, Event(action="x", resource=THING), Event(action="x", resource=Party("t", str(uuid4())))):
            returned = append(event)[0]
            found = stored(returned)
            for field in AuditLog._meta.concrete_fields:
                expected = getattr(found, field.attname)
                value = getattr(returned, field.attname)
                if field.attname == "salt":
                    expected, value = bytes(expected), bytes(value)
                assert value == expected or str(value) == str(expected), field.attname
            assert returned == found


def test_the_personal_part_stands_apart(world: World) -> None:
    with world.scope("acme"):
        entry = stored(append(FULL)[0])
    assert entry.changes == {"plan": {"old": "free", "new": "premium"}}
    assert entry.personal == {"email": {"old": "a@example.com", "new": None}}
    assert entry.all_changes == FULL.changes


@pytest.mark.parametrize(
    ("changes", "kept", "personal"),
    [(None, None, None), ({}, {}, None), ({"email": 1}, {}, {"email": 1}), ({"a": 1}, {"a": 1}, None)],
)
def test_changes_without_a_part_have_none(world: World, changes: Any, kept: Any, personal: Any) -> None:
    with world.scope("acme"):
        entry = stored(append(replace(FULL, changes=changes))[0])
    assert (entry.changes, entry.personal) == (kept, personal)
    assert entry.all_changes == (None if changes is None else changes)


def test_the_actor_is_the_scopes_unless_said(world: World) -> None:
    alice = world.actor("alice")
    boss = Actor("user", str(uuid4()), "boss@acme.example", uuid4())
    with world.scope("acme", "alice"):
        own = stored(append(Event(action="x", resource=THING))[0])
        other = stored(append(Event(action="x", resource=THING, actor=Party("user", "7", "Seven")))[0])
    assert (own.actor_type, own.actor_id, own.actor_label, own.user_id) == (
        "user",
        alice.id,
        alice.label,
        alice.user_id,
    )
    assert (other.actor_id, other.user_id) == ("7", None)
    with tenant_scope(world.acme, actor=replace(alice, impersonator=boss)):
        entry = stored(append(Event(action="x", resource=THING))[0])
    assert (entry.impersonator_type, entry.impersonator_id, entry.impersonator_label) == ("user", boss.id, boss.label)


def test_a_user_is_who_acted_and_the_pointer_goes_to_him(world: World) -> None:
    bob = world.person("bob")
    with world.scope("acme", "alice"):
        entry = stored(AuditLog.log_action(bob, "read", "thing", 1))
        anonymous = stored(AuditLog.log_action(AnonymousUser(), "read", "thing", 1))
        nobody = stored(AuditLog.log_action(None, "read", "thing", 1))
    assert (entry.user_id, entry.actor_id, entry.actor_label) == (bob.pk, str(bob.pk), "bob@acme.example")
    assert (anonymous.actor_type, anonymous.user_id) == ("anonymous", None)
    assert nobody.actor_label == "alice@acme.example"


def test_no_pointer_goes_to_a_person_who_never_belonged_to_the_tenant(world: World) -> None:
    """Nobody would know where to clear it once he is deleted. A past member has one: his membership is kept."""
    charlie, bob, acme = world.person("charlie"), world.person("bob"), world.acme
    world.sql("UPDATE shared.tenants_membership SET ended_at = now() WHERE user_id = %s", bob.pk)
    with world.scope("acme", "alice"):
        stranger, past = (AuditLog.log_action(person, "read", "thing", 1) for person in (charlie, bob))
        assert [stored(entry).user_id for entry in (stranger, past)] == [None, bob.pk]
    assert (stranger.user_id, stranger.actor_id, stranger.actor_label) == (None, str(charlie.pk), charlie.email)
    with world.platform("sam"), enter_tenant(acme):
        entered = stored(AuditLog.log_action(charlie, "read", "thing", 1))
    assert (entered.user_id, entered.actor_id) == (None, str(charlie.pk))


def test_staff_have_a_pointer_in_the_platforms_trail_alone(world: World) -> None:
    sam, acme = world.person("sam"), world.acme
    with world.platform("sam"):
        own = platform_log.log_action("x", "thing", "1", user=sam, tenant_id=acme.id)
        scoped = platform_log.log_action("x", "thing", "1")
        with enter_tenant(acme):
            entered = AuditLog.log_action(None, "x", "thing", "1")
        found = PlatformLog.objects.get(pk=own.pk)
    assert (found.actor_type, found.user_id, found.tenant_id) == ("staff", sam.pk, acme.id)
    assert (scoped.user_id, scoped.tenant_id) == (sam.pk, None)
    assert (entered.actor_type, entered.user_id) == ("staff", None)


def test_the_callers_own_context_is_not_that_of_an_actor_he_reports_about(world: World) -> None:
    origin = Origin(ip="203.0.113.9", user_agent="probe/1", request_id="r-9", source="api")
    with tenant_scope(world.acme, actor=world.actor("alice"), origin=origin) as scope:
        own = stored(append(Event(action="x", resource=THING))[0])
        same = stored(append(Event(action="x", resource=THING, actor=Party("user", scope.actor.id)))[0])
        other = stored(append(Event(action="x", resource=THING, actor=Party("user", "7")))[0])
        said = RequestContext(ip="198.51.100.1", user_agent="said/1", request_id="said", source=Source.WEBHOOK)
        said_ = stored(append(Event(action="x", resource=THING, context=said))[0])
    for entry in (own, same):
        assert (entry.ip, entry.request_id, entry.source) == ("203.0.113.9", "r-9", "api")
        assert entry.agent is not None
        assert entry.agent.user_agent == "probe/1"
    assert (other.ip, other.agent, other.request_id, other.source) == (None, None, "r-9", "api")
    assert (said_.ip, said_.request_id, said_.source) == ("198.51.100.1", "said", "webhook")
    assert said_.agent is not None
    assert said_.agent.user_agent == "said/1"


@pytest.mark.parametrize(
    ("action", "operation"), [("deleted", "delete"), ("user.created", "create"), ("waved", "other")]
)
def test_the_operation_comes_from_the_action_unless_said(world: World, action: str, operation: str) -> None:
    with world.scope("acme"):
        assert stored(AuditLog.log_action(None, action, "thing", 1)).operation == operation
        assert stored(AuditLog.log_action(None, action, "thing", 1, operation="read")).operation == "read"


def test_a_batch_is_one_statement_in_order(world: World) -> None:
    events = [replace(FULL, resource=Party("thing", str(number))) for number in range(200)]
    with world.scope("acme"):
        with CaptureQueriesContext(connection) as queries:
            written = append(*events)
        assert len(queries) == 1
        rows = list(AuditLog.objects.filter(resource_type="thing").order_by("id").values_list("id", "resource_id"))
    assert [(entry.pk, entry.resource_id) for entry in written] == rows
    assert [key for _, key in rows] == [str(number) for number in range(200)]
    assert len({entry.transaction_id for entry in written}) == 1


def test_a_batch_of_unlike_events_keeps_each_as_it_is(world: World) -> None:
    bare = Event(action="x", resource=THING)
    with world.scope("acme"):
        first, second, third = (stored(entry) for entry in append(bare, FULL, bare))
    assert (first.description, second.description, third.description) == (None, "It did not work", None)
    assert (first.changes, third.changes) == (None, None)
    assert second.agent is not None
    assert (first.agent, third.agent) == (None, None)


def test_nothing_written_is_no_statement(world: World) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert append() == []
    assert len(queries) == 0


def test_each_entry_has_a_salt_of_its_own(world: World) -> None:
    with world.scope("acme"):
        salts = {bytes(entry.salt) for entry in append(*[FULL] * 50)}
    assert len(salts) == 50
    assert {len(salt) for salt in salts} == {16}


def test_a_user_agent_is_kept_once(world: World) -> None:
    with world.scope("acme", user_agent="probe/1"):
        AuditLog.log_action(None, "x", "thing", 1)
        append(*[Event(action="x", resource=THING)] * 3, replace(FULL, context=RequestContext(user_agent="probe/2")))
    with world.scope("acme", user_agent="probe/2"):
        AuditLog.log_action(None, "x", "thing", 1)
        agents = AuditUserAgent.objects.filter(user_agent__startswith="probe")
        assert sorted(agents.values_list("user_agent", flat=True)) == ["probe/1", "probe/2"]
    with world.scope("globex"):
        assert AuditUserAgent.objects.filter(user_agent__startswith="probe").count() == 0


@pytest.mark.parametrize("spelled", ["{0}", "{0.hex}", "upper"])
def test_an_id_that_is_a_uuid_is_kept_as_one_and_shown_canonically(world: World, spelled: str) -> None:
    key = uuid4()
    text = str(key).upper() if spelled == "upper" else spelled.format(key)
    with world.scope("acme"):
        written = append(Event(action="x", resource=Party("thing", text), actor=Party("user", text)))[0]
        entry = stored(written)
    for one in (written, entry):
        assert (one.resource_id, one.actor_id) == (str(key), str(key))
    columns = f"SELECT resource_uuid, resource_key, actor_uuid, actor_key FROM {world.acme.schema_name}.audit_log"
    assert world.sql(f"{columns} WHERE id = %s", entry.pk) == [(key, None, key, None)]


@pytest.mark.parametrize(
    "key", ["", "1", "ä/b", "{" + str(UUID(int=7)) + "}", "urn:uuid:" + str(UUID(int=7)), "x" * 255]
)
def test_any_other_id_is_text_as_it_is(world: World, key: str) -> None:
    with world.scope("acme"):
        assert stored(append(Event(action="x", resource=Party("thing", key)))[0]).resource_id == key


NASTY = {"U+0000": "a\x00b", "a lone surrogate": "a\ud800b"}
PLACES: dict[str, Any] = {
    "/action": lambda text: replace(FULL, action=text),
    "/resource/type": lambda text: replace(FULL, resource=Party(text, "1")),
    "/resource/id": lambda text: replace(FULL, resource=Party("thing", text)),
    "/resource/label": lambda text: replace(FULL, resource=Party("thing", "1", text)),
    "/actor/type": lambda text: replace(FULL, actor=Party(text, "1")),
    "/actor/id": lambda text: replace(FULL, actor=Party("user", text)),
    "/actor/label": lambda text: replace(FULL, actor=Party("user", "1", text)),
    "/impersonator/type": lambda text: replace(FULL, impersonator=Party(text, "1")),
    "/impersonator/id": lambda text: replace(FULL, impersonator=Party("user", text)),
    "/impersonator/label": lambda text: replace(FULL, impersonator=Party("user", "1", text)),
    "/description": lambda text: replace(FULL, description=text),
    "/context/request_id": lambda text: replace(FULL, context=RequestContext(request_id=text)),
    "/context/user_agent": lambda text: replace(FULL, context=RequestContext(user_agent=text)),
    "/metadata/a": lambda text: replace(FULL, metadata={"a": text}),
    "/changes/a/0": lambda text: replace(FULL, changes={"a": [text]}),
    "/personal/email": lambda text: replace(FULL, changes={"email": text}),
    "/targets/0/label": lambda text: replace(FULL, targets=(Party("t", "1", text),)),
}


@pytest.mark.parametrize("kind", NASTY)
@pytest.mark.parametrize("pointer", PLACES)
def test_a_text_that_cannot_be_stored_is_refused_by_name(world: World, pointer: str, kind: str) -> None:
    before = world.entries("acme")
    with world.scope("acme"), pytest.raises(BadInput, match="cannot be stored") as refused:
        append(FULL, PLACES[pointer](NASTY[kind]))
    assert [error["pointer"] for error in refused.value.errors] == [f"/events/1{pointer}"]
    assert world.entries("acme") == before


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"bytes"])
def test_a_value_that_is_no_json_is_refused(world: World, value: Any) -> None:
    before = world.entries("acme")
    with world.scope("acme"), pytest.raises(BadInput) as refused:
        AuditLog.log_action(None, "x", "thing", 1, {"a": {"old": 1, "new": value}})
    assert refused.value.errors[0]["pointer"] == "/events/0/changes/a/new"
    assert world.entries("acme") == before


@pytest.mark.parametrize("party", ["actor", "resource"])
def test_an_id_that_is_too_long_is_refused(world: World, party: str) -> None:
    event = replace(FULL, **{party: Party("thing", "x" * 256)})  # type: ignore[arg-type]
    with world.scope("acme"), pytest.raises(BadInput) as refused:
        append(event)
    assert refused.value.errors[0]["pointer"] == f"/events/0/{party}/id"


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def test_nesting_has_a_limit(world: World) -> None:
    with world.scope("acme"):
        assert stored(append(replace(FULL, metadata=nested(32)))[0]).metadata == nested(32)
        with pytest.raises(BadInput, match="nested deeper than 32"):
            append(replace(FULL, metadata=nested(33)))


@pytest.mark.parametrize("unit", ["x", "é", '"'])
def test_size_has_a_limit_in_bytes(world: World, unit: str) -> None:
    bare, size = Event(action="x", resource=THING), len(json.dumps(unit, ensure_ascii=False).encode()) - 2
    with world.scope("acme"):
        append(replace(bare, metadata={"a": unit * ((MAX_ENTRY_BYTES - 500) // size)}))
        with pytest.raises(TooLarge) as refused:
            append(bare, replace(bare, metadata={"a": unit * (MAX_ENTRY_BYTES // size)}))
        assert AuditLog.objects.filter(resource_type="thing").count() == 1
    assert refused.value.status == 413


def test_time_and_id_are_one_reading_of_the_databases_clock(world: World) -> None:
    before = world.sql("SELECT clock_timestamp()")[0][0]
    with world.scope("acme"):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.3)")
        entry = append(FULL)[0]
        found = stored(entry)
    assert entry.created_at == found.created_at
    assert before + timedelta(seconds=0.3) <= entry.created_at <= world.sql("SELECT clock_timestamp()")[0][0]
    says = world.sql("SELECT uuid_extract_timestamp(%s)", entry.pk)[0][0]
    assert timedelta(0) <= entry.created_at - says < timedelta(milliseconds=1)


def test_nothing_is_written_without_a_scope(world: World) -> None:
    with pytest.raises(NoScope):
        append(FULL)
    with pytest.raises(NoScope):
        AuditLog.log_action(world.person("alice"), "x", "thing", 1)


def test_an_entry_is_neither_saved_nor_deleted_by_django(world: World) -> None:
    with tenant_scope(world.acme, actor=SYSTEM):
        entry = append(FULL)[0]
        with pytest.raises(TypeError, match="never changed"):
            entry.save()
        with pytest.raises(TypeError, match="never deleted"):
            entry.delete()
    assert entry._state.adding is False
