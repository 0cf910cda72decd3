"""Who looks at the trail is told by the trail: once for each actor, kind of access and minute, for everyone to see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import transaction

from audit import ingest
from audit.events import Event, Operation, Party
from tenants.context import current_scope
from tenants.errors import NoScope

_KEPT = timedelta(minutes=2)
_MOST = 10_000
# What this process has noted, so that a busy reader costs no query. Others may have noted the same: the key tells.
_noted: dict[tuple[UUID, str, str], int] = {}


def note(kind: str) -> None:
    """Record that the open tenant scope's actor looks at the trail: `kind` is `read` or `exported`. Raises NoScope."""
    scope = current_scope()
    if scope.tenant is None:
        raise NoScope("A tenant's trail is read in a tenant's scope.")
    minute = int(datetime.now(UTC).timestamp()) // 60
    actor = scope.actor
    by = f":{actor.impersonator.id}" if actor.impersonator else ""
    place = (scope.tenant.id, f"{actor.type}:{actor.id}{by}", kind)
    if _noted.get(place) == minute:
        return
    trail = Party("trail", str(scope.tenant.id), scope.tenant.slug)
    key = ingest.digest("access", f"{kind}:{place[1]}:{minute}")
    ingest.write([(key, Event(action=f"trail.{kind}", resource=trail, operation=Operation.READ))], keep_for=_KEPT)
    transaction.on_commit(lambda: _remember(place, minute), using=scope.alias)


def _remember(place: tuple[UUID, str, str], minute: int) -> None:
    if len(_noted) >= _MOST:
        _noted.clear()
    _noted[place] = minute
