"""An import is all of it or nothing: what is damaged, foreign or out of its time is refused, and nothing changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError
from moving import files, rewrite, settle, standing
from world import World

from subscriptions.models import Plan, TenantSubscription
from tenants import provisioning, transfer
from tenants.context import SYSTEM, enter_tenant, platform_scope
from tenants.errors import BadInput, Conflict, ScopeConflict
from tenants.transfer import BadExport, arrival, companions, export_tenant, import_tenant, tables

EVERY_FILE = [
    "manifest.json",
    "manifest.json.sha256",
    "platform.json",
    "tables/audit_answer.copy",
    "tables/audit_event_policy.copy",
    "tables/audit_event_schema.copy",
    "tables/audit_event_type.copy",
    "tables/audit_export.copy",
    "tables/audit_key.copy",
    "tables/audit_log.copy",
    "tables/audit_log_position.copy",
    "tables/audit_log_words.copy",
    "tables/audit_user_agent.copy",
    "tables/usage_log.copy",
]

NOBODY = "00000000-0000-4000-8000-000000000000"


def refused(world: World, place: Path, message: str | None, error: type[Exception] = BadExport) -> None:
    """Import what must be refused, and see that nothing has changed; then that the message says what to do."""
    before = standing(world)
    with pytest.raises(error, match=message):
        import_tenant(place)
    assert standing(world) == before


def repack(place: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the rows of shared tables, and the manifest with them."""
    packed = json.loads((place / "platform.json").read_text())
    change(packed)
    (place / "platform.json").write_text(json.dumps(packed))
    rewrite(place)


def test_the_list_of_files_is_all_there_is(place: Path) -> None:
    assert [str(path.relative_to(place)) for path in files(place)] == EVERY_FILE


# --- damage


def test_one_byte_that_differs_in_any_file_is_found(world: World, place: Path) -> None:
    for name in EVERY_FILE:
        whole = (place / name).read_bytes()
        middle = len(whole) // 2
        (place / name).write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        refused(world, place, f"{Path(name).stem}.* is not what was written.*Copy the directory anew")
        (place / name).write_bytes(whole)
    assert import_tenant(place).copied is False


def test_a_file_that_is_missing_or_cut_short_is_found(world: World, place: Path) -> None:
    for name in EVERY_FILE:
        whole = (place / name).read_bytes()
        (place / name).write_bytes(whole[: len(whole) // 2])
        refused(world, place, "not what was written|bytes instead of")
        (place / name).unlink()
        refused(world, place, f"{name} (is missing|cannot be read)")
        (place / name).write_bytes(whole)
    assert import_tenant(place).copied is False


def test_a_row_too_many_is_found(world: World, place: Path) -> None:
    file = place / "tables/audit_log.copy"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines, lines[-1].replace(b"organization", b"planted_thing")]))
    refused(world, place, "bytes instead of")


def test_a_row_too_many_under_new_hashes_is_found_by_the_count(world: World, place: Path) -> None:
    file = place / "tables/usage_log.copy"
    row = file.read_bytes()
    # Another key, so that only the count can tell.
    file.write_bytes(row + row.replace(row[:8], b"%08x" % (int(row[:8], 16) + 1)))
    rewrite(place)
    refused(world, place, "usage_log has 2 rows after the load")


def test_rows_that_would_be_stored_otherwise_than_written_are_found_by_reading_back(world: World, place: Path) -> None:
    file = place / "tables/usage_log.copy"
    content = file.read_bytes()
    assert b"3.000000" in content
    file.write_bytes(content.replace(b"3.000000", b"3.00000"))
    rewrite(place)
    refused(world, place, "not those of the manifest")


def test_no_directory_and_an_empty_one_are_no_export(world: World, tmp_path: Path) -> None:
    refused(world, tmp_path / "nowhere", "no whole export: manifest.json cannot be read")
    refused(world, tmp_path, "no whole export")


# --- what is not of this release


def test_another_schema_version_is_refused_with_what_to_do(world: World, place: Path) -> None:
    rewrite(place, lambda said: said["schema_version"].append("audit.0099_later"))
    refused(world, place, r"differs by audit\.0099_later.*migrated to the release")


def test_an_older_schema_version_is_refused_as_well(world: World, place: Path) -> None:
    rewrite(place, lambda said: said["schema_version"].pop())
    refused(world, place, r"differs by audit\.0")


def test_a_manifest_that_does_not_vouch_for_the_shared_rows_is_refused(world: World, place: Path) -> None:
    def omit(said: dict[str, Any]) -> None:
        said["files"] = [file for file in said["files"] if file["name"] != "platform.json"]

    rewrite(place, omit)
    refused(world, place, r"does not name platform\.json")


@pytest.mark.parametrize("number", [0, 3, None])
def test_another_format_is_refused(world: World, place: Path, number: int | None) -> None:
    rewrite(place, lambda said: said.update(format=number))
    refused(world, place, f"^The export is of format {number}, and this release reads 1 and 2: use its own.$")


def test_a_manifest_that_names_files_elsewhere_is_refused(world: World, place: Path) -> None:
    whole = (place / "manifest.json").read_bytes()

    def named(name: str) -> Callable[[dict[str, Any]], object]:
        return lambda said: said["files"][-1].update(name=name)

    for name in ("../secret", "tables/../../secret", "/etc/passwd", "tables/x.copy.exe"):
        rewrite(place, named(name))
        refused(world, place, "files that no export has")
        (place / "manifest.json").write_bytes(whole)


def test_tables_and_columns_that_are_not_here_are_refused(world: World, place: Path) -> None:
    rewrite(place, lambda said: said["files"][-1].update(table="other_log"))
    refused(world, place, "differ in the tables other_log, usage_log")
    rewrite(place, lambda said: said["files"][-1].update(table="usage_log", columns=["id"]))
    refused(world, place, "usage_log has other columns")


def test_a_table_twice_is_refused(world: World, place: Path) -> None:
    rewrite(place, lambda said: said["files"].append(said["files"][-1]))
    refused(world, place, "twice")


# --- the rows of shared tables


STRANGE_ROWS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda packed: packed["tenant"].update(slug="other"), "another tenant"),
    (lambda packed: packed["tenant"].update(shard="elsewhere"), "Tenant takes no shard"),
    (lambda packed: packed["tenant"].update(unheard="of"), "Tenant takes no unheard"),
    (lambda packed: packed["tenant"].update(status="crowned"), "Tenant is none that could have been exported"),
    (lambda packed: packed["tenant"].update(created_at="once"), "Tenant is none that could have been exported"),
    (lambda packed: packed["people"][0].update(staff_role="admin"), "User takes no staff_role"),
    (lambda packed: packed["people"][0].update(email="ian"), "User is none that could have been exported"),
    (lambda packed: packed["memberships"][0].update(role="emperor"), "Membership is none that could have been"),
    (lambda packed: packed["people"].clear(), "membership is of nobody"),
    (lambda packed: packed["companions"].update(unheard={}), "does not know: unheard"),
    (lambda packed: packed["domains"].clear(), "no host name"),
    (lambda packed: packed["domains"][0].update(domain="localhost"), "PLATFORM_HOSTS"),
]


def test_rows_that_no_export_has_are_refused(world: World, place: Path) -> None:
    whole = (place / "platform.json").read_bytes()
    for change, message in STRANGE_ROWS:
        repack(place, change)
        refused(world, place, message, BadInput)
        (place / "platform.json").write_bytes(whole)
    repack(place, lambda _packed: None)
    assert import_tenant(place).copied is False


def test_a_schema_named_like_no_tenants_is_refused(world: World, place: Path) -> None:
    repack(place, lambda packed: packed["tenant"].update(schema_name="guard"))
    rewrite(place, lambda said: said["tenant"].update(schema_name="guard"))
    refused(world, place, "'guard' is no name of a tenant's schema")


def test_a_plan_that_is_not_sold_here_must_be_made_first(world: World, place: Path) -> None:
    repack(place, lambda packed: packed["companions"]["subscription"].update(plan="gold"))
    refused(world, place, "no plan 'gold' here: create it first", Conflict)
    with platform_scope(actor=SYSTEM):
        Plan.objects.create(slug="gold", name="Gold")
    tenant = import_tenant(place).tenant
    with platform_scope(actor=SYSTEM):
        assert TenantSubscription.objects.get(tenant=tenant).plan.slug == "gold"


def test_a_tenant_without_a_plan_arrives_without_one(world: World, place: Path) -> None:
    repack(place, lambda packed: packed["companions"].clear())
    tenant = import_tenant(place).tenant
    with platform_scope(actor=SYSTEM):
        assert not TenantSubscription.objects.filter(tenant=tenant).exists()


# --- all or nothing


@pytest.mark.parametrize(
    ("room", "step"),
    [
        (companions, "unpack"),
        (provisioning, "create_schema"),
        (tables, "load"),
        (tables, "read"),
        (arrival, "_adjust"),
        (companions, "unpack_companions"),
        (arrival, "_record"),
    ],
)
def test_an_import_that_breaks_at_any_step_leaves_nothing(
    world: World, place: Path, monkeypatch: pytest.MonkeyPatch, room: Any, step: str
) -> None:
    real = getattr(room, step)

    def done_and_broken(*arguments: Any, **options: Any) -> None:
        real(*arguments, **options)
        raise ZeroDivisionError

    monkeypatch.setattr(room, step, done_and_broken)
    refused(world, place, None, ZeroDivisionError)
    monkeypatch.undo()
    assert import_tenant(place).copied is False


def test_guards_that_would_not_stand_as_before_undo_the_import(
    world: World, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tables._FIRES, "A", "ENABLE TRIGGER")
    refused(world, place, "do not stand as before", RuntimeError)


def test_with_the_guards_on_rows_of_long_ago_are_refused(
    world: World, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: it is the guards being off that lets them in, in the transaction that makes the schema."""
    monkeypatch.setattr(tables, "guards_off", lambda *_arguments: nullcontext())
    monkeypatch.setattr(tables, "clear", lambda *_arguments: None)
    refused(world, place, "audit_log cannot be loaded.*leave (it|the id) to the database")


def test_after_the_import_the_guards_cannot_be_switched_off_that_way(world: World, place: Path) -> None:
    tenant = import_tenant(place).tenant
    with (
        pytest.raises(DatabaseError, match="belongs to a trail"),
        provisioning.owner_scope(SYSTEM, None) as connection,
        connection.cursor() as cursor,
        tables.guards_off(cursor, tenant.schema_name),
    ):
        pass


def test_importing_inside_a_scope_or_twice_is_refused(world: World, place: Path) -> None:
    with world.platform(), pytest.raises(ScopeConflict):
        import_tenant(place)
    tenant = import_tenant(place).tenant
    refused(world, place, "on this server already", Conflict)
    with world.platform(), enter_tenant(tenant):
        pass


def test_what_another_application_keeps_goes_out_and_comes_in_by_its_name(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Notes:
        name = "notes"
        found: Any = None

        def pack(self, tenant: Any) -> Any:
            return [tenant.slug, {"of": "notes"}]

        def unpack(self, tenant: Any, packed: Any) -> None:
            self.found = (tenant.slug, packed)

    notes = Notes()
    monkeypatch.setattr(companions, "_companions", {})
    transfer.register(notes)
    export_tenant(settle(world).tenant, tmp_path / "notes")
    import_tenant(tmp_path / "notes", slug="copy", domain="copy.localhost")
    assert notes.found == ("copy", ["initech", {"of": "notes"}])


@pytest.mark.parametrize(
    "given", [{"actor_key": "x"}, {"resource_uuid": NOBODY}, {"resource_key": r"\N"}, {"user_id": NOBODY}]
)
def test_entries_that_no_guard_would_let_in_are_refused(world: World, place: Path, given: dict[str, str]) -> None:
    """A person's entry, which names him by his id and points to him, and a resource by a text."""
    file = place / "tables/audit_log.copy"
    said = json.loads((place / "manifest.json").read_text())
    columns = next(one["columns"] for one in said["files"] if one["table"] == "audit_log")
    lines = [dict(zip(columns, line.split("\t"), strict=True)) for line in file.read_text().splitlines()]
    person = next(line for line in lines if line["user_id"] != r"\N" and line["resource_key"] != r"\N")
    person.update(given)
    file.write_text("".join("\t".join(line.values()) + "\n" for line in lines))
    rewrite(place)
    refused(world, place, "audit_log has entries that name no actor")
