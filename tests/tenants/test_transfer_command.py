"""`manage.py tenants export` and `import`, as an operator types them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from moving import Moving, drop, elsewhere, kept, settle
from world import World

from audit.models import AuditLog
from subscriptions.models import PlatformLog
from tenants import gate
from tenants.doctor.examination import examine
from tenants.transfer.manifest import read


@pytest.fixture
def moving(world: World) -> Moving:
    """The tenant that is moved."""
    return settle(world)


def tenants(*arguments: str) -> str:
    """Run the command; return what it wrote."""
    out = io.StringIO()
    call_command("tenants", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_export_says_what_was_written_and_that_keys_stay(moving: Moving, tmp_path: Path) -> None:
    out = tenants("export", "initech", str(tmp_path / "out"))
    rows = read(tmp_path / "out").rows
    assert out.startswith(f"Exported initech to {tmp_path / 'out'}: ")
    assert f"audit_log {rows['audit_log']}" in out
    assert out.endswith("API keys are not in it (--with-secrets): where it is imported, issue new ones.\n")


def test_export_and_import_are_entries_of_the_person_who_typed_them(
    world: World, moving: Moving, tmp_path: Path
) -> None:
    tenants("export", "initech", str(tmp_path / "out"), "--with-secrets", "--actor", "sam@daybook.example")
    drop(moving.tenant)
    out = tenants("import", str(tmp_path / "out"), "--actor", "sam@daybook.example")
    assert out.splitlines()[1:] == []
    assert out.startswith(f"Imported initech (schema {moving.tenant.schema_name}): ")
    with world.platform():
        entries = PlatformLog.objects.filter(action__in=["tenant.exported", "tenant.imported"]).order_by("id")
        assert [(entry.action, entry.actor_label, entry.source) for entry in entries] == [
            ("tenant.exported", "sam@daybook.example", "command"),
            ("tenant.imported", "sam@daybook.example", "command"),
        ]
    with world.scope("initech"):
        newest = AuditLog.objects.order_by("-id").first()
        assert newest is not None
        assert (newest.action, newest.actor_label) == ("tenant.imported", "sam@daybook.example")


def test_import_says_what_is_otherwise_than_before(world: World, moving: Moving, tmp_path: Path) -> None:
    world.sql("UPDATE shared.tenants_tenant SET status = 'suspended' WHERE slug = 'initech'")
    tenants("export", "initech", str(tmp_path / "out"))
    out = tenants("import", str(tmp_path / "out"), "--slug", "copy", "--domain", "copy.localhost")
    copy = gate.tenant("copy")
    assert copy is not None
    assert out.splitlines()[1:] == [
        f"It is a copy with an id of its own, {copy.id}: the exported one is on this server.",
        "It is suspended, as it was: `manage.py tenants resume copy` serves it.",
        "3 API keys were left behind: issue new ones.",
    ]


def test_import_says_who_was_made_without_a_password(world: World, superuser: psycopg.Connection[Any]) -> None:
    ready = kept(world)
    with elsewhere(world, superuser):
        out = tenants("import", str(ready.directory))
    assert "1 people were made, without a password: `manage.py changepassword` gives them one." in out


def test_the_doctor_finds_an_imported_tenant_as_healthy_as_one_that_was_made_here(world: World) -> None:
    tenants("import", str(kept(world).directory))
    assert examine(jobs=1, slugs=["initech"]).breaches == []


def test_refusals_are_one_line_that_says_what_to_do(world: World, moving: Moving, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"no tenant 'nope'; `manage.py tenants list`"):
        tenants("export", "nope", str(tmp_path / "out"))
    tenants("export", "initech", str(tmp_path / "out"))
    with pytest.raises(CommandError, match="name a directory that does not exist or is empty"):
        tenants("export", "initech", str(tmp_path / "out"))
    with pytest.raises(CommandError, match="Drop it there to have it here, or name a slug"):
        tenants("import", str(tmp_path / "out"))
    with pytest.raises(CommandError, match="no whole export"):
        tenants("import", str(tmp_path / "nowhere"))
    assert gate.tenant("initech") is not None
