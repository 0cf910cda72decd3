"""Export: one tenant as it is at one moment, as a directory of files; and the proof that it was the last one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.db import DatabaseError
from django.utils import timezone
from psycopg import errors, sql

from tenants.context import SYSTEM, Actor, Origin, TenantLike, enter_tenant, platform_scope
from tenants.errors import BadInput, Conflict, NotFound
from tenants.models import Tenant
from tenants.provisioning import OWNER, owner_scope
from tenants.recording import record
from tenants.transfer import companions, manifest, tables
from tenants.transfer.manifest import File, Manifest

# Seconds for which a final export waits for units of work that are still open in the tenant.
PATIENCE = 10.0


def export_tenant(
    tenant: TenantLike,
    directory: Path,
    *,
    with_secrets: bool = False,
    actor: Actor = SYSTEM,
    origin: Origin | None = None,
) -> Manifest:
    """Write a tenant's tables and its rows of shared tables into a directory, and return what is there.

    All files are of one snapshot, and for their owner alone (0600). The directory appears at the very end, once
    both trails say who took a copy; it must not exist, or be empty. `with_secrets` takes the digests of API keys
    along. Opens its own transactions, as the owner. Raises BadInput, NotFound, NoOwner, ScopeConflict.
    """
    with _appearing(directory) as place:
        with owner_scope(actor, origin) as connection, connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            written = _write(cursor, tenant, place, with_secrets=with_secrets)
        _record(tenant, written, actor, origin, with_secrets=with_secrets)
    return written


def prove_final(said: Manifest, cursor: Any, tenant: Tenant) -> None:
    """Make sure that an export has every row of the tenant's tables, until the owner's open transaction ends.

    Suspending refuses new requests only: a unit of work that was open may have written after the export's moment,
    and somebody may have resumed the tenant. Nobody writes from here on. Raises Conflict if a table is in use, or
    has other rows than the exported ones and the entry of this export.
    """
    own = tables.tables_of(cursor, tenant.schema_name)
    _lock(cursor, tenant, own)
    tables.write_one_way(cursor)
    exported = {file.table: file for file in said.tables}
    if changed := [table.name for table in own if not _is_whole(cursor, table, exported.get(table.name), said)]:
        raise Conflict(
            f"{tenant.slug} was not dropped: {', '.join(changed)} changed after the final export. The tenant is "
            f"{tenant.status} now; run this again with another directory."
        )


def _lock(cursor: Any, tenant: Tenant, own: list[tables.Table]) -> None:
    places = sql.SQL(", ").join(table.place for table in own)
    try:
        cursor.execute(f"SET LOCAL lock_timeout = {round(PATIENCE * 1000):d}")
        cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(places).as_string())
        cursor.execute("SET LOCAL lock_timeout TO DEFAULT")
    except DatabaseError as error:
        if not isinstance(error.__cause__, errors.LockNotAvailable | errors.DeadlockDetected):
            raise
        raise Conflict(
            f"{tenant.slug} was not dropped: somebody still works in it, and may write what the final export has not. "
            f"The tenant is {tenant.status} now; run this again with another directory."
        ) from error


def _is_whole(cursor: Any, table: tables.Table, file: File | None, said: Manifest) -> bool:
    """Tell whether a table has the rows of a file, and at most the entry of the export after them."""
    if file is None:
        return False
    known, left, after = hashlib.sha256(), file.bytes, b""

    def take(piece: bytes) -> None:
        nonlocal left, after
        known.update(piece[:left])
        after = (after + piece[left:])[: manifest.CHUNK]
        left = max(0, left - len(piece))

    found = tables.read(cursor, replace(table, columns=file.columns), take)
    # The entry of the export is the one that names it by its hash.
    entries = int(said.sha256.encode() in after)
    return known.hexdigest() == file.sha256 and found.rows == file.rows + entries


def _write(cursor: Any, tenant: TenantLike, place: Path, *, with_secrets: bool) -> Manifest:
    row = Tenant.objects.using(OWNER).filter(pk=tenant.id).first()
    if row is None:
        raise NotFound(f"There is no tenant {tenant.slug!r} any more.")
    tables.write_one_way(cursor)
    cursor.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
    following = cursor.fetchone()[0]
    (place / "tables").mkdir(mode=0o700)
    files = [_platform(row, place, with_secrets=with_secrets)]
    own = tables.tables_of(cursor, row.schema_name)
    files += [_table(cursor, table, number, place) for number, table in enumerate(own, start=1)]
    said = Manifest(
        format=manifest.FORMAT,
        created_at=timezone.now().isoformat(),
        tenant={"id": str(row.pk), "slug": row.slug, "name": row.name, "schema_name": row.schema_name},
        schema_version=tables.schema_version(cursor, row.schema_name),
        next_transaction=following,
        files=tuple(files),
    )
    manifest.write(said, place)
    return said


def _platform(tenant: Tenant, place: Path, *, with_secrets: bool) -> File:
    packed = companions.pack(tenant, with_secrets=with_secrets)
    text = json.dumps(packed, indent=1, ensure_ascii=False).encode() + b"\n"
    with manifest.create(place / manifest.PLATFORM) as file:
        file.write(text)
    rows = sum(len(content) for content in packed.values() if isinstance(content, list))
    return File(manifest.PLATFORM, "", (), rows, len(text), hashlib.sha256(text).hexdigest())


def _table(cursor: Any, table: tables.Table, number: int, place: Path) -> File:
    name = manifest.file_of(table.name, number)
    with manifest.create(place / name) as file:
        found = tables.read(cursor, table, file.write)
    return File(name, table.name, table.columns, *found, last=tables.last_numbers(cursor, table))


def _record(tenant: TenantLike, written: Manifest, actor: Actor, origin: Origin | None, *, with_secrets: bool) -> None:
    resource = ("tenant", str(tenant.id), written.tenant["name"])
    changes = {"rows": written.rows, "manifest": written.sha256, "with_secrets": with_secrets}
    with platform_scope(actor=actor, origin=origin):
        record("tenant.exported", resource, changes=changes, tenant_id=tenant.id)
        with enter_tenant(tenant):
            record("trail.exported", resource, changes=changes)


@contextmanager
def _appearing(directory: Path) -> Iterator[Path]:
    """Give a directory to write in, which gets its name at the end; nothing of it stays after an error."""
    directory = directory.absolute()
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise BadInput(f"{directory} is there already: name a directory that does not exist or is empty.")
    try:
        place = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    except OSError as error:
        raise BadInput(f"Nothing can be written beside {directory}: {error.strerror}.") from error
    try:
        yield place
        _settle(place)
        place.rename(directory)
        _sync(directory.parent)
    except OSError as error:
        raise BadInput(f"The export could not be written to {directory}: {error.strerror}.") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _settle(place: Path) -> None:
    """Make sure that all of it is on the disk before it gets its name."""
    for path in (*place.rglob("*"), place):
        _sync(path)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
