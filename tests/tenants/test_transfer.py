"""A tenant goes out as a directory of files, and comes back as it was: here, or in another database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from moving import NEW, Moving, answers, contents, drop, elsewhere, exported, kept, logged, settle, standing, walked
from world import World

from audit.models import AuditLog
from subscriptions.models import TenantSubscription
from tenants import gate
from tenants.context import SYSTEM, platform_scope
from tenants.errors import BadInput, Conflict
from tenants.models import ApiKey, Membership, User
from tenants.transfer import export_tenant, import_tenant
from tenants.transfer.manifest import read


@pytest.fixture
def moving(world: World) -> Moving:
    """The tenant that is moved."""
    return settle(world)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where it is exported to."""
    return tmp_path / "out"


def own_trail(world: World, slug: str) -> list[str]:
    """Return the actions of a tenant's trail in the order of their ids."""
    with world.scope(slug):
        return list(AuditLog.objects.order_by("id").values_list("action", flat=True))


# --- there and back


def test_a_tenant_that_was_exported_dropped_and_imported_answers_as_before(
    world: World, moving: Moving, place: Path
) -> None:
    before = answers(world, moving)
    exported(moving, place)
    drop(moving.tenant)
    assert moving.api().get("/api/v1/audit-logs").status_code == 401
    imported = import_tenant(place)
    assert (imported.tenant.pk, imported.copied) == (moving.tenant.pk, False)
    after = answers(world, moving)
    newest = after["/api/v1/audit-logs"]["results"][:NEW]
    assert [(entry["action"], entry["resource"]["type"]) for entry in newest] == [
        ("tenant.imported", "tenant"),
        ("created", "subscription"),
    ]
    assert [after.pop(entry["id"]) for entry in newest] == newest
    assert set(after) == set(before)
    for path, answer in before.items():
        if "results" not in answer:
            assert after[path] == answer
        elif path != "/api/v1/audit-logs?limit=2":
            assert [entry for entry in after[path]["results"] if entry not in newest] == answer["results"], path


def test_pages_with_their_cursors_are_the_same_up_to_the_entry_of_the_import(
    world: World, moving: Moving, place: Path
) -> None:
    seen, cursor = walked(moving.api())
    exported(moving, place)
    drop(moving.tenant)
    import_tenant(place)
    again, _ = walked(moving.api())
    assert again[: len(seen)] == seen
    # Who had polled all of it gets what is new, once.
    newer, _ = walked(moving.api(), cursor)
    assert newer == again[len(seen) :]
    assert own_trail(world, "initech")[-1] == "tenant.imported"
    assert len(newer) == NEW


def test_each_row_of_each_table_is_as_it_was_to_the_byte(world: World, moving: Moving, place: Path) -> None:
    before = contents(world, moving.tenant.schema_name)
    assert {name: len(rows) for name, rows in before.items() if not rows} == {}
    exported(moving, place)
    drop(moving.tenant)
    imported = import_tenant(place)
    after = contents(world, imported.tenant.schema_name)
    trail = after.pop("audit_log")
    assert len(trail) == len(before["audit_log"]) + NEW
    assert set(before.pop("audit_log")) < set(trail)
    # The import's own entries have no user agent, so the dictionary has not grown.
    assert after == before


def test_people_roles_keys_and_plan_come_along(world: World, moving: Moving, place: Path) -> None:
    def owned() -> list[Any]:
        with platform_scope(actor=SYSTEM):
            members = Membership.objects.filter(tenant_id=moving.tenant.pk).order_by("id")
            keys = ApiKey.objects.filter(tenant_id=moving.tenant.pk).order_by("id")
            plan = TenantSubscription.objects.filter(tenant_id=moving.tenant.pk)
            return [
                list(members.values_list("id", "user__email", "role", "created_at", "ended_at")),
                list(keys.values_list("id", "name", "prefix", "scopes", "created_at", "expires_at")),
                list(plan.values_list("plan__slug", "created_at", "changed_at")),
            ]

    before = owned()
    assert [len(rows) for rows in before] == [3, 3, 1]
    exported(moving, place)
    drop(moving.tenant)
    assert owned() == [[], [], []]
    settled = import_tenant(place).settled
    assert owned() == before
    assert (settled.people_made, settled.people_linked, settled.keys_left) == (0, 3, 0)


def test_the_tenant_can_be_written_to_as_before(world: World, moving: Moving, place: Path) -> None:
    exported(moving, place)
    drop(moving.tenant)
    import_tenant(place)
    event = {"action": "invoice.sent", "resource": {"type": "invoice", "id": "1"}, "idempotency_key": "key 0"}
    batch = [event, {**event, "idempotency_key": "fresh"}]
    answer = moving.api("write").post("/api/v1/audit-logs", {"events": batch}, **{"user-agent": "another agent"})
    assert [row["status"] for row in answer.json()["results"]] == ["duplicate", "created"]
    seen, _ = walked(moving.api())
    assert seen[-1] == answer.json()["results"][1]["id"]
    assert len(set(seen)) == len(seen) == world.entries("initech")


def test_an_imported_trail_is_guarded_as_any_other(world: World, moving: Moving, place: Path) -> None:
    guards = (
        "SELECT c.relname, t.tgname, t.tgenabled FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        " WHERE c.relnamespace = %s::regnamespace AND NOT t.tgisinternal ORDER BY 1, 2"
    )
    before = world.sql(guards, moving.tenant.schema_name)
    assert {fires for _, _, fires in before} == {"A"}
    exported(moving, place)
    drop(moving.tenant)
    schema = import_tenant(place).tenant.schema_name
    assert world.sql(guards, schema) == before
    for attack in ("UPDATE {}.audit_log SET action = 'x'", "DELETE FROM {}.audit_log", "TRUNCATE {}.audit_log"):
        with pytest.raises(psycopg.errors.RestrictViolation):
            world.sql(attack.format(schema))
    with pytest.raises(psycopg.errors.RestrictViolation, match="time of now"):
        world.sql(
            f"INSERT INTO {schema}.audit_log (id, version, actor_type, actor_key, action, operation, outcome, source,"
            " resource_type, resource_key, salt) SELECT '01900000-0000-7000-8000-000000000000', version, actor_type,"
            f" 'x', action, operation, outcome, source, resource_type, 'x', salt FROM {schema}.audit_log LIMIT 1"
        )


# --- another database


def test_a_tenant_moves_to_another_database_and_keeps_its_id(
    world: World, moving: Moving, place: Path, superuser: psycopg.Connection[Any]
) -> None:
    exported(moving, place)
    trail = world.sql(f"SELECT t::text FROM {moving.tenant.schema_name}.audit_log AS t ORDER BY id")[:-1]
    drop(moving.tenant)
    with elsewhere(world, superuser) as there:
        imported = import_tenant(place)
        assert (imported.tenant.pk, imported.copied) == (moving.tenant.pk, False)
        found = there.sql(f"SELECT t::text FROM {imported.tenant.schema_name}.audit_log AS t ORDER BY id")
        settled = imported.settled
        assert (settled.people_made, settled.people_linked) == (1, 2)
        assert moving.api().get("/api/v1/audit-logs").json()["results"][0]["action"] == "tenant.imported"
    assert found[:-NEW] == trail


def test_a_person_who_is_made_has_neither_password_nor_role_of_staff(
    world: World, moving: Moving, place: Path, superuser: psycopg.Connection[Any]
) -> None:
    world.sql("UPDATE shared.tenants_user SET staff_role = 'admin' WHERE email = 'ian@initech.example'")
    exported(moving, place)
    drop(moving.tenant)
    with elsewhere(world, superuser):
        import_tenant(place)
        ian = gate.person(email="ian@initech.example", tenant_id=moving.tenant.pk)
        assert ian is not None
        assert (ian.staff_role, ian.password_hash, ian.tenant_role) == ("", "", "admin")
        assert [changes for _, changes in logged("user.created")][-1] == {"staff_role": ""}


def test_a_person_who_has_another_id_there_gets_the_role_and_the_pointers_are_cleared(
    world: World, moving: Moving, place: Path, superuser: psycopg.Connection[Any]
) -> None:
    exported(moving, place)
    drop(moving.tenant)
    with elsewhere(world, superuser) as there:
        with platform_scope(actor=SYSTEM):
            other = User(email="ian@initech.example", name="Ian")
            other.save(force_insert=True)
        imported = import_tenant(place)
        assert imported.adjusted.pointers_cleared == 1
        ian = gate.person(email="ian@initech.example", tenant_id=moving.tenant.pk)
        assert ian is not None
        assert (ian.pk, ian.tenant_role) == (other.pk, "admin")
        schema = imported.tenant.schema_name
        rows = there.sql(
            f"SELECT user_id, actor_id, actor_label FROM {schema}.audit_log WHERE action = 'updated' AND NOT captured"
        )
        assert [(user, label) for user, _, label in rows] == [(None, "ian@initech.example")]
        assert rows[0][1] != str(other.pk)


def test_a_tenant_whose_role_stands_in_another_database_is_refused_or_copied(
    world: World, moving: Moving, place: Path, superuser: psycopg.Connection[Any]
) -> None:
    exported(moving, place)
    with elsewhere(world, superuser) as there:
        before = standing(there)
        with pytest.raises(Conflict, match="or in another database"):
            import_tenant(place)
        assert standing(there) == before
        imported = import_tenant(place, slug="initech")
        assert imported.copied
        assert imported.tenant.pk != moving.tenant.pk
        assert gate.host("initech.localhost").id == imported.tenant.pk  # type: ignore[union-attr]
        drop(imported.tenant)


def test_a_role_that_is_left_of_a_database_that_is_gone_is_no_hindrance(
    world: World, superuser: psycopg.Connection[Any]
) -> None:
    ready = kept(world)
    with elsewhere(world, superuser):
        import_tenant(ready.directory)
    role = f"daybook_t_{ready.moving.tenant.pk.hex}"
    assert world.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", role) == [(1,)]
    assert import_tenant(ready.directory).copied is False
    assert ready.moving.api().get("/api/v1/audit-logs").status_code == 200


# --- a copy beside the original


def test_a_copy_in_the_same_database_has_an_id_schema_and_host_of_its_own(
    world: World, moving: Moving, place: Path
) -> None:
    exported(moving, place)
    imported = import_tenant(place, slug="initech-copy", domain="Copy.localhost")
    assert imported.copied
    assert imported.tenant.pk != moving.tenant.pk
    assert imported.tenant.schema_name != moving.tenant.schema_name
    copy = gate.host("copy.localhost")
    assert copy is not None
    assert (copy.id, copy.slug) == (imported.tenant.pk, "initech-copy")
    own, copied = contents(world, moving.tenant.schema_name), contents(world, imported.tenant.schema_name)
    for table in set(own) - {"audit_log"}:
        assert copied[table] == own[table]
    assert set(copied["audit_log"]) - set(own["audit_log"]) == set(copied["audit_log"][-NEW:])
    # A key opens one tenant: those of the original are its own.
    assert imported.settled.keys_left == 3
    assert moving.api().get("/api/v1/audit-logs").json()["results"][0]["tenant"]["id"] == str(moving.tenant.pk)


TAKEN: list[tuple[dict[str, Any], str]] = [
    ({}, "on this server already"),
    ({"domain": "copy.localhost"}, "on this server already"),
    ({"slug": "initech", "domain": "copy.localhost"}, "'initech' already"),
    ({"slug": "copy"}, "initech.localhost belongs"),
    ({"slug": "copy", "domain": "acme.localhost"}, "acme.localhost belongs"),
    ({"slug": "No Slug", "domain": "copy.localhost"}, "no slug"),
    ({"slug": "copy", "domain": "no host"}, "no host name"),
]


def test_what_is_taken_or_cannot_be_is_refused_and_nothing_changes(world: World, moving: Moving, place: Path) -> None:
    exported(moving, place)
    before = standing(world)
    for options, message in TAKEN:
        with pytest.raises((Conflict, BadInput), match=message):
            import_tenant(place, **options)
        assert standing(world) == before


def test_both_trails_say_where_it_came_from(world: World, moving: Moving, place: Path) -> None:
    said = exported(moving, place)
    imported = import_tenant(place, slug="copy", domain="copy.localhost", actor=world.actor("sam"))
    (actor, changes), *others = logged("tenant.imported")
    assert (actor, others) == ("sam@daybook.example", [])
    assert changes == {
        "rows": said.rows,
        "manifest": said.sha256,
        "exported_at": said.created_at,
        "exported_id": str(moving.tenant.pk),
        "transactions_shifted_by": 0,
        "pointers_cleared": 0,
    }
    with world.scope("copy"):
        entry = AuditLog.objects.order_by("-id").first()
        assert entry is not None
        assert (entry.action, entry.actor_label, entry.changes) == ("tenant.imported", "sam@daybook.example", changes)
        assert entry.resource_id == str(imported.tenant.pk)


def test_a_suspended_tenant_arrives_suspended(world: World, moving: Moving, place: Path) -> None:
    world.sql("UPDATE shared.tenants_tenant SET status = 'suspended' WHERE slug = 'initech'")
    exported(moving, place)
    drop(moving.tenant)
    assert import_tenant(place).tenant.status == "suspended"
    assert gate.tenant("initech").suspended  # type: ignore[union-attr]


def test_the_files_of_two_exports_of_the_same_rows_are_the_same(
    world: World, moving: Moving, place: Path, tmp_path: Path
) -> None:
    exported(moving, place)
    drop(moving.tenant)
    imported = import_tenant(place)
    again = export_tenant(imported.tenant, tmp_path / "again", with_secrets=True)
    first = {file.name: file.sha256 for file in read(place).files}
    second = {file.name: file.sha256 for file in again.files}
    changed = {name for name in first if first[name] != second[name]}
    # The trail has the entry of the import.
    assert changed == {"tables/audit_log.copy"}
    old, new = ((one / "tables/audit_log.copy").read_bytes() for one in (place, tmp_path / "again"))
    assert new.startswith(old)
    assert json.loads((place / "platform.json").read_text())["tenant"]["slug"] == "initech"


def test_an_entry_that_was_exported_without_a_position_gets_one(world: World, moving: Moving, place: Path) -> None:
    written = moving.api("write").post("/api/v1/audit-logs", {"action": "late", "resource": {"type": "note"}}).json()
    exported(moving, place)
    drop(moving.tenant)
    import_tenant(place)
    before, cursor = moving.api().get("/api/v1/audit-logs", order="asc", limit=1000).json(), None
    assert written["id"] not in {entry["id"] for entry in before["results"]}
    seen, cursor = walked(moving.api())
    assert written["id"] in seen
    assert len(set(seen)) == len(seen) == world.entries("initech")
    assert walked(moving.api(), cursor) == ([], cursor)
