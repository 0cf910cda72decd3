"""Many rows are written as one document, a few as values: what is stored is the same, and so is what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from hypothesis import given, settings
from hypothesis import strategies as st
from world import World

from audit import ledger, rows
from audit.events import MAX_ENTRY_BYTES, Event, Operation, Outcome, Party, RequestContext, Source
from audit.models import AuditLog
from audit.signals import audit_logged
from subscriptions.models import PlatformLog
from tenants.errors import BadInput, TooLarge

NASTY = "\"\\ \b\f\n\r\t\x01\x7f\x85\u2028\ufeff\uffff é 𝄞 ' %s %% {} $1 \\x41 \\u0041"
FULL = Event(
    action=NASTY[:100],
    resource=Party("invoice", NASTY, NASTY),
    actor=Party("api_key", "4F7F1E0A-7E65-4D58-9D0B-1B1B5D9D3C11", NASTY),
    impersonator=Party("staff", NASTY, NASTY),
    operation=Operation.OTHER,
    outcome=Outcome.FAILURE,
    targets=(Party("line", NASTY, NASTY),),
    changes={NASTY: {"old": [0.1, 5e-324, -1e15, 2**53, None, True], "new": NASTY}, "mail": {"new": NASTY}},
    description=NASTY,
    occurred_at=datetime(1, 1, 1, tzinfo=UTC),
    context=RequestContext(ip="2001:db8::7", user_agent=NASTY, request_id=NASTY, source=Source.IMPORT),
    metadata={"": {"": []}, NASTY: {}},
    version=2**15 - 1,
    personal=frozenset({"mail"}),
)
BARE = Event(action="x", resource=Party("thing", ""))
MANY = rows._FEW + 1
OWN = {"id", "created_at", "transaction_id", "salt"}


def content(entry: AuditLog) -> dict[str, Any]:
    """Return what is stored of an entry, but for what is each one's own."""
    found = AuditLog.objects.get(pk=entry.pk)
    return {
        field.attname: getattr(found, field.attname)
        for field in AuditLog._meta.concrete_fields
        if field.attname not in OWN
    }


@pytest.mark.parametrize(
    "event",
    [
        FULL,
        BARE,
        replace(BARE, changes={}, metadata={}),
        replace(BARE, occurred_at=datetime(9998, 12, 31, 23, 59, 59, 999999, tzinfo=timezone(-timedelta(hours=11)))),
        replace(BARE, occurred_at=datetime(1880, 1, 1, tzinfo=timezone(timedelta(minutes=53, seconds=28)))),
        replace(BARE, changes={"v": [1e-07, 1.2345e-05, 1e22, -0.0, 5e-324]}),
    ],
)
def test_an_event_is_stored_alike_among_few_and_among_many(world: World, event: Event) -> None:
    with world.scope("acme", "alice", ip="203.0.113.7", user_agent="probe/1", request_id="r"):
        alone = content(ledger.append(AuditLog, [event])[0])
        among = ledger.append(AuditLog, [BARE, FULL, *[event] * MANY])
        assert [content(entry) for entry in among[2:]] == [alone] * MANY
        assert content(among[1])["description"] == NASTY


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)


@given(st.lists(TEXT, min_size=MANY, max_size=MANY))
@settings(max_examples=60, deadline=None)
def test_no_text_ends_the_document_or_the_statement(texts: list[str]) -> None:
    agents = dict[str, int]()
    told = [{"description": text, "user_agent": text, "ip": None} for text in texts]
    lines = [rows._line(row, ("description",), agents) for row in told]
    assert [json.loads(line)["description"] for line in lines] == texts
    assert sorted(agents.values()) == list(range(1, len(set(texts)) + 1))


def test_an_agent_of_many_rows_is_looked_up_once_and_each_row_has_its_own(world: World) -> None:
    events = [
        replace(BARE, resource=Party("thing", str(n)), context=RequestContext(user_agent=f"probe/{n % 3}"))
        for n in range(30)
    ]
    with world.scope("acme"):
        ids = ledger.append_many(AuditLog, events)
        found = AuditLog.objects.select_related("agent").in_bulk(ids)
        assert [found[one].agent.user_agent for one in ids] == [f"probe/{n % 3}" for n in range(30)]
        assert [found[one].resource_id for one in ids] == [str(n) for n in range(30)]
    schema = world.acme.schema_name
    assert world.sql(f"SELECT count(*) FROM {schema}.audit_user_agent WHERE user_agent LIKE 'probe%'") == [(3,)]


def test_many_entries_of_the_platform_log_say_their_tenant_and_point_to_staff(world: World) -> None:
    sam, tenant = world.person("sam"), world.acme
    event = replace(BARE, actor=Party("staff", str(sam.pk), sam.email))
    with world.platform():
        made = ledger.append(PlatformLog, [event] * MANY, tenant_id=tenant.id, user_id=sam.pk)
        assert {(entry.tenant_id, entry.user_id) for entry in made} == {(tenant.id, sam.pk)}
        assert PlatformLog.objects.filter(action="x", user_id=sam.pk, tenant_id=tenant.id).count() == MANY


def test_no_pointer_goes_to_a_stranger_from_many_rows_either(world: World) -> None:
    charlie = world.person("charlie")
    event = replace(BARE, actor=Party("user", str(charlie.pk), charlie.email))
    with world.scope("acme"):
        made = ledger.append(AuditLog, [event] * MANY, user_id=charlie.pk)
        assert {entry.user_id for entry in made} == {None}


def test_the_platform_within_a_tenant_appends_many(world: World) -> None:
    from tenants.context import enter_tenant

    acme = world.acme
    with world.platform(), enter_tenant(acme):
        assert len(ledger.append_many(AuditLog, [BARE] * MANY)) == MANY


@pytest.mark.parametrize("unit", ["x", "é", '"'])
def test_one_of_many_that_is_too_large_is_refused_with_all_of_them(world: World, unit: str) -> None:
    room = (MAX_ENTRY_BYTES - 500) // len(unit.encode())
    with world.scope("acme"):
        ledger.append_many(AuditLog, [BARE] * MANY + [replace(BARE, description=unit * room)])
        before = AuditLog.objects.count()
        with pytest.raises(TooLarge):
            ledger.append_many(AuditLog, [BARE] * MANY + [replace(BARE, description=unit * (room + 500))])
        assert AuditLog.objects.count() == before


def test_many_are_measured_as_few_are(world: World) -> None:
    """As a parameter each of these has five bytes, in a row's document four."""
    large = replace(BARE, changes={"v": [1e-07] * 13_000})
    for number in (1, MANY):
        with world.scope("acme"), pytest.raises(TooLarge):
            ledger.append_many(AuditLog, [large] * number)


def test_one_of_many_that_cannot_be_stored_is_named(world: World) -> None:
    with world.scope("acme"), pytest.raises(BadInput) as refused:
        ledger.append_many(AuditLog, [BARE] * 7 + [replace(BARE, metadata={"a": ["\ud800"]})])
    assert refused.value.errors[0]["pointer"] == "/events/7/metadata/a/0"
    assert world.sql(f"SELECT count(*) FROM {world.acme.schema_name}.audit_log WHERE action = 'x'") == [(0,)]


def test_whoever_listens_hears_of_each_of_many(world: World) -> None:
    heard = []

    def listen(entry: AuditLog, **_: Any) -> None:
        heard.append(entry.id)

    audit_logged.connect(listen)
    try:
        with world.scope("acme"):
            assert ledger.append_many(AuditLog, [BARE] * MANY) == heard
    finally:
        audit_logged.disconnect(listen)
    assert len(heard) == MANY


def test_an_anonymous_actor_is_nobodys_pointer(world: World) -> None:
    with world.scope("acme"):
        entry = AuditLog.log_action(AnonymousUser(), "x", "thing", "1")
    assert entry.user_id is None
