"""Exports that run as jobs: asked for, claimed by one worker at a time, written into a file, fetched by a signed link.

A worker holds a job for as long as it says now and then that it lives (`LEASE`). If it does not, another one takes the
job and writes a file of its own, and what the first may still write is nobody's: its claim is void.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.core import signing
from django.core.files.base import File
from django.core.files.storage import Storage, storages
from django.db import connections
from django.utils import timezone

from audit import export, ingest
from audit.events import Event, Operation, Party
from audit.models import AuditExport, ExportState
from tenants.context import Actor, current_scope
from tenants.errors import Conflict, DomainError, NotFound, Refused

LEASE = timedelta(minutes=2)
MOST_ATTEMPTS = 5
# How many of a tenant may wait or run at a time.
MOST_OPEN = 10
LINK_LIFE = timedelta(minutes=10)
# What signed links depend on: it never changes.
_SALT = "audit.export.v1"
_OPEN = (ExportState.PENDING, ExportState.RUNNING)
_NOTED = timedelta(minutes=2)


class ExportsBusy(Conflict):
    """As many exports of this tenant as may be are waiting or running. Ask again when one of them is ready."""


class BadLink(Refused):
    """This link is not one that was given here, or its ten minutes are over. Reading the export gives a new one."""


class FileGone(DomainError):
    """The file of this export is not kept any more. Ask for another export."""

    status = 410


@dataclass(frozen=True, slots=True)
class Link:
    """What a link says: which export of which tenant, and to whom it was given, who is told of by its use."""

    tenant_id: UUID
    slug: str
    export_id: UUID
    actor: Actor


def request(form: str, parameters: dict[str, list[str]], *, compress: bool, told: dict[str, Any]) -> AuditExport:
    """Ask for an export of what has been recorded until now, in the open tenant scope. Raises ExportsBusy."""
    scope = current_scope()
    with connections[scope.alias].cursor() as cursor:
        # Of two that ask at once, each would count without the other's.
        cursor.execute("LOCK TABLE audit_export IN SHARE ROW EXCLUSIVE MODE")
    if AuditExport.objects.filter(state__in=_OPEN).count() >= MOST_OPEN:
        raise ExportsBusy
    actor = scope.actor
    job = AuditExport.objects.create(
        until=export.bound(),
        format=form,
        compress=compress,
        parameters=parameters,
        actor_type=actor.type,
        actor_id=actor.id,
        actor_label=actor.label,
    )
    export.record("trail.export_requested", told, party(job))
    job.refresh_from_db()
    return job


def party(job: AuditExport) -> Party:
    """Return a job as what its entries are about."""
    return Party("export", str(job.pk), job.format)


def claim() -> AuditExport | None:
    """Take the job of the open tenant scope that has been due longest, if there is one; nobody else gets it meanwhile.

    The file of an attempt that broke off is removed, and a job that broke off too often has failed.
    """
    due = AuditExport.objects.filter(state__in=_OPEN, due_at__lte=timezone.now()).order_by("due_at")
    job: AuditExport | None = due.select_for_update(skip_locked=True).first()
    if job is None:
        return None
    remove(job.file)
    if job.attempts >= MOST_ATTEMPTS:
        fail(job)
        return claim()
    job.state, job.attempts, job.claim = ExportState.RUNNING, job.attempts + 1, uuid4()
    job.due_at, job.file = timezone.now() + LEASE, f"files/{token_hex(32)}"
    job.save(update_fields=["state", "attempts", "claim", "due_at", "file"])
    return job


def still_claimed(job: AuditExport, entries: int) -> bool:
    """Say in the open scope that a job is being worked at, and how far; tell whether it is still the caller's."""
    return bool(_own(job).update(due_at=timezone.now() + LEASE, entries=entries))


def finish(job: AuditExport, written: Written, entries: int) -> bool:
    """Make a job ready, and tell the trail; return whether it was still the caller's."""
    now = timezone.now()
    kept = now + timedelta(hours=settings.EXPORTS_KEPT_HOURS)
    said = {"entries": entries, "bytes": written.size, "sha256": written.sha256}
    ready = {"state": ExportState.READY, "finished_at": now, "expires_at": kept, "due_at": kept, **said}
    if not _own(job).update(**ready):
        return False
    by = {"type": job.actor_type, "id": job.actor_id, "label": job.actor_label}
    export.record("trail.exported", {**said, "requested_by": by}, party(job))
    return True


def postpone(job: AuditExport) -> None:
    """Let a job that broke off be taken again in a while; after some attempts it has failed."""
    if job.attempts >= MOST_ATTEMPTS:
        fail(job)
    else:
        again = timezone.now() + LEASE * job.attempts
        _own(job).update(state=ExportState.PENDING, due_at=again, claim=None)


def fail(job: AuditExport) -> None:
    """Give a job up, and tell the trail."""
    if _own(job).update(state=ExportState.FAILED, due_at=None, file=None, finished_at=timezone.now()):
        export.record("trail.export_failed", {"attempts": job.attempts}, party(job))


def expire() -> int:
    """Remove the files of the open tenant scope that are kept no longer; return how many."""
    over = AuditExport.objects.filter(state=ExportState.READY, due_at__lte=timezone.now())
    jobs = list(over.select_for_update(skip_locked=True))
    for job in jobs:
        # First the file: what is left of a crash between the two is a job without one, which expires again.
        remove(job.file)
        AuditExport.objects.filter(pk=job.pk).update(state=ExportState.EXPIRED, due_at=None, file=None)
    return len(jobs)


def _own(job: AuditExport) -> Any:
    return AuditExport.objects.filter(pk=job.pk, claim=job.claim, state__in=_OPEN)


# --- files


def storage() -> Storage:
    """Return where files of exports are kept."""
    return storages["exports"]


def remove(name: str | None) -> None:
    """Remove a file, if it is there."""
    if name:
        storage().delete(name)


class Written(File):  # type: ignore[type-arg]  # generic for the type checker alone
    """A file that is made of its parts as the storage asks for them; it knows its size and hash in the end."""

    def __init__(self, parts: Any, name: str) -> None:
        super().__init__(None, name)
        self._parts, self._rest = iter(parts), b""
        self._hash, self._size = hashlib.sha256(), 0

    @property
    def size(self) -> int:
        """How many bytes there were so far."""
        return self._size

    @property
    def sha256(self) -> str:
        """The SHA-256 of them, in hexadecimal digits."""
        return self._hash.hexdigest()

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Yield the parts, once."""
        for part in self._parts:
            self._hash.update(part)
            self._size += len(part)
            yield part

    def read(self, num_bytes: int = -1) -> bytes:
        """Return the next bytes, fewer only at the end: what storages that upload ask for."""
        while (num_bytes < 0 or len(self._rest) < num_bytes) and (part := next(self.chunks(), None)) is not None:
            self._rest += part
        cut = len(self._rest) if num_bytes < 0 else num_bytes
        taken, self._rest = self._rest[:cut], self._rest[cut:]
        return taken


# --- links


def write_link(job: AuditExport) -> str:
    """Return a signed text by which the file can be fetched for ten minutes, in the name of the open scope's actor."""
    scope = current_scope()
    tenant, actor = scope.tenant, scope.actor
    if tenant is None:
        raise NotFound
    said = [str(tenant.id), tenant.slug, str(job.pk), actor.type, actor.id, actor.label]
    return signing.dumps(said, salt=_SALT)


def read_link(text: str, export_id: str) -> Link:
    """Return what a link to this export says. Raises BadLink."""
    try:
        tenant, slug, export_key, kind, key, label = signing.loads(text, salt=_SALT, max_age=LINK_LIFE)
    except signing.BadSignature as error:
        raise BadLink from error
    if export_key != export_id:
        raise BadLink
    return Link(UUID(tenant), slug, UUID(export_key), Actor(kind, key, label))


def download(link: Link) -> AuditExport:
    """Return a job whose file is there, in the open scope of its tenant, once the trail was told who fetches it.

    It is told once a minute for each who was given a link: a download may take many requests.
    Raises NotFound, FileGone.
    """
    job: AuditExport | None = AuditExport.objects.filter(pk=link.export_id).first()
    if job is None:
        raise NotFound
    if job.state != ExportState.READY or _over(job.expires_at) or not storage().exists(job.file or ""):
        raise FileGone
    minute = int(timezone.now().timestamp()) // 60
    key = ingest.digest("export", f"{job.pk}:{link.actor.type}:{link.actor.id}:{minute}")
    event = Event(action="trail.export_downloaded", resource=party(job), operation=Operation.READ)
    ingest.write([(key, event)], keep_for=_NOTED)
    return job


def _over(moment: datetime | None) -> bool:
    return moment is None or moment <= timezone.now()
