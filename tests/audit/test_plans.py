"""How the database finds a page: along the index that holds what was asked for, in its order, without sorting."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from units import run
from world import World

from audit import ledger, query
from audit.entry import EntryQuerySet
from audit.events import Event, Outcome, Party, RequestContext
from audit.models import AuditLog
from audit.query import Filter, Order, Place

ENTRIES = 2_000
INDEX = {"actor": "hashtextextended", "resource": "hashtext_hashtext1", "outcome": "outcome"}


@pytest.fixture
def trail(world: World) -> World:
    """A trail in which one of ten actors and one of twenty resources have an entry in turn."""
    with world.scope("acme"):
        for start in range(0, ENTRIES, 500):
            numbers = range(start, start + 500)
            ledger.append(AuditLog, [event(number) for number in numbers])
    world.sql(f"ANALYZE {world.acme.schema_name}.audit_log")
    return world


def event(number: int) -> Event:
    return Event(
        action=f"done.{number % 7}",
        actor=Party("user", f"u-{number % 10}"),
        resource=Party("thing", str(number % 20)),
        outcome=Outcome.DENIED if number % 50 == 1 else Outcome.SUCCESS,
        context=RequestContext(request_id=f"r-{number // 2}"),
    )


@contextmanager
def noted() -> Iterator[list[str]]:
    """The statements that read entries."""
    seen: list[str] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if 'FROM "audit_log"' in sql:
            seen.append(context["cursor"].mogrify(sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield seen


def plan(wanted: Filter, order: Order = Order.DESC, place: Place | None = None) -> list[dict[str, Any]]:
    """Return the nodes of the plan of the page's last statement, from the top down."""
    with noted() as seen:
        query.page(AuditLog.objects.all(), wanted, order, place, 10)
    top = run(f"EXPLAIN (FORMAT JSON) {seen[-1]}")
    return list(nodes((json.loads(top) if isinstance(top, str) else top)[0]["Plan"]))


def nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(inner for child in node.get("Plans", []) for inner in nodes(child))]


def walks(found: list[dict[str, Any]], index: str) -> bool:
    """Tell whether a plan walks an index in its order, and nothing is sorted."""
    kinds = {node["Node Type"] for node in found}
    return {node.get("Index Name") for node in found} == {None, f"audit_log_default_{INDEX[index]}_id_idx"} and (
        kinds <= {"Limit", "Index Scan", "Result"}
    )


ACTOR = Filter(actor=("u-3",))
RESOURCE = Filter(resource_type=("thing",), resource_id=("3",))


@pytest.mark.parametrize(("index", "wanted"), [("actor", ACTOR), ("resource", RESOURCE)])
def test_a_page_walks_along_the_index_of_what_is_asked_for(trail: World, index: str, wanted: Filter) -> None:
    with trail.scope("acme"):
        assert walks(plan(wanted), index)
        here = AuditLog.objects.order_by("id")[ENTRIES // 2].pk
        for side in ("<", ">"):
            assert walks(plan(wanted, place=Place(side, here)), index)


def test_a_poll_looks_its_entries_up_one_by_one(trail: World) -> None:
    trail.sequence()
    with trail.scope("acme"):
        found = plan(Filter(), Order.ASC, Place(">", position=ENTRIES // 2))
    scans = {node.get("Index Name") for node in found if "Scan" in node["Node Type"]}
    assert scans <= {"audit_log_default_pkey", None}
    assert "Seq Scan" not in {node["Node Type"] for node in found}


def test_a_page_of_an_actors_actions_walks_along_his_index(trail: World) -> None:
    with trail.scope("acme"):
        assert walks(plan(Filter(actor=("u-3",), action=("done.1", "done.2", "done.3", "done.4"))), "actor")
        assert walks(plan(Filter(actor=("u-3",), resource_type=("thing",))), "actor")


def test_a_request_is_found_by_its_index_whoever_else_is_asked_for(trail: World) -> None:
    with trail.scope("acme"):
        found = plan(Filter(actor=("u-3",), request_id=("r-701",)))
    scans = [node for node in found if "Scan" in node["Node Type"]]
    assert {node.get("Index Name") for node in scans} <= {"audit_log_default_hashtext_idx", None}
    # It knows that a request has few entries, and not one in 200 of all.
    assert max(node["Plan Rows"] for node in scans) < 5


def test_a_page_of_the_api_joins_no_user_agents_for_which_all_would_be_read_and_sorted(trail: World) -> None:
    with noted() as seen:
        answer = trail.api(key="acme.read").get("/api/v1/audit-logs", resource_type="thing", resource_id="3", limit=10)
    assert len(answer.json()["results"]) == 10
    assert len(seen) == 1
    assert "user_agent" not in seen[0].replace("agent_id", "")


def test_what_an_actor_was_denied_is_found_along_the_index_of_what_did_not_succeed(trail: World) -> None:
    with trail.scope("acme"):
        assert walks(plan(Filter(actor=("u-1",), outcome=(Outcome.DENIED,))), "outcome")


def test_control_without_its_hash_in_the_order_the_actors_index_is_not_walked(
    trail: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows have a policy, so the planner does not see that one hash in the index means one order by id."""
    monkeypatch.setattr(EntryQuerySet, "by_id", lambda self, **_order: self.order_by("-id"))
    with trail.scope("acme"):
        assert not walks(plan(ACTOR), "actor")
