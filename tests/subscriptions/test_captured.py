"""What is captured of the shared tables: all of it in the platform log, and to tenants what is theirs to know."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from world import World

from audit.capture import register
from audit.capture.registry import _declared, spec_of
from audit.models import AuditLog
from tenants import provisioning, sealing
from tenants.models import Domain, User


def captured(world: World, trail: str) -> list[tuple[str, dict[str, Any]]]:
    """Return resource type and all changes of the newest transaction's captured entries, beyond all walls."""
    told = "coalesce(changes, '{}') || coalesce(personal, '{}')"
    return world.sql(
        f"SELECT resource_type, {told} FROM {trail} WHERE captured"
        " AND transaction_id = (SELECT max(transaction_id) FROM shared.platform_log) ORDER BY id"
    )


def test_that_somebody_became_staff_is_told_to_the_platform_alone(world: World) -> None:
    schema = world.acme.schema_name
    world.sql("UPDATE shared.tenants_user SET staff_role = 'admin', name = 'Al' WHERE email = 'alice@acme.example'")
    role, name = {"staff_role": {"old": "", "new": "admin"}}, {"name": {"old": "Alice", "new": "Al"}}
    assert captured(world, "shared.platform_log") == [("user", {**role, **name})]
    assert captured(world, f"{schema}.audit_log") == [("user", name)]
    # Where there is nothing else to tell there is no entry.
    before = world.entries("acme")
    world.sql("UPDATE shared.tenants_user SET staff_role = '' WHERE email = 'alice@acme.example'")
    assert captured(world, "shared.platform_log") == [("user", {"staff_role": {"old": "admin", "new": ""}})]
    assert world.entries("acme") == before


def test_where_a_tenant_is_kept_is_told_to_the_platform_alone(world: World) -> None:
    # Roles are the cluster's: those of the standing world are not to be changed.
    tenant = provisioning.create_tenant(slug="initech", name="Initech", domain="initech.localhost")
    before = world.entries("initech")
    sealing.seal_tenant(tenant)
    moved = {"login": {"old": tenant.login, "new": f"daybook_sealed_{tenant.id.hex}"}}
    assert ("tenant", moved) in captured(world, "shared.platform_log")
    assert world.entries("initech") == before
    provisioning.drop_tenant(tenant)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (AuditLog, {"internal": ("action",)}, "a tenant's: leave out"),
        (Domain, {"internal": ("domain",), "personal": ("domain",)}, "domain can be `internal`, or"),
        (User, {"internal": ("shoe_size",)}, "names fields that it has not: shoe_size"),
    ],
)
def test_what_is_internal_is_of_a_shared_table_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, model: Any, options: dict[str, Any], message: str
) -> None:
    for declared in (model, *model.__subclasses__()):
        monkeypatch.delitem(_declared, declared, raising=False)
    register(model, **options)
    try:
        with pytest.raises(ImproperlyConfigured, match=message):
            spec_of(model)
    finally:
        del _declared[model]
