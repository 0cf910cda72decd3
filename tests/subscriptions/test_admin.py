"""The staff's admin on the platform's host: the platform log to look at, people to delete."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest
from browser import Browser, Statements, full_scans, link, rows
from django.test.client import ClientHandler
from world import World

from audit.models import AuditLog
from audit.query import windows
from subscriptions import platform_log
from subscriptions.models import PlatformLog
from tenants.models import Tenant, User

LOG = "/admin/subscriptions/platformlog/"
PEOPLE = "/admin/tenants/user/"


def person_page(world: World, name: str, page: str = "change") -> str:
    return f"{PEOPLE}{world.person(name).pk}/{page}/"


@pytest.mark.parametrize("name", ["sam", "sue", "bill"])
def test_all_staff_see_the_platform_log_and_only_admins_see_people(world: World, name: str) -> None:
    browser = Browser(world, "platform", name)
    assert rows(browser.page(LOG))
    if name == "sam":
        assert re.findall(r'<li><a href="([^"]+)">', browser.page("/admin/")) == [LOG, PEOPLE]
        assert "alice@acme.example" in browser.page(PEOPLE)
        return
    assert browser.get("/admin/")["Location"] == LOG
    assert browser.get(PEOPLE).status_code == 403
    for page in ("change", "delete"):
        assert browser.get(person_page(world, "alice", page)).status_code == 403
    assert browser.post(person_page(world, "alice", "delete"), post="yes").status_code == 403
    assert world.person("alice") is not None


@pytest.mark.parametrize("name", ["olga", "alice", "mia", "charlie"])
def test_no_tenants_people_sign_in_here(world: World, name: str) -> None:
    api = world.api("platform")
    assert api.sign_in(name).status_code == 200
    assert "daybook_session" not in api.client.cookies
    for path in (LOG, PEOPLE):
        assert api.client.get(path).status_code == 302


def test_a_tenants_session_is_nobodys_on_the_platforms_host_and_the_other_way_round(world: World) -> None:
    for host, name, elsewhere, path in (
        ("acme", "olga", "platform", LOG),
        ("platform", "sam", "acme", "/admin/audit/auditlog/"),
    ):
        there = Browser(world, elsewhere)
        there.client.cookies = Browser(world, host, name).client.cookies
        assert there.get(path).status_code == 302


def test_each_host_has_its_own_pages(world: World) -> None:
    assert Browser(world, "platform", "sam").get("/admin/audit/auditlog/").status_code == 404
    olga = Browser(world, "acme", "olga")
    assert [olga.get(path).status_code for path in (LOG, PEOPLE)] == [404, 404]


def test_a_token_of_staff_does_not_open_the_admin(world: World) -> None:
    assert world.api("platform", "sam").get(LOG).status_code == 302


def test_a_change_of_plan_is_shown_with_who_why_and_about_whom(world: World) -> None:
    body = {"plan": "premium", "reason": "Asked for on the phone"}
    path = "/api/v1/platform/tenants/acme/subscription/change-plan"
    browser = Browser(world, "platform", "sue")
    assert world.api("platform", "bill").post(path, body).status_code == 200
    page = browser.page(LOG)
    row = rows(page)[0]
    shown = (row["user_display"], row["about"], row["action_colored"], row["summary"])
    assert shown == ("bill@daybook.example", "acme", "subscription.plan_changed", "plan")
    detail = browser.page(str(re.findall(rf'href="({LOG}[0-9a-f-]+/change/)', page)[0]))
    assert "Asked for on the phone" in detail
    assert '<td class="old">free</td><td class="new">premium</td>' in detail


def test_the_log_is_filtered_by_tenant(world: World) -> None:
    with world.platform("bill"):
        tenants = {tenant.slug: tenant.pk for tenant in Tenant.objects.all()}
        for slug in ("acme", "globex", "acme"):
            platform_log.log_action("review.begun", "tenant", slug, tenant_id=tenants[slug])
    browser = Browser(world, "platform", "sue")
    for said, expected in (
        ({"tenant": "acme"}, ["acme", "acme"]),
        ({"tenant": "GLOBEX"}, ["globex"]),
        ({"tenant": str(tenants["acme"]), "actor": "bill@daybook.example"}, ["acme", "acme"]),
        ({"tenant": "acme", "outcome": "denied"}, []),
    ):
        page = browser.page(LOG, action="review.begun", **said)
        assert [row["resource_id_short"] for row in rows(page)] == expected
    page = browser.page(LOG, tenant="initech")
    assert "There is no tenant with this slug." in page
    assert not rows(page)
    assert not rows(browser.page(LOG, tenant=str(uuid4())))


def test_an_entry_about_a_dropped_tenant_is_still_shown(world: World) -> None:
    browser, gone = Browser(world, "platform", "sue"), uuid4()
    with world.platform():
        entry = platform_log.log_action("tenant.dropped", "tenant", str(gone), tenant_id=gone)
    assert rows(browser.page(LOG))[0]["about"] == f"dropped ({str(gone)[:8]}…)"
    assert str(gone) in browser.page(f"{LOG}{entry.pk}/change/")


def test_nothing_that_is_posted_changes_the_log_or_a_person(world: World) -> None:
    browser = Browser(world, "platform", "sam")
    entry, alice = world.sql("SELECT id FROM shared.platform_log LIMIT 1")[0][0], world.person("alice").pk
    everything = (
        "SELECT to_jsonb(l) FROM shared.platform_log l WHERE action <> 'access.denied' ORDER BY id",
        "SELECT to_jsonb(u) FROM shared.tenants_user u ORDER BY id",
    )
    before = [world.sql(statement) for statement in everything]
    form = {"action": "delete_selected", "post": "yes", "index": "0", "_save": "Save", "email": "evil@example.com"}
    for path in (LOG, f"{LOG}{entry}/change/", f"{LOG}{entry}/delete/", f"{LOG}add/", f"{PEOPLE}add/", PEOPLE):
        for chosen in (str(entry), str(alice)):
            browser.post(path, **form, _selected_action=chosen, staff_role="admin")
    assert browser.post(f"{PEOPLE}{alice}/change/", **form).status_code == 403
    assert [world.sql(statement) for statement in everything] == before


def test_what_stands_in_an_entry_or_a_name_is_escaped(world: World) -> None:
    bad = "<script>alert('x')</script>"
    with world.platform():
        entry = platform_log.log_action("x", bad, bad, {bad: {"old": bad, "new": bad}}, resource_label=bad)
    world.sql("UPDATE shared.tenants_user SET name = %s", bad)
    world.sql("UPDATE shared.tenants_tenant SET name = %s", bad)
    browser = Browser(world, "platform", "sam")
    for path in (
        LOG,
        f"{LOG}{entry.pk}/change/",
        PEOPLE,
        person_page(world, "alice"),
        person_page(world, "alice", "delete"),
    ):
        page = browser.page(path)
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(" in page
    assert "<script>alert" not in Browser(world, "acme", "olga").page("/admin/audit/auditlog/")


def test_no_list_counts_and_the_log_is_never_read_as_a_whole(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "_FIRST", 512)  # as small beside this log as the real one beside a large log
    browser = Browser(world, "platform", "sam")
    acme = world.acme.id
    world.sql(
        """INSERT INTO shared.platform_log (version, tenant_id, actor_key, actor_type, action, operation, outcome,
             source, resource_type, resource_key, salt)
           SELECT 1, CASE WHEN n %% 2 = 0 THEN %s::uuid END, 'daybook', 'system', 'action.' || n %% 40, 'update',
                  'success', 'command', 'kind' || n %% 9, (n %% 500)::text, decode('00', 'hex')
             FROM generate_series(1, 10000) n""",
        acme,
    )
    world.sequence()
    world.sql("ANALYZE shared.platform_log")
    asked = [
        {},
        {"tenant": "acme"},
        {"tenant": "acme", "action": "action.8"},
        {"outcome": "denied"},
        {"action": "action.7"},
    ]
    with Statements().listening() as statements:
        for said in asked:
            following = link(browser.page(LOG, **said), "next")
            if following:
                browser.page(LOG + following)
        for path in (PEOPLE, f"{PEOPLE}?q=al", "/admin/", person_page(world, "alice", "delete")):
            browser.page(path)
    sent = [sql.upper() for sql, _ in statements.sent]
    assert not [sql for sql in sent if "COUNT(" in sql or "DJANGO_ADMIN_LOG" in sql or "DISTINCT" in sql]
    with world.platform():
        assert full_scans(statements, "platform_log") == []
    with world.platform(), Statements().listening() as control:
        PlatformLog.objects.filter(source="job").count()
        assert full_scans(control, "platform_log")


def test_people_are_found_by_the_beginning_of_their_address(world: World) -> None:
    browser = Browser(world, "platform", "sam")
    assert [row["email"] for row in rows(browser.page(PEOPLE, q="S"))] == ["sam@daybook.example", "sue@daybook.example"]
    assert not rows(browser.page(PEOPLE, q="%"))
    assert not rows(browser.page(PEOPLE, q="nobody"))
    assert browser.get(PEOPLE, q="\x00", before="\x00").status_code == 200


def test_people_are_walked_by_address_both_ways(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from tenants import admin

    monkeypatch.setattr(admin, "PAGE", 3)
    browser = Browser(world, "platform", "sam")
    everyone = sorted(email for (email,) in world.sql("SELECT email FROM shared.tenants_user"))
    pages = [browser.page(PEOPLE)]
    while following := link(pages[-1], "next"):
        pages.append(browser.page(PEOPLE + following))
    assert [row["email"] for page in pages for row in rows(page)] == everyone
    back = browser.page(PEOPLE + str(link(pages[-1], "prev")))
    assert rows(back) == rows(pages[-2])
    assert link(browser.page(PEOPLE + str(link(back, "prev"))), "prev") is None


def member_of_three(world: World) -> Any:
    """Make alice a member of globex too, once a member of initech, and let her act everywhere; return her."""
    from tenants import people, provisioning

    provisioning.create_tenant(slug="initech", name="Initech", domain="initech.localhost")
    alice = world.person("alice")
    with world.platform():
        for slug in ("globex", "initech"):
            people.set_role(alice, Tenant.objects.get(slug=slug), "auditor")
        people.end_membership(alice, Tenant.objects.get(slug="initech"))
    for slug in ("acme", "globex", "initech"):
        with world.scope(slug, "alice"):
            AuditLog.log_action(alice, "updated", "organization", slug, {"name": {"old": "a", "new": "b"}})
        with world.scope(slug):
            AuditLog.log_action(None, "updated", "organization", "not hers")
    return alice


def test_a_person_of_three_tenants_is_deleted_with_pointers_cleared_and_labels_kept(world: World) -> None:
    alice = member_of_three(world)
    session = Browser(world, "acme", "alice")
    browser = Browser(world, "platform", "sam")
    confirmation = browser.page(person_page(world, "alice", "delete"))
    for words in ("membership: Acme, admin", "membership: Globex, auditor", "membership: Initech, auditor until"):
        assert words in confirmation
    answer = browser.post(person_page(world, "alice", "delete"), post="yes")
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    assert "was deleted successfully" in browser.page("/admin/")
    assert world.person("alice") is None
    for slug in ("acme", "globex", "initech"):
        with world.scope(slug):
            hers = AuditLog.objects.of_actor(str(alice.pk)).filter(action="updated").get()
            told = AuditLog.objects.of_action("user.deleted").get()
        assert (hers.user_id, hers.actor_label, hers.actor_id) == (None, "alice@acme.example", str(alice.pk))
        assert hers.changes == {"name": {"old": "a", "new": "b"}}
        assert (told.actor_label, told.resource_id) == ("sam@daybook.example", str(alice.pk))
        assert told.resource_label == "alice@acme.example"
    with world.platform():
        entry = PlatformLog.objects.of_action("user.deleted").get()
        assert entry.resource_id == str(alice.pk)
        assert entry.actor_label == "sam@daybook.example"
        assert (entry.request_id, entry.source) == (answer["X-Request-ID"], "admin")
        assert set((entry.changes or {})["tenants"]) == {"acme", "globex", "initech"}
    for table in ("tenants_membership", "tenants_credential", "tenants_apikey"):
        assert world.sql(f"SELECT count(*) FROM shared.{table} WHERE user_id = %s", alice.pk) == [(0,)]
    assert session.get("/admin/audit/auditlog/").status_code == 302
    page = Browser(world, "acme", "olga").page("/admin/audit/auditlog/", action="updated")
    assert "alice@acme.example" in {row["user_display"] for row in rows(page)}


def test_a_deletion_that_fails_half_way_leaves_everything(world: World) -> None:
    alice = member_of_three(world)
    schema = world.sql("SELECT schema_name FROM shared.tenants_tenant WHERE slug = 'initech'")[0][0]
    world.sql(f"""
        CREATE FUNCTION {schema}.fail() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no room'; END$$;
        CREATE TRIGGER fail BEFORE INSERT ON {schema}.audit_log FOR EACH ROW EXECUTE FUNCTION {schema}.fail();
        GRANT EXECUTE ON FUNCTION {schema}.fail TO PUBLIC""")
    before = {slug: world.entries(slug) for slug in ("acme", "globex", "initech")}
    answer = Browser(world, "platform", "sam").post(person_page(world, "alice", "delete"), post="yes")
    assert answer.status_code >= 500
    assert world.person("alice") is not None
    assert {slug: world.entries(slug) for slug in before} == before
    for slug in ("acme", "globex"):
        with world.scope(slug):
            assert AuditLog.objects.of_actor(str(alice.pk)).filter(action="updated").get().user_id == alice.pk


def test_looking_at_the_confirmation_deletes_nobody(world: World) -> None:
    assert "alice@acme.example" in Browser(world, "platform", "sam").page(person_page(world, "alice", "delete"))
    assert world.person("alice") is not None


def test_staff_cannot_delete_themselves(world: World) -> None:
    browser = Browser(world, "platform", "sam")
    assert browser.get(person_page(world, "sam", "delete")).status_code == 403
    assert browser.post(person_page(world, "sam", "delete"), post="yes").status_code == 403
    assert world.person("sam") is not None
    assert "deletelink" not in browser.page(person_page(world, "sam"))
    assert "deletelink" in browser.page(person_page(world, "sue"))


def test_deleting_needs_the_forms_token(world: World) -> None:
    browser = Browser(world, "platform", "sam")
    # Of its own: the handler of all other clients stays as it is.
    browser.client.handler = ClientHandler(enforce_csrf_checks=True)
    assert browser.post(person_page(world, "alice", "delete"), post="yes").status_code == 403
    assert world.person("alice") is not None


def test_a_queryset_of_people_is_deleted_the_same_way(world: World) -> None:
    alice = member_of_three(world)
    with world.platform():
        User.objects.filter(pk=alice.pk).delete()
    for slug in ("acme", "globex", "initech"):
        with world.scope(slug):
            assert AuditLog.objects.of_actor(str(alice.pk)).filter(action="updated").get().user_id is None
            assert AuditLog.objects.of_action("user.deleted").get().resource_id == str(alice.pk)
