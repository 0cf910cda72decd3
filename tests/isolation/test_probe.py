"""Nobody sees or changes what is not his: every endpoint, every actor, every foreign id; and the probe's controls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings
from django.urls import path
from probes import PROBES
from probing import (
    HOSTS,
    STRANGE,
    Actor,
    Plant,
    actors,
    contents,
    endpoints,
    plant,
    plant_platform,
    run,
    said,
    send,
)
from rest_framework.response import Response
from world import PEOPLE, SCOPES, STAFF, World

from audit import query
from audit.api.views import AuditLogView
from subscriptions.models import TenantSubscription
from tenants import callers, gate, permissions
from tenants.context import SYSTEM, tenant_scope
from tenants.models import ApiKey, Domain, Invitation, Membership, Tenant, User
from tenants.roles import Role

NAMES = ["nobody", *PEOPLE, *STAFF]
NAMES += ["view acme", "view globex"]
NAMES += [f"key {slug}.{word}" for slug in ("acme", "globex") for word in SCOPES] + [f"key {name}" for name in STAFF]


@pytest.fixture
def plants(world: World) -> list[Plant]:
    return [plant(world, "acme"), plant(world, "globex"), plant_platform(world)]


def actor_named(world: World, name: str) -> Actor:
    return next(actor for actor in actors(world) if actor.name == name)


def known() -> set[str]:
    return {f"{method} {it.route}" for conf in set(HOSTS.values()) for it in endpoints(conf) for method in it.methods}


def test_every_endpoint_has_a_probe_and_every_probe_an_endpoint() -> None:
    assert known() - set(PROBES) == set(), "an endpoint has no line in PROBES"
    assert set(PROBES) - known() == set(), "PROBES names endpoints that do not exist"


def test_a_new_endpoint_without_a_probe_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from config import urls_tenant

    new = path("api/v1/new/<str:thing>", lambda *_anything: None)  # type: ignore[arg-type]
    monkeypatch.setattr(urls_tenant, "urlpatterns", [*urls_tenant.urlpatterns, new])
    from django.urls import clear_url_caches

    clear_url_caches()
    try:
        assert known() - set(PROBES) == {"GET api/v1/new/<str:thing>", "POST api/v1/new/<str:thing>"}
    finally:
        monkeypatch.undo()
        clear_url_caches()


def test_every_actor_of_the_world_asks(world: World) -> None:
    assert {actor.name for actor in actors(world)} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_nobody_finds_what_is_not_his(world: World, plants: list[Plant], name: str) -> None:
    actor = actor_named(world, name)
    others = [side for side in ("acme", "globex", "platform") if side != actor.side]
    before = contents(world, *others)
    assert run(actor, plants, PROBES) == []
    assert contents(world, *others) == before


@pytest.mark.parametrize("name", ["nobody", "key acme.admin", "key sam", "sam"])
def test_no_endpoint_breaks_or_answers_on_a_method_that_it_does_not_offer(
    world: World, plants: list[Plant], name: str
) -> None:
    actor, wrong = actor_named(world, name), []
    for host, conf in HOSTS.items():
        for endpoint in endpoints(conf):
            asked = PROBES[f"{min(endpoint.methods)} {endpoint.route}"](plants[1], actor)[:1]
            for method in set(STRANGE) - endpoint.methods:
                for ask in asked:
                    answer = send(actor.api(host), method, endpoint.path(ask.path), ask)
                    if answer.status_code >= 500 or plants[1].ids["label"] in said(answer):
                        wrong.append((host, method, endpoint.route, answer.status_code))
    assert wrong == []


def test_those_who_may_see_a_canary_do(world: World, plants: list[Plant]) -> None:
    """Otherwise the probe would find nothing because there is nothing to find."""
    acme, globex, platform = plants
    # All signed in before anybody writes: charlie is asked to end memberships of globex, of which one is his.
    everybody = {actor.name: actor for actor in actors(world)}
    for name, planted in (("bob", acme), ("key acme.read", acme), ("view acme", acme), ("charlie", globex)):
        actor = replace(everybody[name], sees=frozenset())
        seen = {it.what.removeprefix("shows ") for it in run(actor, [planted], PROBES, under="api/")}
        wanted = [planted.ids[kind] for kind in ("label", "who", "text", "value", "agent", "request", "ip")]
        assert set(wanted) - seen == set()
        assert planted.ids["subscription"] in seen
    sam = replace(everybody["key sam"], sees=frozenset())
    seen = {it.what.removeprefix("shows ") for it in run(sam, [platform], PROBES, under="api/")}
    assert {platform.ids[kind] for kind in ("label", "text", "value")} <= seen


# --- controls: with a wall off, the probe (or a direct read) finds what stands behind it


def found(world: World, plants: list[Plant], name: str) -> list[str]:
    return [finding.what for finding in run(actor_named(world, name), plants, PROBES, under="api/")]


def shows(planted: Plant, group: str) -> Callable[[list[str]], bool]:
    return lambda findings: any(f"shows {text}" in findings for text in planted.canaries[group])


def test_control_without_row_level_security_the_probe_finds_a_subscription(world: World, plants: list[Plant]) -> None:
    for table in ("tenants_tenant", "subscriptions_tenantsubscription"):
        world.sql(f"ALTER TABLE shared.{table} DISABLE ROW LEVEL SECURITY")
    # A tenant's view takes the first subscription that it sees: now that is everybody's first.
    assert shows(plants[0], "acme.subscription")(found(world, plants, "key globex.read"))


@pytest.mark.parametrize("model", [Tenant, Domain, Membership, Invitation, ApiKey, User, TenantSubscription])
def test_control_without_row_level_security_a_tenant_reads_other_rows(world: World, model: Any) -> None:
    acme = world.acme
    with tenant_scope(acme, actor=SYSTEM):
        behind = model.objects.count()
    world.sql(f"ALTER TABLE shared.{model._meta.db_table} DISABLE ROW LEVEL SECURITY")
    with tenant_scope(acme, actor=SYSTEM):
        assert model.objects.count() > behind


def test_control_without_the_roles_a_tenant_reads_another_trail(world: World, plants: list[Plant]) -> None:
    """All rights of the other role, given to the first: what is left is the search_path, which walls nothing."""
    from units import run as execute

    acme, globex = world.acme, world.globex
    count = f"SELECT count(*) FROM {globex.schema_name}.audit_log"
    with pytest.raises(Exception, match="permission denied"), tenant_scope(acme, actor=SYSTEM):
        execute(count)
    prefix = settings.DATABASE_ROLE_PREFIX
    world.sql(f"""GRANT USAGE ON SCHEMA {globex.schema_name} TO {prefix}_t_{acme.id.hex};
        GRANT SELECT ON {globex.schema_name}.audit_log TO {prefix}_t_{acme.id.hex}""")
    with tenant_scope(acme, actor=SYSTEM):
        assert execute(count) == world.entries("globex")


def test_control_with_another_tenants_binding_the_probe_finds_its_trail(
    world: World, plants: list[Plant], monkeypatch: pytest.MonkeyPatch
) -> None:
    globex, own = world.globex, gate.host_and_key

    def everyone_is_globex(name: str | None, secret: str) -> Any:
        served, key = own(name, secret)
        return served, replace(key, tenant=globex) if key and key.tenant else key

    monkeypatch.setattr(gate, "host_and_key", everyone_is_globex)
    assert shows(plants[1], "globex.trail")(found(world, plants, "key acme.read"))


def test_control_without_the_check_of_key_and_host_the_probe_finds_a_trail(
    world: World, plants: list[Plant], monkeypatch: pytest.MonkeyPatch
) -> None:
    def host_wins(key: gate.KeyRef, host_tenant: Any, origin: Any) -> callers.Caller:
        return callers._key_caller(replace(key, tenant=host_tenant or key.tenant), origin)

    monkeypatch.setattr(callers, "_by_key", host_wins)
    assert shows(plants[1], "globex.trail")(found(world, plants, "key acme.read"))


def test_control_without_the_checks_of_membership_the_probe_finds_a_trail(
    world: World, plants: list[Plant], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stand behind each other: a session holds where it was begun, and for a current member."""
    own = gate.person

    def member_of_all(**said: Any) -> User | None:
        user = own(**said)
        if user:
            user.tenant_role = Role.ADMIN
        return user

    monkeypatch.setattr(gate, "person", member_of_all)
    assert found(world, plants, "alice") == []
    monkeypatch.setattr(callers, "realm_of", lambda _tenant: "anywhere")
    monkeypatch.setattr("tenants.sign_ins.realm_of", lambda _tenant: "anywhere")
    assert shows(plants[1], "globex.trail")(found(world, plants, "alice"))


def test_control_without_the_check_of_rights_the_probe_finds_a_subscription(
    world: World, plants: list[Plant], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(permissions.HasRight, "has_permission", lambda *_anything: True)
    assert shows(plants[0], "acme.subscription")(found(world, plants, "key acme.write"))


@pytest.mark.parametrize("kind", ["user", "api_key", "subscription"])
def test_control_where_a_foreign_id_of_any_kind_is_understood_the_probe_finds_it(
    world: World, plants: list[Plant], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    foreign, own = plants[1].ids, AuditLogView.get

    def get(view: AuditLogView, request: Any, entry_id: str) -> Response:
        return Response({"label": foreign["label"]}) if entry_id == foreign[kind] else own(view, request, entry_id)

    monkeypatch.setattr(AuditLogView, "get", get)
    assert f"shows {foreign['label']}" in found(world, plants, "key acme.read")


def test_control_without_its_binding_a_foreign_cursor_is_taken(
    world: World, plants: list[Plant], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, foreign = world.api("acme", "acme.read"), plants[1].ids["cursor"]
    assert api.get("/api/v1/audit-logs", cursor=foreign).status_code == 400
    own_cursor = api.get("/api/v1/audit-logs").json()["next_cursor"]
    assert api.get("/api/v1/audit-logs", cursor=own_cursor).status_code == 200
    read = query.read_cursor
    globex = world.globex
    bound_to_globex = ((globex.id, globex.schema_name), query.Filter(), query.Order.DESC, "")
    monkeypatch.setattr(query, "read_cursor", lambda text, *_bound: read(text, *bound_to_globex))
    assert api.get("/api/v1/audit-logs", cursor=foreign).status_code == 200
