"""What an export writes: the tenant's rows of one moment and nobody else's, whole or not at all."""

from __future__ import annotations

import base64
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from moving import Moving, drop, exported, files, logged, settle
from world import World

from audit.models import AuditLog
from tenants import gate
from tenants.errors import BadInput, NotFound, ScopeConflict
from tenants.transfer import departure, export_tenant, import_tenant, tables
from tenants.transfer.manifest import read


@pytest.fixture
def moving(world: World) -> Moving:
    """The tenant that is moved."""
    return settle(world)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where it is exported to."""
    return tmp_path / "out"


# --- what goes out


def test_the_directory_holds_the_tenants_rows_and_nobody_elses(world: World, moving: Moving, place: Path) -> None:
    with world.scope("acme"):
        AuditLog.log_action(None, "planted", "organization", "of acme")
    exported(moving, place)
    text = b"".join(path.read_bytes() for path in files(place))
    strangers = [world.acme, world.globex]
    foreign = [str(stranger.id) for stranger in strangers] + [stranger.schema_name for stranger in strangers]
    foreign += ["of acme", "charlie@globex.example", "sam@daybook.example", "acme.localhost"]
    assert [word for word in foreign if word.encode() in text] == []
    # The control: what is the tenant's own is found by the same look.
    own = [str(moving.tenant.pk), "ian@initech.example", "alice@acme.example", "initech.localhost", "premium"]
    assert [word for word in own if word.encode() not in text] == []


def test_passwords_sessions_and_roles_of_staff_stay_and_digests_go_only_when_told(
    world: World, moving: Moving, place: Path, tmp_path: Path
) -> None:
    world.sql("UPDATE shared.tenants_user SET staff_role = 'billing' WHERE email = 'ian@initech.example'")
    export_tenant(moving.tenant, place)
    exported(moving, tmp_path / "with")
    credential = world.sql("SELECT password FROM shared.tenants_credential")[0][0]
    plain, secret = (b"".join(path.read_bytes() for path in files(one)).decode() for one in (place, tmp_path / "with"))
    for text in (plain, secret):
        assert credential not in text
        assert "staff_role" not in text
        assert "billing" not in text
        assert "daybook_cell" not in text
    digest = gate.digest(moving.secrets["read"])
    assert base64.b64encode(digest).decode() in secret
    assert base64.b64encode(digest).decode() not in plain
    assert digest.hex() not in plain
    assert [word for word in moving.secrets.values() if word in secret] == []


def test_keys_that_were_left_behind_open_nothing_where_the_tenant_is_imported(
    world: World, moving: Moving, place: Path
) -> None:
    export_tenant(moving.tenant, place)
    drop(moving.tenant)
    assert import_tenant(place).settled.keys_left == 3
    assert moving.api().get("/api/v1/audit-logs").status_code == 401
    assert world.sql("SELECT 1 FROM shared.tenants_apikey WHERE tenant_id = %s", moving.tenant.pk) == []


def test_the_manifest_says_what_is_there(world: World, moving: Moving, place: Path) -> None:
    said = exported(moving, place)
    assert read(place) == said
    assert said.tenant == {
        "id": str(moving.tenant.pk),
        "slug": "initech",
        "name": "Initech",
        "schema_name": moving.tenant.schema_name,
    }
    assert said.schema_version == tables.own_version()
    # The export's own entry came after.
    assert said.rows["audit_log"] == world.entries("initech") - 1
    assert said.rows["usage_log"] == 1
    assert {path.name for path in files(place)} >= {"manifest.json", "manifest.json.sha256", "platform.json"}
    for file in said.files:
        assert (place / file.name).stat().st_size == file.bytes


def test_files_are_for_their_owner_alone(moving: Moving, place: Path) -> None:
    exported(moving, place)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files(place)} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (place, place / "tables")} == {0o700}


def test_all_files_are_of_one_moment(
    world: World, moving: Moving, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries written between two files are in neither."""
    event = {"action": "late", "resource": {"type": "invoice", "id": "1"}}
    table, before = departure._table, world.entries("initech")
    sent: list[int] = []

    def send() -> None:
        try:
            sent.append(moving.api("write").post("/api/v1/audit-logs", event).status_code)
        finally:
            connections.close_all()

    def in_between(*arguments: Any) -> Any:
        # In a thread of its own, since no other scope may be opened within the export's.
        thread = threading.Thread(target=send)
        thread.start()
        thread.join()
        return table(*arguments)

    monkeypatch.setattr(departure, "_table", in_between)
    said = exported(moving, place)
    assert set(sent) == {201}
    assert world.entries("initech") == before + len(sent) + 1
    assert said.rows["audit_log"] == before
    assert b"late" not in (place / "tables/audit_log.copy").read_bytes()


def test_both_trails_say_who_took_a_copy(world: World, moving: Moving, place: Path) -> None:
    said = exported(moving, place, actor=world.actor("sam"))
    changes = {"rows": said.rows, "manifest": said.sha256, "with_secrets": True}
    assert logged("tenant.exported") == [("sam@daybook.example", changes)]
    with world.scope("initech"):
        entry = AuditLog.objects.get(action="trail.exported")
        assert (entry.actor_label, entry.changes) == ("sam@daybook.example", changes)


# --- what is refused on the way out


def test_a_directory_that_is_not_empty_is_refused_and_left_alone(world: World, moving: Moving, place: Path) -> None:
    place.mkdir()
    (place / "mine").write_text("mine")
    before = world.entries("initech")
    with pytest.raises(BadInput, match="empty"):
        exported(moving, place)
    assert [path.name for path in files(place)] == ["mine"]
    assert world.entries("initech") == before
    assert list(place.parent.iterdir()) == [place]


def test_an_empty_directory_is_taken_and_a_file_is_not(moving: Moving, place: Path, tmp_path: Path) -> None:
    place.mkdir()
    exported(moving, place)
    assert read(place).rows["usage_log"] == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="there already"):
        exported(moving, tmp_path / "file")
    with pytest.raises(BadInput, match="No such file"):
        exported(moving, tmp_path / "no" / "such")


@pytest.mark.parametrize("step", ["_table", "_record", "_settle"])
def test_an_export_that_breaks_leaves_nothing_that_looks_whole(
    world: World, moving: Moving, place: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = world.entries("initech")

    def fail(*_arguments: Any, **_options: Any) -> None:
        raise OSError(28, "No space left on device") if step == "_settle" else ZeroDivisionError

    monkeypatch.setattr(departure, step, fail)
    with pytest.raises((ZeroDivisionError, BadInput)):
        exported(moving, place)
    assert list(place.parent.iterdir()) == []
    # An entry of a copy that nobody got is the safe side; an unrecorded copy would not be.
    assert world.entries("initech") - before == (step == "_settle")


def test_exporting_inside_a_scope_or_a_tenant_that_is_gone_is_refused(
    world: World, moving: Moving, place: Path
) -> None:
    with world.platform(), pytest.raises(ScopeConflict):
        exported(moving, place)
    drop(moving.tenant)
    with pytest.raises(NotFound):
        exported(moving, place)
    assert not place.exists()
