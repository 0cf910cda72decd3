"""Pages of lines: equal to what the API shows, each entry once, in memory that does not grow with the trail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trails import generated, oracle, stored
from units import run
from world import World

from audit import export, ledger
from audit.api.representation import represent
from audit.entry import first_id
from audit.events import Event, Operation, Outcome, Party, RequestContext, Source
from audit.models import AuditLog
from audit.query import Filter
from tenants.context import SYSTEM, tenant_scope
from tenants.errors import NoScope

EVERYTHING = Filter()


def unit(world: World) -> export.Unit:
    return partial(tenant_scope, world.acme, actor=SYSTEM)


def now(world: World) -> UUID:
    with world.scope("acme"):
        return export.bound()


def found(world: World, wanted: Filter = EVERYTHING) -> list[dict[str, Any]]:
    """Return the entries that an export has now."""
    lines = chain.from_iterable(export.pages(unit(world), wanted, now(world)))
    return [json.loads(line) for line in lines]


def shown(world: World) -> list[dict[str, Any]]:
    """Return all entries as the API shows them, oldest first."""
    acme = world.acme
    with world.scope("acme"):
        return [represent(entry, acme) for entry in AuditLog.objects.select_related("agent").order_by("id")]


# --- a line is the entry as the API shows it

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(-1e15, 1e15, allow_nan=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=4)
PARTIES = st.builds(Party, TEXTS, TEXTS, TEXTS)
ADDRESSES = st.none() | st.ip_addresses().map(str)
EVENTS = st.builds(
    Event,
    action=TEXTS,
    resource=PARTIES,
    actor=st.none() | PARTIES,
    impersonator=st.none() | PARTIES,
    operation=st.none() | st.sampled_from(Operation),
    outcome=st.sampled_from(Outcome),
    targets=st.lists(PARTIES, max_size=2).map(tuple),
    changes=st.none() | OBJECTS,
    description=TEXTS,
    occurred_at=st.none() | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001
    context=st.builds(
        RequestContext,
        ip=ADDRESSES,
        user_agent=st.none() | TEXTS,
        request_id=st.none() | TEXTS,
        source=st.none() | st.sampled_from(Source),
    ),
    metadata=OBJECTS,
    version=st.integers(1, 2**15 - 1),
    personal=st.just(frozenset()) | st.frozensets(TEXTS, max_size=2),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(EVENTS, min_size=1, max_size=4))
def test_a_line_of_sql_is_the_entry_as_the_api_shows_it(world: World, events: list[Event]) -> None:
    acme = world.acme
    with world.scope("acme"):
        first = export.bound()
        keys = [entry.pk for entry in ledger.append(AuditLog, events)]
        entries = AuditLog.objects.select_related("agent").filter(pk__in=keys).order_by("id")
        expected = [represent(entry, acme) for entry in entries]
    last = UUID(int=max(key.int for key in keys) + 1)
    lines = list(chain.from_iterable(export.pages(unit(world), Filter(since=None), last)))[-len(keys) :]
    assert [json.loads(line) for line in lines] == expected
    # Key for key in the same order, and without what JSON does not need.
    assert [list(json.loads(line)) for line in lines] == [list(entry) for entry in expected]
    assert all("\n" not in line for line in lines)
    assert first.int < last.int


@pytest.mark.parametrize("few", [1, 1_000])
def test_a_line_has_the_position_that_its_entry_has_by_then(
    world: World, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(export, "_FEW", few)
    for number in range(3):
        with world.scope("acme"):
            ledger.append(AuditLog, generated(50, seed=number))
    world.sequence()
    with world.scope("acme"):
        ledger.append(AuditLog, generated(5))
    lines = found(world)
    page = world.api(key="acme.read").get("/api/v1/audit-logs", limit="1000").json()["results"]
    assert lines == list(reversed(page))
    assert sorted(entry["position"] for entry in lines if entry["position"] is not None) == list(range(len(lines) - 5))
    assert [entry["position"] for entry in lines[-5:]] == [None] * 5


@pytest.mark.parametrize("changes", [{"name": {"old": "A", "new": "B"}, "plan": 1}, {"name": 1}, {"plan": 1}])
def test_personal_changes_are_shown_beside_the_others(world: World, changes: dict[str, Any]) -> None:
    with world.scope("acme"):
        AuditLog.log_action(None, "updated", "person", "7", changes, personal=["name"])
    assert found(world) == shown(world)
    assert found(world)[-1]["changes"] == changes


def test_entries_of_people_with_agents_addresses_and_numbers_are_shown_alike(world: World) -> None:
    with world.scope("acme", "alice", ip="2001:db8::1", user_agent="curl/8", request_id="r"):
        AuditLog.log_action(None, "updated", "note", "7", {"n": 1.0, "big": str(2**70)})
    with world.scope("acme"):
        run(
            "INSERT INTO audit_log (version, action, operation, outcome, source, actor_type, actor_key, resource_type,"
            " resource_key, salt, metadata) VALUES (1, 'a', 'b', 'c', '\"', 'x', '', 'y', '', '', '{\"a\": 1.50}')"
        )
    assert found(world) == shown(world)
    assert found(world)[-1]["context"]["source"] == '"'


# --- which entries, in which order


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a few entries, so that a small trail has many."""
    for name, value in {"_REACH": 7, "_LEAST": 2, "_MOST": 50, "_PAGE": 2_000, "_FEW": 2}.items():
        monkeypatch.setattr(export, name, value)


FILTERS = [
    Filter(),
    Filter(action=("invoice.*", "created")),
    Filter(action=("-invoice.*",)),
    Filter(actor=("u-1",)),
    Filter(resource_type=("invoice",), resource_id=("7",)),
    Filter(outcome=(Outcome.DENIED,)),
    Filter(actor=("nobody",)),
]


@pytest.mark.usefixtures("small_pages")
def test_each_filter_gives_each_of_its_entries_once_oldest_first(world: World) -> None:
    with world.scope("acme"):
        ledger.append(AuditLog, generated(150))
    entries = stored(world)[::-1]
    middle = entries[len(entries) // 2]["created_at"]
    for wanted in [*FILTERS, Filter(since=middle), Filter(until=middle), Filter(since=middle, actor=("u-2",))]:
        expected = [str(entry["id"]) for entry in entries if oracle(entry, wanted)]
        assert [entry["id"] for entry in found(world, wanted)] == expected


@pytest.mark.usefixtures("small_pages")
def test_pages_are_small_and_none_is_empty(world: World) -> None:
    with world.scope("acme"):
        ledger.append(AuditLog, generated(100))
    sizes = [len(page) for page in export.pages(unit(world), EVERYTHING, now(world))]
    assert sum(sizes) == world.entries("acme")
    assert 0 < min(sizes) <= max(sizes) <= 7
    assert list(export.pages(unit(world), Filter(actor=("nobody",)), now(world))) == []


@pytest.mark.usefixtures("small_pages")
def test_entries_written_meanwhile_are_not_in_it(world: World) -> None:
    with world.scope("acme"):
        ledger.append(AuditLog, generated(40))
    before, lines = world.entries("acme"), []
    for page in export.pages(unit(world), EVERYTHING, now(world)):
        lines += page
        with world.scope("acme"):
            AuditLog.log_action(None, "written", "meanwhile", "1")
    assert len(lines) == before
    assert world.entries("acme") > before


def test_another_tenants_entries_are_not_in_it(world: World) -> None:
    with world.scope("globex"):
        secret = AuditLog.log_action(None, "hidden", "thing", "1")
    assert str(secret.pk) not in str(found(world))


def test_a_trail_of_no_entry_before_the_bound_has_no_page(world: World) -> None:
    early = first_id(datetime(2020, 1, 1, tzinfo=UTC))
    assert list(export.pages(unit(world), EVERYTHING, early)) == []
    assert list(export.pages(unit(world), Filter(since=datetime.now(UTC) + timedelta(days=1)), now(world))) == []


@pytest.mark.usefixtures("small_pages")
def test_no_transaction_is_open_while_the_reader_takes_his_time(world: World) -> None:
    with world.scope("acme"):
        ledger.append(AuditLog, generated(40))
    idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state = 'idle in transaction'"
    for page in export.pages(unit(world), EVERYTHING, now(world)):
        assert page
        assert world.sql(idle, world.database) == [(0,)]
        assert not connection.in_atomic_block


@pytest.mark.usefixtures("small_pages")
def test_a_reader_who_goes_away_leaves_nothing_open(world: World) -> None:
    with world.scope("acme"):
        ledger.append(AuditLog, generated(40))
    parts = export.stream("jsonl", export.pages(unit(world), EVERYTHING, now(world)), compress=False)
    next(parts)
    parts.close()
    assert not connection.in_atomic_block
    with world.scope("acme"):
        assert run("SELECT 1") == 1


def test_how_many_entries_a_page_looks_at_follows_what_it_finds() -> None:
    assert export._adapted(8_000, 0, 0.01) == 16_000
    assert export._adapted(8_000, 5_000, 0.01) == 8_000
    assert export._adapted(8_000, 0, 0.2) == 8_000
    assert export._adapted(8_000, 0, 2) == 4_000
    assert export._adapted(export._MOST, 0, 0.01) == export._MOST
    assert export._adapted(export._LEAST, 0, 9) == export._LEAST


def test_without_a_tenant_nothing_is_exported(world: World) -> None:
    with world.platform(), pytest.raises(NoScope):
        export.reopened()
    with pytest.raises(NoScope):
        next(export.pages(world.platform, EVERYTHING, now(world)))


# --- a break


def broken(pages: list[list[str]]) -> Iterator[list[str]]:
    yield from pages
    raise DatabaseError("gone")


@pytest.mark.parametrize(("form", "mark"), [("jsonl", b'{"export_interrupted": true}\n'), ("parquet", b"")])
def test_a_file_that_breaks_off_says_so_and_the_error_comes_out(form: str, mark: bytes) -> None:
    parts: list[bytes] = []
    with pytest.raises(DatabaseError, match="gone"):
        parts.extend(export.stream(form, broken([]), compress=False))
    assert b"".join(parts).endswith(mark)


@pytest.mark.usefixtures("small_pages")
def test_a_page_that_cannot_be_read_breaks_the_file_off(world: World) -> None:
    with world.scope("acme"):
        ledger.append(AuditLog, generated(40))
    opened = 0

    def failing() -> AbstractContextManager[Any]:
        nonlocal opened
        opened += 1
        if opened > 2:
            raise DatabaseError("gone")
        return unit(world)()

    parts: list[bytes] = []
    stream = export.stream("jsonl", export.pages(failing, EVERYTHING, now(world)), compress=False)
    with pytest.raises(DatabaseError):
        parts.extend(stream)
    lines = b"".join(parts).splitlines()
    assert json.loads(lines[-1]) == {"export_interrupted": True}
    assert json.loads(lines[0])["id"]


def test_a_record_of_an_export_says_which(world: World) -> None:
    with world.scope("acme", "alice"):
        export.record("trail.exported", {"format": "csv"})
    with world.scope("acme"):
        entry = AuditLog.objects.get(action="trail.exported")
    assert (entry.operation, entry.metadata, entry.actor_label) == ("read", {"format": "csv"}, "alice@acme.example")
    assert (entry.resource_type, entry.resource_label) == ("trail", "acme")
