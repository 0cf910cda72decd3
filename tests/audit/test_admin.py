"""The trail in a tenant's admin: who may look, what is shown, that nothing can be changed, counted or scanned."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from browser import LIST, Browser, detail, rows, write
from world import World

from audit import admin


@pytest.mark.parametrize("name", ["olga", "alice", "bob"])
def test_owner_admin_and_auditor_see_the_trail(world: World, name: str) -> None:
    (entry,) = write(world, resource_label="Northwind")
    browser = Browser(world, "acme", name)
    assert browser.get("/admin/")["Location"] == LIST
    page = browser.page(LIST)
    # The first is the sign-in of who looks.
    assert [row["action_colored"] for row in rows(page)[:2]] == ["user.signed_in", "updated"]
    assert rows(page)[1]["user_display"] == "alice@acme.example"
    assert "Northwind" in browser.page(detail(entry))


def test_a_member_signs_in_but_does_not_see_it(world: World) -> None:
    (entry,) = write(world)
    browser = Browser(world, "acme", "mia")
    for path in ("/admin/", LIST, detail(entry)):
        answer = browser.get(path)
        assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/admin/login/")
    assert "You are signed in as mia@acme.example" in browser.page("/accounts/login/")
    assert browser.post("/admin/logout/").status_code == 200
    assert "You are signed in" not in browser.page("/accounts/login/")


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
    assert "are not correct" in answer.content.decode()
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
    form = {"login": "alice@acme.example", "password": "correct horse battery staple", "next": LIST}
    assert client.post("/accounts/login/", form).status_code == 403
    token = client.get("/accounts/login/").cookies["csrftoken"].value
    assert client.post("/accounts/login/", {**form, "csrfmiddlewaretoken": token})["Location"] == LIST
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
    form = {"login": "alice@acme.example", "password": "correct horse battery staple"}
    answer = api.client.post("/accounts/login/", {**form, "next": "https://evil.example/"})
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
    assert [row["resource_id_short"] for row in rows(page)[1:3]] == ["inv_42", f"{str(key)[:8]}…"]
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
    # Above them a sign-in, and the change of the row that holds her address, by one of the database's own roles.
    shown = [row["user_display"] for row in rows(page)[1:4]]
    assert shown == ["postgres", "(Deleted User)", "alice@acme.example"]


def test_a_key_is_shown_by_its_name(world: World) -> None:
    body = {"action": "deleted", "resource": {"type": "organization", "id": "1"}}
    assert world.api("acme", "acme.write").post("/api/v1/audit-logs", body).status_code == 201
    assert rows(Browser(world, "acme", "alice").page(LIST))[1]["user_display"] == "acme write"


def test_an_entry_that_is_not_there_leads_back(world: World) -> None:
    browser = Browser(world, "acme", "alice")
    for key in (uuid4(), "nonsense", "%00"):
        assert browser.get(f"{LIST}{key}/change/").status_code in {302, 404}


def test_assets_are_served_with_nothing_collected(world: World) -> None:
    (entry,) = write(world)
    browser, seen = Browser(world, "acme", "alice"), set[str]()
    for page in (browser.page(LIST), browser.page(detail(entry)), Browser(world, "acme").page("/accounts/login/")):
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
