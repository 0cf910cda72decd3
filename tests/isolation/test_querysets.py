"""A lazy queryset made for one tenant is not evaluated in another's scope: an error, not other rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import Count, Exists, Subquery
from trying_urls import THING, things

from audit import ledger
from audit.events import Event, Party, RequestContext
from audit.models import AuditLog, UsageLog
from audit.usage import record_usage
from tenants import pinned
from tenants.context import SYSTEM, tenant_scope
from tenants.errors import NoScope, ScopeConflict
from tenants.models import Membership, User

EVALUATIONS: dict[str, Callable[[Any], Any]] = {
    "list": list,
    "count": lambda rows: rows.count(),
    "exists": lambda rows: rows.exists(),
    "first": lambda rows: rows.first(),
    "get": lambda rows: rows.get(),
    "aggregate": lambda rows: rows.aggregate(Count("pk")),
    "aggregate of a slice": lambda rows: rows.all()[:2].aggregate(Count("pk")),
    "iterator": lambda rows: list(rows.iterator()),
    "values": lambda rows: list(rows.values("pk")),
    "refined": lambda rows: list(rows.filter(action="waved").order_by("id")),
    "slice": lambda rows: rows[0],
    "in bulk": lambda rows: rows.in_bulk(),
    "explain": lambda rows: rows.explain(),
    "delete": lambda rows: rows.delete(),
    "update": lambda rows: rows.update(action="x"),
    "subquery": lambda rows: list(AuditLog.objects.filter(pk__in=rows.values("pk"))),
    "annotation": lambda rows: list(AuditLog.objects.annotate(other=Subquery(rows.values("pk")[:1]))),
    "condition": lambda rows: list(AuditLog.objects.filter(Exists(rows))),
    "union": lambda rows: list(AuditLog.objects.all().union(rows)),
    "truth": bool,
}


@pytest.mark.parametrize("way", EVALUATIONS)
def test_a_queryset_of_one_tenant_is_not_evaluated_in_another(pair: dict[str, Any], way: str) -> None:
    with tenant_scope(pair["acme"], actor=SYSTEM):
        rows = things()
    with tenant_scope(pair["globex"], actor=SYSTEM), pytest.raises(ScopeConflict, match="made in another scope"):
        EVALUATIONS[way](rows)
    with pytest.raises(NoScope):
        EVALUATIONS[way](rows)


def test_a_queryset_is_evaluated_in_a_later_scope_of_its_tenant(pair: dict[str, Any]) -> None:
    with tenant_scope(pair["acme"], actor=SYSTEM):
        rows = things()
    with tenant_scope(pair["acme"], actor=SYSTEM):
        assert [row.resource_id for row in rows] == ["acme"]


def test_a_queryset_of_a_class_belongs_to_the_scope_that_refines_it(pair: dict[str, Any]) -> None:
    anywhere = AuditLog.objects.filter(resource_type=THING)
    for slug in ("acme", "globex"):
        with tenant_scope(pair[slug], actor=SYSTEM):
            assert [row.resource_id for row in anywhere.all()] == [slug]
            refined = anywhere.order_by("id")
    with tenant_scope(pair["acme"], actor=SYSTEM), pytest.raises(ScopeConflict):
        list(refined)


def test_querysets_of_shared_tables_and_of_usage_stay_where_they_were_made(pair: dict[str, Any]) -> None:
    with tenant_scope(pair["acme"], actor=SYSTEM):
        record_usage("events", 1)
        lazy: list[Any] = [Membership.objects.all(), User.objects.all(), UsageLog.objects.all()]
        assert all(lazy)
        lazy = [rows.all() for rows in lazy]
    with tenant_scope(pair["globex"], actor=SYSTEM):
        for rows in lazy:
            with pytest.raises(ScopeConflict):
                list(rows)


# --- a row that is carried over: what it refers to


def agents(pair: dict[str, Any]) -> dict[str, Any]:
    """Return an entry of each tenant, whose user agents are the tenants' names and have the same number."""
    entries = {}
    for slug, tenant in pair.items():
        with tenant_scope(tenant, actor=SYSTEM):
            event = Event(action="came", resource=Party(THING, "1"), context=RequestContext(user_agent=slug))
            entries[slug] = AuditLog.objects.get(pk=ledger.append(AuditLog, [event])[0].pk)
    assert entries["acme"].agent_id == entries["globex"].agent_id
    return entries


def test_what_a_row_refers_to_is_not_looked_up_in_another_tenant(pair: dict[str, Any]) -> None:
    """The number of acme's user agent is that of another one in globex."""
    entry = agents(pair)["acme"]
    with tenant_scope(pair["globex"], actor=SYSTEM), pytest.raises(ScopeConflict):
        assert entry.agent
    with pytest.raises(NoScope):
        assert entry.agent
    with tenant_scope(pair["acme"], actor=SYSTEM):
        assert entry.agent.user_agent == "acme"


def test_what_a_row_left_out_is_not_read_in_another_tenant(pair: dict[str, Any]) -> None:
    with tenant_scope(pair["acme"], actor=SYSTEM):
        deferred = AuditLog.objects.filter(resource_type=THING).only("pk").get()
    with tenant_scope(pair["globex"], actor=SYSTEM), pytest.raises(AuditLog.DoesNotExist):
        assert deferred.action


def test_rows_of_several_tenants_are_not_completed_in_one(pair: dict[str, Any]) -> None:
    from django.db.models import prefetch_related_objects

    entries = agents(pair)
    with tenant_scope(pair["globex"], actor=SYSTEM), pytest.raises(ScopeConflict):
        prefetch_related_objects([entries["acme"], entries["globex"]], "agent")
    assert "agent" not in entries["acme"]._state.fields_cache


# --- controls: without the pins they answer with the other tenant's rows

# What reads rows and says which; the others count them, or are not allowed at all.
READS = {
    "list": lambda rows: [row.resource_id for row in rows],
    "first": lambda rows: [rows.first().resource_id],
    "get": lambda rows: [rows.get().resource_id],
    "iterator": lambda rows: [row.resource_id for row in rows.iterator()],
    "values": lambda rows: [row["resource_id"] for row in rows.values("resource_id")],
    "slice": lambda rows: [rows[0].resource_id],
    "subquery": lambda rows: [row.resource_id for row in AuditLog.objects.filter(pk__in=rows.values("pk"))],
}


@pytest.mark.parametrize("way", READS)
def test_control_without_the_pins_a_queryset_reads_another_tenants_rows(
    pair: dict[str, Any], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(pinned.PinnedQuery, "_check", lambda _query: None)
    with tenant_scope(pair["acme"], actor=SYSTEM):
        rows = things()
    with tenant_scope(pair["globex"], actor=SYSTEM):
        assert READS[way](rows) == ["globex"]


def test_control_without_the_pins_a_row_names_another_tenants_agent(
    pair: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = agents(pair)["acme"]
    monkeypatch.setattr(pinned.PinnedQuery, "_check", lambda _query: None)
    with tenant_scope(pair["globex"], actor=SYSTEM):
        assert entry.agent.user_agent == "globex"
