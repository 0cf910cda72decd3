"""The list in a tenant's admin: its filter, its pages, and that no list counts or reads the whole trail."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from browser import LIST, Browser, Statements, detail, full_scans, link, rows, write
from world import World

from audit.models import AuditLog
from audit.query import windows


def mixed(world: World) -> None:
    """Write entries that differ in all that the filter asks."""
    for name in ("alice", "bob"):
        for action in ("created", "deleted"):
            for kind in ("invoice", "organization"):
                for key in ("1", "2"):
                    outcome = "denied" if key == "2" else "success"
                    write(world, name=name, action=action, resource_type=kind, resource_id=key, outcome=outcome)


def test_the_filter_finds_what_plain_python_finds(world: World) -> None:
    mixed(world)
    browser = Browser(world, "acme", "olga")
    columns = {
        "action": "action_colored", "resource_type": "resource_type", "resource_id": "resource_id_short",
        "actor": "user_display", "outcome": "outcome_shown",
    }  # fmt: skip
    everything = rows(browser.page(LIST))
    asked: list[dict[str, str]] = [
        {"action": "created"},
        {"resource_type": "invoice"},
        {"resource_id": "2"},
        {"resource_type": "invoice", "resource_id": "2"},
        {"actor": "bob@acme.example"},
        {"actor": "BOB@acme.example", "action": "deleted"},
        {"outcome": "denied"},
        {"actor": "alice@acme.example", "resource_type": "invoice", "outcome": "success", "action": "deleted"},
    ]
    for said in asked:
        expected = [
            row for row in everything if all(row[columns[name]].lower() == word.lower() for name, word in said.items())
        ]
        assert 0 < len(expected) < len(everything)
        assert rows(browser.page(LIST, **said)) == expected, said


def test_days_bound_the_list_with_the_last_one_included(world: World) -> None:
    write(world)
    browser, today = Browser(world, "acme", "alice"), datetime.now(UTC).date()
    around = [today - timedelta(days=1), today + timedelta(days=1)]
    assert rows(browser.page(LIST, since=around[0], until=around[1]))
    assert rows(browser.page(LIST, until=around[1]))
    assert not rows(browser.page(LIST, since=around[1] + timedelta(days=1)))
    assert not rows(browser.page(LIST, until=around[0] - timedelta(days=1)))


def test_an_actor_is_also_found_by_id_and_an_unknown_one_finds_nothing(world: World) -> None:
    write(world, name="bob")
    browser = Browser(world, "acme", "alice")
    bob = world.person("bob").pk
    assert {row["user_display"] for row in rows(browser.page(LIST, actor=str(bob)))} == {"bob@acme.example"}
    assert "Nothing matches." in browser.page(LIST, actor="nobody@acme.example")
    assert "Nothing matches." in browser.page(LIST, actor="charlie@globex.example")


def test_a_filter_that_makes_no_sense_is_told_by_field(world: World) -> None:
    browser = Browser(world, "acme", "alice")
    for said in (
        {"since": "yesterday"},
        {"until": "9999-12-31"},
        {"outcome": "maybe"},
        {"action": "x" * 101},
        {"actor": "\x00"},
    ):
        page = browser.page(LIST, **said)
        assert 'class="fault"' in page
        assert not rows(page)
    for odd in (
        {"before": "x"},
        {"after": "\x00"},
        {"p": "-1"},
        {"o": "1.-2"},
        {"all": "", "q": "x"},
        {"_facets": "True"},
    ):
        assert browser.get(LIST, **odd).status_code == 200


def test_pages_follow_each_other_both_ways_without_gap_or_repeat(world: World) -> None:
    written = [str(key) for key in write(world, 250)][::-1]
    browser = Browser(world, "acme", "alice")

    def shown(page: str) -> list[str]:
        return re.findall(rf'href="{LIST}([0-9a-f-]+)/change/', page)

    pages = [browser.page(LIST, action="updated")]
    while following := link(pages[-1], "next"):
        write(world)  # newer entries do not move the pages
        pages.append(browser.page(LIST + following))
    assert [key for page in pages for key in shown(page)] == written
    assert [len(shown(page)) for page in pages] == [100, 100, 50]
    back = browser.page(LIST + str(link(pages[2], "prev")))
    assert shown(back) == shown(pages[1])
    assert link(pages[0], "prev") is None


def test_what_no_index_finds_is_looked_for_in_bounded_steps(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    old = [str(key) for key in write(world, 3, resource_type="invoice")][::-1]
    write(world, 300)
    world.sequence()
    monkeypatch.setattr(windows, "BUDGET", 0)
    monkeypatch.setattr(windows, "_FIRST", 64)
    browser, found, steps = Browser(world, "acme", "alice"), list[str](), 0
    page = browser.page(LIST, resource_type="invoice", outcome="success")
    assert "there is more to look through" in page
    while True:
        found += re.findall(rf'href="{LIST}([0-9a-f-]+)/change/', page)
        following = link(page, "next")
        if following is None:
            break
        page, steps = browser.page(LIST + following), steps + 1
    assert (found, steps > 3) == (old, True)
    while before := link(page, "prev"):
        page, steps = browser.page(LIST + before), steps - 1
        assert steps > -20


def fill(world: World, number: int) -> None:
    """Write many entries of many kinds at once, and let the planner know of them."""
    schema = world.acme.schema_name
    alice, bob = (world.person(name).pk for name in ("alice", "bob"))
    world.sql(
        f"""INSERT INTO {schema}.audit_log (version, user_id, actor_uuid, actor_type, action, operation, outcome,
              source, resource_type, resource_key, salt, actor_label)
            SELECT 1, who, who, 'user', 'action.' || n % 40, 'update', 'success', 'api', 'kind' || n % 9,
                   (n % 500)::text, decode('00', 'hex'), 'x'
              FROM (SELECT n, CASE WHEN n % 3 = 0 THEN '{bob}'::uuid ELSE '{alice}' END AS who
                      FROM generate_series(1, {number}) n) AS made"""
    )
    world.sequence()
    world.sql(f"ANALYZE {schema}.audit_log")


def test_no_list_reads_the_whole_trail_or_counts_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "_FIRST", 512)  # as small beside this trail as the real one beside a large trail
    browser = Browser(world, "acme", "alice")
    fill(world, 20_000)
    asked: list[dict[str, str]] = [
        {},
        {"action": "action.7"},
        {"actor": "bob@acme.example"},
        {"resource_type": "kind3", "resource_id": "12"},
        {"resource_type": "kind3"},
        {"resource_type": "unheard of"},
        {"outcome": "denied"},
        {"outcome": "success", "resource_type": "kind3"},
        {"action": "action.*", "resource_id": "12"},
        {"action": "action.7", "actor": "bob@acme.example", "resource_type": "kind3", "outcome": "denied"},
        {"since": "2020-01-01", "until": "2100-01-01", "action": "action.7"},
        {"since": "2100-01-01"},
    ]
    with Statements().listening() as statements:
        for said in asked:
            following = link(browser.page(LIST, **said), "next")
            if following:
                browser.page(LIST + following)
    assert not [sql for sql, _ in statements.sent if "COUNT" in sql.upper() or "DISTINCT" in sql.upper()]
    with world.scope("acme", "alice"):
        assert full_scans(statements, "audit_log") == []
    with world.scope("acme", "alice"), Statements().listening() as control:
        AuditLog.objects.filter(source="job").count()
        assert full_scans(control, "audit_log")


def test_one_entry_is_read_by_its_key(world: World) -> None:
    browser = Browser(world, "acme", "alice")
    (entry,) = write(world)
    fill(world, 20_000)
    with Statements().listening() as statements:
        browser.page(detail(entry))
    assert not [sql for sql, _ in statements.sent if "COUNT" in sql.upper()]
    with world.scope("acme", "alice"):
        assert full_scans(statements, "audit_log") == []
