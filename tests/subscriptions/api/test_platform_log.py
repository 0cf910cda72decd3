"""The platform log over HTTP: filters, pages, single entries."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from world import World

from subscriptions import platform_log

PATH = "/api/v1/platform/platform-logs"


def fill(world: World) -> None:
    """Write entries about both tenants and about none, by two members of staff."""
    acme, globex = world.acme.id, world.globex.id
    for name in ("sam", "bill"):
        with world.platform(name):
            for number in range(3):
                for about in (acme, globex, None):
                    for action in ("review.begun", "review.ended"):
                        outcome = "failure" if number == 0 else "success"
                        platform_log.log_action(
                            action, "tenant", f"{about or 'none'}", {"n": number}, tenant_id=about, outcome=outcome
                        )


def listed(world: World, **parameters: Any) -> list[dict[str, Any]]:
    answer = world.api("platform", "sue").get(PATH, **parameters)
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


def test_the_tenant_an_entry_is_about_is_a_filter_by_slug_and_by_id(world: World) -> None:
    fill(world)
    by_slug, by_id = (listed(world, tenant=name, action="review.*") for name in ("acme", str(world.acme.id)))
    assert by_slug == by_id
    assert len(by_slug) == 12
    assert {entry["tenant"]["slug"] for entry in by_slug} == {"acme"}
    about_none = [entry for entry in listed(world, action="review.*") if entry["tenant"] is None]
    assert len(about_none) == 12


@pytest.mark.parametrize("words", [{}, {"tenant": "globex"}])
@pytest.mark.parametrize(
    "filters",
    [
        {"action": "review.ended"},
        {"action": "-review.begun", "resource_type": "tenant"},
        {"actor": "bill", "resource_type": "tenant"},
        {"outcome": "failure"},
        {"resource_type": "tenant", "resource_id": "none"},
    ],
)
def test_each_filter_equals_what_plain_python_finds(
    world: World, filters: dict[str, str], words: dict[str, str]
) -> None:
    fill(world)
    if "actor" in filters:
        filters = {**filters, "actor": str(world.person(filters["actor"]).pk)}

    def matches(entry: dict[str, Any]) -> bool:
        slug = entry["tenant"] and entry["tenant"]["slug"]
        said = {
            "actor": entry["actor"]["id"], "outcome": entry["outcome"], "tenant": slug, "action": entry["action"],
            "resource_type": entry["resource"]["type"], "resource_id": entry["resource"]["id"],
        }  # fmt: skip
        return all(
            said[name] != value[1:] if value.startswith("-") else said[name] == value
            for name, value in {**filters, **words}.items()
        )

    expected = [entry for entry in listed(world, limit=1000) if matches(entry)]
    assert listed(world, **filters, **words, limit=1000) == expected


def test_since_and_until_bound_the_time_half_open(world: World) -> None:
    fill(world)
    entries = listed(world, action="review.*")
    middle = entries[10]["created_at"]
    later, earlier = listed(world, action="review.*", since=middle), listed(world, action="review.*", until=middle)
    assert all(entry["created_at"] >= middle for entry in later)
    assert all(entry["created_at"] < middle for entry in earlier)
    assert len(later) + len(earlier) == len(entries)


def test_pages_follow_each_other_both_ways(world: World) -> None:
    fill(world)
    whole = [entry["id"] for entry in listed(world, tenant="acme", limit=1000)]
    api, address, walked, pages = world.api("platform", "bill"), f"{PATH}?tenant=acme&limit=5", list[str](), []
    while address:
        page = api.get(address).json()
        pages.append([entry["id"] for entry in page["results"]])
        walked += pages[-1]
        address, before = page["next"], page["previous"]
    assert walked == whole
    assert [entry["id"] for entry in api.get(before).json()["results"]] == pages[-2]


def test_a_cursor_of_one_tenants_entries_is_refused_for_anothers(world: World) -> None:
    fill(world)
    api = world.api("platform", "sam")
    cursor = api.get(PATH, tenant="acme", limit=5).json()["next_cursor"]
    assert api.get(PATH, tenant="acme", limit=5, cursor=cursor).status_code == 200
    for other in ({"tenant": "globex"}, {}):
        assert api.get(PATH, **other, limit=5, cursor=cursor).status_code == 400


def test_one_entry_is_read_by_its_id(world: World) -> None:
    fill(world)
    listed_entry = listed(world, tenant="acme", limit=1)[0]
    answer = world.api("platform", "bill").get(f"{PATH}/{listed_entry['id']}")
    assert answer.json() == listed_entry
    assert answer.json() == world.api("platform", "bill").get(f"{PATH}/{UUID(listed_entry['id']).hex}/").json()


def test_an_entry_about_a_dropped_tenant_keeps_its_id(world: World) -> None:
    from tenants import provisioning

    tenant = provisioning.create_tenant(slug="initech", name="Initech", domain="initech.localhost")
    key = str(tenant.pk)
    with world.platform():
        platform_log.log_action("review.begun", "tenant", key, tenant_id=tenant.pk)
    provisioning.drop_tenant(tenant)
    assert [entry["tenant"] for entry in listed(world, action="review.begun")] == [{"id": key, "slug": ""}]


def test_an_entry_of_a_tenants_trail_is_not_in_the_platform_log(world: World) -> None:
    from audit.models import AuditLog

    with world.scope("acme", "alice"):
        entry = AuditLog.log_action(None, "deleted", "organization", "1")
    for key in (str(entry.pk), "nonsense", "0197a4b2-0000-7000-8000-000000000000"):
        answer = world.api("platform", "sam").get(f"{PATH}/{key}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert listed(world, action="deleted") == []


def test_a_refusal_is_found_in_the_platform_log(world: World) -> None:
    body = {"plan": "premium", "reason": "why not"}
    assert (
        world.api("platform", "sue").post("/api/v1/platform/tenants/acme/subscription/change-plan", body).status_code
        == 403
    )
    (entry,) = listed(world, outcome="denied")
    assert (entry["action"], entry["actor"]["label"]) == ("access.denied", "sue@daybook.example")
