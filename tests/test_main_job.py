"""The main job, end to end: events of two companies come in by three ways, each lands behind its own wall."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management import call_command
from world import World

from audit.models import AuditLog
from subscriptions.models import PlatformLog

LOGS = "/api/v1/audit-logs"


def event(company: str, number: int) -> dict[str, Any]:
    """Return an event as a company's application sends it; each text names the company."""
    return {
        "action": "invoice.approved",
        "actor": {"type": "user", "id": f"{company}-u{number}", "label": f"{company} person {number}"},
        "resource": {"type": "invoice", "id": f"{company}-{number}", "label": f"{company} invoice"},
        "changes": {"status": {"old": "draft", "new": "approved"}},
        "metadata": {"company": company},
    }


def by_file(tmp_path: Path, company: str) -> None:
    """Import two events of a company from a file."""
    path = tmp_path / f"{company}.jsonl"
    path.write_text("".join(json.dumps(event(company, number)) + "\n" for number in (8, 9)), encoding="utf-8")
    call_command("audit", "import", "--format", "daybook", str(path), "--tenant", company)


def come_in(world: World, tmp_path: Path, company: str, person: str) -> None:
    """Let six events of a company come in: one and a batch by HTTP, one from the process, two from a file."""
    api = world.api(company, key=f"{company}.write")
    assert api.post(LOGS, event(company, 1)).status_code == 201
    results = api.post(LOGS, {"events": [event(company, 2), event(company, 3)]}).json()["results"]
    assert [result["status"] for result in results] == ["created", "created"]
    with world.scope(company, person, source="request"):
        AuditLog.log_action(None, "invoice.approved", "invoice", f"{company}-7", metadata={"company": company})
    by_file(tmp_path, company)


def seen(world: World, company: str) -> list[dict[str, Any]]:
    """Return the invoices that a company's read key finds, oldest first."""
    page = world.api(company, key=f"{company}.read").get(LOGS, resource_type="invoice", limit=1000).json()
    return list(reversed(page["results"]))


def test_events_of_two_companies_come_in_by_three_ways_and_each_sees_its_own(world: World, tmp_path: Path) -> None:
    come_in(world, tmp_path, "acme", "alice")
    come_in(world, tmp_path, "globex", "charlie")
    for company, other in (("acme", "globex"), ("globex", "acme")):
        entries = seen(world, company)
        assert [entry["resource"]["id"] for entry in entries] == [
            f"{company}-{number}" for number in (1, 2, 3, 7, 8, 9)
        ]
        assert [entry["context"]["source"] for entry in entries] == ["api"] * 3 + ["request"] + ["import"] * 2
        assert {entry["metadata"]["company"] for entry in entries if "company" in entry["metadata"]} == {company}
        assert {entry["tenant"]["slug"] for entry in entries} == {company}
        assert other not in json.dumps(entries)


def test_a_tenants_admin_reads_the_filtered_trail(world: World, tmp_path: Path) -> None:
    come_in(world, tmp_path, "acme", "alice")
    api = world.api(key="acme.admin")
    one = api.get(LOGS, actor="acme-u2").json()["results"]
    assert [entry["resource"]["id"] for entry in one] == ["acme-2"]
    history = api.get("/api/v1/resources/invoice/acme-3/history").json()["results"]
    assert [entry["actor"]["id"] for entry in history] == ["acme-u3"]
    assert api.get(LOGS, action="invoice.rejected").json()["results"] == []


def test_one_company_finds_nothing_of_the_other_by_any_id(world: World, tmp_path: Path) -> None:
    come_in(world, tmp_path, "acme", "alice")
    foreign = seen(world, "acme")[0]
    api = world.api("globex", key="globex.admin")
    assert api.get(f"{LOGS}/{foreign['id']}").status_code == 404
    assert api.get("/api/v1/resources/invoice/acme-1/history").json()["results"] == []
    assert api.get("/api/v1/actors/acme-u1/activity").json()["results"] == []
    assert api.get(LOGS, actor="acme-u1").json()["results"] == []


def test_staff_change_a_subscription_and_find_it_in_both_trails(world: World) -> None:
    staff = world.api("platform", key="bill")
    change = {"plan": "premium", "reason": "They grew."}
    assert staff.post("/api/v1/platform/tenants/acme/subscription/change-plan", change).status_code == 200
    asked = {"action": "subscription.plan_changed"}
    told = staff.get("/api/v1/platform/platform-logs", tenant="acme", **asked).json()["results"]
    own = world.api(key="acme.read").get(LOGS, **asked).json()["results"]
    for (entry,) in (told, own):
        assert entry["actor"]["label"] == "bill@daybook.example"
        assert entry["changes"] == {"plan": {"old": "free", "new": "premium"}}
        assert entry["description"] == "They grew."
    assert told[0]["context"]["transaction_id"] == own[0]["context"]["transaction_id"]
    assert world.api("globex", key="globex.read").get(LOGS, **asked).json()["results"] == []
    with world.platform():
        assert PlatformLog.objects.of_action("subscription.plan_changed").count() == 1
