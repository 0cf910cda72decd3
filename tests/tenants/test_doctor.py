"""Faults that the doctor finds: each is planted in one tenant of four, and found there, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from clones import cloned, leave, unchanged
from conftest import TEMPLATE
from faults import SICK, Fault
from role_faults import ALL_FAULTS
from world import World

from audit.models import AuditLog
from tenants.doctor.examination import examine
from tenants.doctor.findings import NOTE

OTHERS = ("initech",)


@pytest.fixture(scope="module")
def many(superuser: psycopg.Connection[Any]) -> Iterator[World]:
    """A database of four tenants, one of which has a login of its own. Their roles are this module's alone."""
    from tenants import provisioning, sealing

    with cloned(superuser, TEMPLATE) as world:
        made = [
            provisioning.create_tenant(slug=slug, name=slug.title(), domain=f"{slug}.localhost")
            for slug in (*OTHERS, SICK)
        ]
        sealing.seal_tenant(world.tenant(SICK))
        with world.scope(SICK):
            AuditLog.log_action(None, "created", "organization", "1")
        leave()
        yield world
        roles = [f'"daybook_t_{tenant.id.hex}"' for tenant in made]
        world.sql(f"DROP OWNED BY {', '.join(roles)}")
    superuser.execute(f"DROP ROLE {', '.join(roles)}, daybook_sealed_{made[-1].id.hex}")


@pytest.fixture
def clone(superuser: psycopg.Connection[Any], standing: list[str], many: World) -> Iterator[World]:
    """A copy of it for one test."""
    with unchanged(superuser, standing), cloned(superuser, many.database) as world:
        yield world


def words(world: World) -> dict[str, str]:
    """Return the names that faults and findings speak of."""
    from django.conf import settings

    from tenants.backend.pool import password_of

    rows = world.sql("SELECT slug, id, schema_name, login FROM shared.tenants_tenant")
    found = {slug: (key, schema, login) for slug, key, schema, login in rows}
    key, schema, login = found[SICK]
    other_key, other, cell = found["initech"]
    fixed = {word: f"daybook_{word}" for word in ("app", "owner", "platform", "auditor", "guard", "tenant")}
    return {
        **fixed,
        "login_group": "daybook_login",
        "database": world.database,
        "id": str(key),
        "schema": schema,
        "role": f"daybook_t_{key.hex}",
        "login": login,
        "password": password_of(login, str(settings.DATABASES["default"]["PASSWORD"])),
        "other": other,
        "other_role": f"daybook_t_{other_key.hex}",
        "cell": cell,
        "orphan": f"daybook_t_{key.hex[::-1]}",
    }


@contextmanager
def planted(world: World, fault: Fault, names: dict[str, str]) -> Iterator[None]:
    """Plant a fault, and undo what it did to the cluster."""
    try:
        world.sql(fault.plant.format_map(names))
        yield
    finally:
        if fault.undo:
            world.sql(fault.undo.format_map(names))


def test_four_tenants_without_a_fault_have_no_finding(clone: World) -> None:
    report = examine()
    assert (report.tenants, report.findings) == (4, [])


@pytest.mark.parametrize("fault", ALL_FAULTS.values(), ids=ALL_FAULTS)
def test_it_finds_this_in_the_tenant_that_has_it_and_nothing_else(clone: World, fault: Fault) -> None:
    names = words(clone)
    with planted(clone, fault, names):
        found = examine().findings
    expected = {tuple(part.format_map(names) for part in finding) for finding in fault.findings}
    assert {(each.where, each.id, each.object) for each in found} == expected
    assert not [each for each in found if each.level == NOTE or not each.found]


def test_it_finds_what_was_done_to_the_whole_server(clone: World) -> None:
    """An owner who may become the guard replaces its functions; a setting may be every role's."""
    server = Fault(
        "GRANT {guard} TO {owner} WITH INHERIT FALSE, SET TRUE; ALTER ROLE ALL SET event_triggers = on",
        {
            ("roles", "membership.extra", "{guard} {owner}"),
            ("database", "setting.dangerous", "(database) event_triggers=on"),
        },
        undo="REVOKE {guard} FROM {owner}; ALTER ROLE ALL RESET ALL",
    )
    names = words(clone)
    with planted(clone, server, names):
        found = {(each.where, each.id, each.object) for each in examine().findings}
    assert found == {tuple(part.format_map(names) for part in finding) for finding in server.findings}
    assert examine().findings == []
