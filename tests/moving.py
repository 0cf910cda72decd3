"""A tenant that is worth moving: people, keys, a plan and a trail of everything a trail can hold."""

from __future__ import annotations

import atexit
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from clones import cloned
from world import Api, World, address

from audit import exports
from audit.models import AuditLog
from audit.usage import record_usage
from subscriptions import lifecycle
from subscriptions.models import Plan, PlatformLog
from tenants import apikeys, gate, people, provisioning
from tenants.context import SYSTEM, Actor, Origin, platform_scope, tenant_scope
from tenants.models import Tenant, User
from tenants.transfer import Manifest, export_tenant

STRANGE = "tab\tnewline\nbackslash \\ \\N \\. quote \" ' nul-like \\0 emoji \N{BEETLE} e\N{COMBINING ACUTE ACCENT}"
# What an import leaves in the trail after all that was loaded: that it was, and the row of the plan.
NEW = 2
PATHS = (
    "/api/v1/audit-logs",
    "/api/v1/events/invoice.declared",
    "/api/v1/events/invoice.paid",
    "/api/v1/audit-logs?order=asc",
    "/api/v1/audit-logs?order=asc&limit=2",
    "/api/v1/audit-logs?limit=2",
    "/api/v1/audit-logs?action=invoice.*&limit=3",
    "/api/v1/audit-logs?resource_type=invoice",
    "/api/v1/resources/invoice/1/history",
    "/api/v1/resources/organization/1/history",
)


@dataclass(frozen=True)
class Moving:
    """The tenant initech, and the secrets of its keys."""

    tenant: Tenant
    secrets: dict[str, str]

    def api(self, key: str = "read", host: str = "initech") -> Api:
        """Return a client with one of its keys."""
        return Api(f"{host}.localhost", self.secrets[key])


def settle(world: World) -> Moving:
    """Make the tenant initech with two people, three keys, the plan premium and a trail."""
    tenant = provisioning.create_tenant(slug="initech", name="Initech", domain="initech.localhost")
    with platform_scope(actor=SYSTEM):
        lifecycle.change_plan(tenant, Plan.objects.get(slug="premium"), actor=SYSTEM, reason="they paid")
        ian = people.create_user(email="ian@initech.example", name="Ian")
        people.set_password(ian, "correct horse battery staple")
        people.set_role(ian, tenant, "admin")
        # One who is somewhere else as well, and one who left.
        for name in ("alice", "bob"):
            people.set_role(User.objects.get(email=address(name)), tenant, "auditor")
        people.end_membership(User.objects.get(email=address("bob")), tenant)
        secrets = {
            word: apikeys.issue(name=f"initech {word}", tenant=tenant, scopes=[scope])[1]
            for word, scope in (("read", "audit:read"), ("write", "audit:write"), ("admin", "admin"))
        }
    moving = Moving(tenant, secrets)
    act(moving, Actor("user", str(ian.pk), ian.email, ian.pk))
    world.sequence()
    return moving


def act(moving: Moving, ian: Actor) -> None:
    """Write a trail: by the API and by a person, with agents, keys, answers, odd texts, and usage."""
    event: dict[str, Any] = {"action": "invoice.paid", "resource": {"type": "invoice", "id": "1", "label": STRANGE}}
    batch = [{**event, "idempotency_key": f"key {number}", "metadata": {"n": number}} for number in range(3)]
    writer = moving.api("write")
    admin = moving.api("admin")
    declared = {"description": STRANGE, "metadata_schema": {"required": [STRANGE]}, "sentences": {"en": "{actor} sent"}}
    for path, body in (("/invoice.declared", declared), ("", {"strict": True}), ("", {"strict": False})):
        put = admin.put(f"/api/v1/events{path}", body)
        assert put.status_code in {200, 201}, put.content
    for number in range(2):
        headers = {"user-agent": f"agent {number} {STRANGE[:3]!r}", "idempotency-key": f"request-{number}"}
        answer = writer.post("/api/v1/audit-logs", {"events": [*batch, event]}, **headers)
        assert answer.status_code == 201, answer.content
    # Enough for a full row of positions, whose words are indexed.
    assert writer.post("/api/v1/audit-logs", {"events": [event] * 60}).status_code == 201
    with tenant_scope(moving.tenant, actor=ian, origin=Origin(ip="203.0.113.7", user_agent="shell", source="admin")):
        AuditLog.log_action(
            None,
            "updated",
            "organization",
            "1",
            {"plan": {"old": "free", "new": "premium"}, "owner": {"old": None, "new": STRANGE}},
            personal=["owner"],
            metadata={"big": 2**60, "text": STRANGE},
        )
        record_usage("seats", 3, metadata={"of": STRANGE})
    with tenant_scope(moving.tenant, actor=SYSTEM):
        exports.request("csv", {"actor": [STRANGE]}, compress=False, told={})


def answers(world: World, moving: Moving) -> dict[str, Any]:
    """Return what the API answers about the tenant: pages both ways, histories, each entry by itself."""
    reader = moving.api("read")
    world.sequence()
    found = {path: reader.get(path).json() for path in PATHS}
    for entry in found["/api/v1/audit-logs"]["results"]:
        found[entry["id"]] = reader.get(f"/api/v1/audit-logs/{entry['id']}").json()
    return found


def walked(api: Api, cursor: str | None = None) -> tuple[list[str], str]:
    """Poll to the end; return the ids of the entries in the order seen, and the cursor to come back with."""
    World.sequence()
    seen = list[str]()
    while True:
        page = api.get("/api/v1/audit-logs", order="asc", limit=30, **({"cursor": cursor} if cursor else {})).json()
        seen += [entry["id"] for entry in page["results"]]
        cursor = str(page["next_cursor"])
        if page["next"] is None:
            return seen, cursor


def exported(moving: Moving, place: Path, **options: Any) -> Manifest:
    """Export the tenant with its keys."""
    return export_tenant(moving.tenant, place, **{"with_secrets": True, **options})


def logged(action: str) -> list[tuple[str, dict[str, Any]]]:
    """Return who did something on the platform, and what the entry says of it."""
    with platform_scope(actor=SYSTEM):
        found = PlatformLog.objects.filter(action=action).order_by("id")
        return [(entry.actor_label or "", entry.changes or {}) for entry in found]


def drop(tenant: Any) -> None:
    """Drop a tenant."""
    found = gate.tenant(tenant.slug)
    assert found is not None
    provisioning.drop_tenant(found)


def contents(world: World, schema: str) -> dict[str, list[Any]]:
    """Return all rows of all tables of a schema, as text, beyond all walls."""
    tables = world.sql(
        "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind IN ('r', 'p')"
        " AND NOT relispartition AND relname <> 'django_migrations' ORDER BY 1",
        schema,
    )
    quoted = {name: name.replace('"', '""') for (name,) in tables}
    return {
        name: world.sql(f'SELECT t::text FROM {schema}."{place}" AS t ORDER BY 1') for name, place in quoted.items()
    }


def standing(world: World) -> list[Any]:
    """Return what an import that is refused must not have changed: tenants, schemas, roles, people, log entries."""
    return world.sql(
        "SELECT (SELECT array_agg(slug || id ORDER BY id) FROM shared.tenants_tenant),"
        " (SELECT array_agg(nspname::text ORDER BY nspname) FROM pg_namespace),"
        # Roles are the server's: those that have rights here.
        " (SELECT array_agg(DISTINCT d.refobjid ORDER BY d.refobjid) FROM pg_shdepend AS d"
        "   WHERE d.refclassid = 'pg_authid'::regclass"
        "     AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())),"
        " (SELECT array_agg(email || id ORDER BY id) FROM shared.tenants_user),"
        " (SELECT count(*) FROM shared.platform_log),"
        " (SELECT count(*) FROM shared.tenants_tenantmigration)"
    )


@contextmanager
def elsewhere(world: World, superuser: psycopg.Connection[Any]) -> Iterator[World]:
    """Work in another database of the same server, which knows of the tenants acme and globex alone."""
    with cloned(superuser, "world") as there:
        yield World(there.database, there.superuser, world.keys)


@dataclass(frozen=True)
class Kept:
    """An export of initech, made once per process, and what a poller had seen by then, with his cursor."""

    moving: Moving
    directory: Path
    seen: tuple[list[str], str]


_kept: list[Kept] = []


def kept(world: World) -> Kept:
    """Return an export of a tenant that no database has any more; its keys will open what is imported."""
    if not _kept:
        moving, directory = settle(world), Path(tempfile.mkdtemp()) / "out"
        seen = walked(moving.api())
        export_tenant(moving.tenant, directory, with_secrets=True)
        drop(moving.tenant)
        atexit.register(shutil.rmtree, directory.parent, ignore_errors=True)
        _kept.append(Kept(moving, directory, seen))
    return _kept[0]


def rewrite(place: Path, change: Callable[[dict[str, Any]], object] = lambda _said: None) -> None:
    """Change the manifest of an export as someone would who knows of the hashes."""
    said = json.loads((place / "manifest.json").read_text())
    for file in said["files"]:
        content = (place / file["name"]).read_bytes()
        file.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    change(said)
    text = json.dumps(said).encode()
    (place / "manifest.json").write_bytes(text)
    (place / "manifest.json.sha256").write_text(hashlib.sha256(text).hexdigest())


def files(directory: Path) -> list[Path]:
    """Return all files of an export."""
    return sorted(path for path in directory.rglob("*") if path.is_file())
