"""The trail in a tenant's admin: who may look, what is shown, that nothing can be changed, counted or scanned."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from browser import Browser, Statements, full_scans, link, rows
from world import World

from audit import admin
from audit.models import AuditLog

LIST = "/admin/audit/auditlog/"


def write(world: World, number: int = 1, name: str = "alice", **words: Any) -> list[UUID]:
    """Write entries of a person of acme; return their ids."""
    said = {"action": "updated", "resource_type": "organization", "resource_id": "42", **words}
    with world.scope("acme", name):
        return [AuditLog.log_action(None, **said).pk for _ in range(number)]


def detail(entry: UUID) -> str:
    return f"{LIST}{entry}/change/"


@pytest.mark.parametrize("name", ["olga", "alice", "bob"])
def test_owner_admin_and_auditor_see_the_trail(world: World, name: str) -> None:
    (entry,) = write(world, resource_label="Northwind")
    browser = Browser(world, "acme", name)
    assert browser.get("/admin/")["Location"] == LIST
    page = browser.page(LIST)
    assert (rows(page)[0]["user_display"], rows(page)[0]["action_colored"]) == ("alice@acme.example", "updated")
    assert "Northwind" in browser.page(detail(entry))


def test_a_member_signs_in_but_does_not_see_it(world: World) -> None:
    (entry,) = write(world)
    browser = Browser(world, "acme", "mia")
    for path in ("/admin/", LIST, detail(entry)):
        answer = browser.get(path)
        assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/admin/login/")
    assert "You are authenticated as mia@acme.example" in browser.page("/admin/login/")
    assert browser.post("/admin/logout/").status_code == 200
    assert "You are authenticated" not in browser.page("/admin/login/")


def test_a_member_who_is_signed_in_can_sign_in_as_someone_else(world: World) -> None:
    api = world.api("acme")
    assert api.sign_in("mia").status_code == 302
    assert api.sign_in("alice").status_code == 302
    assert api.client.get(LIST).status_code == 200


@pytest.mark.parametrize("name", ["charlie", "sam"])
def test_people_of_another_tenant_and_staff_cannot_sign_in(world: World, name: str) -> None:
    api = world.api("acme")
    answer = api.sign_in(name)
    assert answer.status_code == 200
    assert "Please enter the correct email and password" in answer.content.decode()
    assert "daybook_session" not in api.client.cookies
    assert api.client.get(LIST).status_code == 302


def test_a_wrong_password_does_not_sign_in(world: World) -> None:
    api = world.api("acme")
    assert api.sign_in("alice", "wrong").status_code == 200
    assert api.client.get(LIST).status_code == 302


def test_a_session_of_one_tenant_is_nobodys_on_another_host(world: World) -> None:
    alice, there = Browser(world, "acme", "alice"), Browser(world, "globex")
    there.client.cookies = alice.client.cookies
    answer = there.get(LIST)
    assert (answer.status_code, answer["Location"]) == (302, f"/admin/login/?next={LIST}")
    assert alice.get(LIST).status_code == 200


def test_each_tenant_sees_its_own_trail_alone(world: World) -> None:
    (entry,) = write(world, resource_label="Secret of acme")
    charlie = Browser(world, "globex", "charlie")
    assert "Secret of acme" not in charlie.page(LIST)
    answer = charlie.get(detail(entry))
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")  # as for an entry that does not exist


def test_a_key_does_not_open_the_admin(world: World) -> None:
    assert world.api("acme", "acme.admin").get(LIST).status_code == 302


def test_signing_in_needs_the_forms_token(world: World) -> None:
    from django.test import Client

    client = Client(raise_request_exception=False, headers={"host": "acme.localhost"}, enforce_csrf_checks=True)
    form = {"username": "alice@acme.example", "password": "correct horse battery staple", "next": LIST}
    assert client.post("/admin/login/", form).status_code == 403
    token = client.get("/admin/login/").cookies["csrftoken"].value
    assert client.post("/admin/login/", {**form, "csrfmiddlewaretoken": token})["Location"] == LIST
    assert client.post("/admin/logout/").status_code == 403
    assert client.get(LIST).status_code == 200


def test_signing_out_ends_the_session_for_good(world: World) -> None:
    browser = Browser(world, "acme", "alice")
    stolen = browser.client.cookies["daybook_session"].value
    assert browser.post("/admin/logout/").status_code == 200
    browser.client.cookies["daybook_session"] = stolen
    assert browser.get(LIST).status_code == 302


def test_the_login_page_sends_nobody_elsewhere(world: World) -> None:
    api = world.api("acme")
    form = {"username": "alice@acme.example", "password": "correct horse battery staple"}
    answer = api.client.post("/admin/login/", {**form, "next": "https://evil.example/"})
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")


def test_nothing_that_is_posted_changes_anything(world: World) -> None:
    (entry,) = write(world, changes={"plan": {"old": "free", "new": "premium"}})
    browser = Browser(world, "acme", "olga")
    schema = world.acme.schema_name
    everything = f"SELECT to_jsonb(l) FROM {schema}.audit_log l WHERE action <> 'access.denied' ORDER BY id"
    before = world.sql(everything)
    form = {"action": "delete_selected", "_selected_action": str(entry), "post": "yes", "index": "0", "_save": "Save"}
    for path in (LIST, detail(entry), f"{LIST}{entry}/delete/", f"{LIST}add/", f"{LIST}{entry}/history/", "/admin/"):
        answer = browser.post(path, **form, user="", resource_type="hacked", changes="{}")
        assert answer.status_code in {200, 302, 403, 404, 405}, path
    assert browser.post(detail(entry), resource_type="hacked").status_code == 403
    assert browser.post(f"{LIST}{entry}/delete/", post="yes").status_code == 403
    assert world.sql(everything) == before


def test_no_page_offers_to_add_change_delete_or_act_on_many(world: World) -> None:
    (entry,) = write(world)
    browser = Browser(world, "acme", "olga")
    for page in (browser.page(LIST), browser.page(detail(entry))):
        for word in ("addlink", "deletelink", "_save", "_selected_action", "delete_selected", "/history/", "/add/"):
            assert word not in page
        assert re.findall(r'method="post"[^>]*action="([^"]*)"', page) == ["/admin/logout/"]


def test_what_stands_in_an_entry_is_escaped(world: World) -> None:
    bad = "<script>alert('x')</script>"
    said: dict[str, Any] = {
        "action": bad, "resource_type": bad, "resource_id": bad, "resource_label": bad, "description": bad,
        "changes": {bad: {"old": bad, "new": [bad]}}, "metadata": {bad: bad},
    }  # fmt: skip
    (entry,) = write(world, **said)
    browser = Browser(world, "acme", "alice")
    for page in (browser.page(LIST), browser.page(LIST, action=bad), browser.page(detail(entry))):
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(" in page


def test_json_is_shown_for_people_to_read(world: World) -> None:
    changes = {"plan": {"old": "free", "new": "premium"}, "seats": {"new": 5}, "city": {"old": "Köln"}}
    (entry,) = write(world, changes=changes, metadata={"geo": {"country": "DE"}})
    page = Browser(world, "acme", "alice").page(detail(entry))
    assert "{\n  &quot;geo&quot;: {\n    &quot;country&quot;: &quot;DE&quot;\n  }\n}" in page
    assert '<th scope="row">plan</th><td class="old">free</td><td class="new">premium</td>' in page
    assert '<th scope="row">seats</th><td class="old"></td><td class="new">5</td>' in page
    assert '<th scope="row">city</th><td class="old">Köln</td><td class="new"></td>' in page


def test_changes_of_any_other_shape_are_shown_as_well(world: World) -> None:
    (first,) = write(world, changes={"provider_name": "stripe", "old": 1})
    (second,) = write(world)
    browser = Browser(world, "acme", "alice")
    assert "&quot;provider_name&quot;: &quot;stripe&quot;" in browser.page(detail(first))
    assert "No changes recorded" in browser.page(detail(second))


def test_ids_are_short_with_the_whole_one_to_hover(world: World) -> None:
    key = uuid4()
    write(world, resource_id=key)
    write(world, resource_id="inv_42")
    page = Browser(world, "acme", "alice").page(LIST)
    assert [row["resource_id_short"] for row in rows(page)[:2]] == ["inv_42", f"{str(key)[:8]}…"]
    assert f'title="{key}"' in page


def test_actions_are_coloured_by_what_they_do(world: World) -> None:
    colours = {"created": "create", "updated": "update", "deleted": "delete", "user.signed_in": "other"}
    for action in colours:
        write(world, action=action)
    page = Browser(world, "acme", "alice").page(LIST)
    for action, colour in colours.items():
        assert f'<span class="action action-{colour}">{action}</span>' in page


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (it / 12.92 if it <= 0.04045 else ((it + 0.055) / 1.055) ** 2.4 for it in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_colours_are_readable_by_day_and_by_night() -> None:
    """WCAG AA asks for 4.5 : 1 on both backgrounds that rows of Django's admin have in either theme."""
    sheet = (Path(admin.__file__).parent.parent / "tenants/static/daybook/admin.css").read_text(encoding="utf-8")
    light, *dark = re.findall(r"--action-create: (#\w+);\s*--action-update: (#\w+);\s*--action-delete: (#\w+);", sheet)
    assert len(dark) == 2
    assert dark[0] == dark[1]
    for colours, backgrounds in ((light, ("#ffffff", "#f8f8f8")), (dark[0], ("#121212", "#212121"))):
        for colour in colours:
            for background in backgrounds:
                bright, dim = sorted((luminance(colour), luminance(background)), reverse=True)
                assert (bright + 0.05) / (dim + 0.05) >= 4.5, (colour, background)


def test_a_user_is_shown_by_the_label_in_the_entry_or_as_deleted(world: World) -> None:
    write(world)
    write(world, name="bob")
    schema, bob = world.acme.schema_name, world.person("bob").pk
    world.sql("UPDATE shared.tenants_user SET email = 'alicia@acme.example' WHERE email = 'alice@acme.example'")
    world.sql(
        f"ALTER TABLE {schema}.audit_log DISABLE TRIGGER refuse_change;"
        f"UPDATE {schema}.audit_log SET user_id = NULL, actor_label = NULL WHERE user_id = '{bob}'"
    )
    page = Browser(world, "acme", "olga").page(LIST)
    assert [row["user_display"] for row in rows(page)[:2]] == ["(Deleted User)", "alice@acme.example"]


def test_a_key_is_shown_by_its_name(world: World) -> None:
    body = {"action": "deleted", "resource": {"type": "organization", "id": "1"}}
    assert world.api("acme", "acme.write").post("/api/v1/audit-logs", body).status_code == 201
    assert rows(Browser(world, "acme", "alice").page(LIST))[0]["user_display"] == "acme write"


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
    write(world, 60)
    monkeypatch.setattr(admin, "SCAN", 25)
    browser, found, steps = Browser(world, "acme", "alice"), list[str](), 0
    page = browser.page(LIST, resource_type="invoice")
    assert "there is more to look through" in page
    while True:
        found += re.findall(rf'href="{LIST}([0-9a-f-]+)/change/', page)
        following = link(page, "next")
        if following is None:
            break
        page, steps = browser.page(LIST + following), steps + 1
    assert (found, steps) == (old, 2)
    while before := link(page, "prev"):
        page, steps = browser.page(LIST + before), steps - 1
        assert steps > -5


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
    world.sql(f"ANALYZE {schema}.audit_log")


def test_no_list_reads_the_whole_trail_or_counts_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "SCAN", 500)  # as small beside this trail as the real one beside a large trail
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


def test_an_entry_that_is_not_there_leads_back(world: World) -> None:
    browser = Browser(world, "acme", "alice")
    for key in (uuid4(), "nonsense", "%00"):
        assert browser.get(f"{LIST}{key}/change/").status_code in {302, 404}


def test_assets_are_served_with_nothing_collected(world: World) -> None:
    (entry,) = write(world)
    browser, seen = Browser(world, "acme", "alice"), set[str]()
    for page in (browser.page(LIST), browser.page(detail(entry)), Browser(world, "acme").page("/admin/login/")):
        seen |= set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page))
    assert "/static/daybook/admin.css" in seen
    for path in seen:
        answer = browser.get(path)
        assert (answer.status_code, b"".join(answer.streaming_content) != b"") == (200, True), path
        answer.close()
    assert browser.get("/static/../config/settings.py").status_code == 404


def test_pages_load_nothing_from_elsewhere(world: World) -> None:
    (entry,) = write(world)
    browser = Browser(world, "acme", "alice")
    for page in (browser.page(LIST), browser.page(detail(entry))):
        assert not re.findall(r'(?:href|src)="(?:https?:)?//', page)
