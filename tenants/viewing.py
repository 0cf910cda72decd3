"""Viewer tokens: for ten minutes at most, somebody else sees a part of what their maker may read. Signed, not stored.

A token says who made it, for which entries, and for pages of which origin. It names people by their ids alone, since
whoever holds it can read it. That it still holds is asked of the gate at each use: see `tenants.callers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.core import signing

from tenants.context import Actor, TenantLike
from tenants.errors import NotAllowed
from tenants.recording import record

PREFIX = "dbv_"
LONGEST = timedelta(minutes=10)
_SALT = "daybook.viewer"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a viewer token shows, to whom, and for how long: of one resource (type, id), of one actor's actions."""

    id: UUID
    tenant: UUID
    maker_type: str
    maker_id: UUID
    expires_at: datetime
    resource: tuple[str, str] | None = None
    actor: str | None = None
    origin: str | None = None


def issue(
    tenant: TenantLike,
    maker: Actor,
    *,
    lifetime: timedelta,
    resource: tuple[str, str] | None = None,
    actor: str | None = None,
    origin: str | None = None,
) -> tuple[View, str]:
    """Make a token, and record it in the trail of the open unit of work; return what it shows, and the token.

    Raises NotAllowed for somebody whom only his own identity provider knows: the gate could not say that he still is.
    """
    if maker.type != "api_key" and maker.user_id is None:
        raise NotAllowed("Viewer tokens are made by members who signed in here, and by keys.")
    view = View(
        id=uuid4(),
        tenant=tenant.id,
        maker_type=maker.type,
        maker_id=UUID(maker.id),
        expires_at=(datetime.now(UTC) + min(lifetime, LONGEST)).replace(microsecond=0),
        resource=resource,
        actor=actor,
        origin=origin,
    )
    said = {"resource": list(resource) if resource else None, "actor": actor, "origin": origin}
    record("viewer_token.created", ("viewer_token", str(view.id), ""), changes={**said, "expires_at": _text(view)})
    return view, PREFIX + signing.dumps(_packed(view), salt=_SALT)


def read(token: str) -> View | None:
    """Return what a token shows; None for one that was not made here, was altered or has expired."""
    try:
        packed = signing.loads(token.removeprefix(PREFIX), salt=_SALT, max_age=LONGEST)
    except signing.BadSignature:
        return None
    resource = packed["r"]
    view = View(
        id=UUID(packed["i"]),
        tenant=UUID(packed["t"]),
        maker_type=packed["m"][0],
        maker_id=UUID(packed["m"][1]),
        expires_at=datetime.fromtimestamp(packed["e"], UTC),
        resource=(resource[0], resource[1]) if resource else None,
        actor=packed["a"],
        origin=packed["o"],
    )
    return view if view.expires_at > datetime.now(UTC) else None


def _packed(view: View) -> dict[str, Any]:
    return {
        "i": view.id.hex,
        "t": view.tenant.hex,
        "m": [view.maker_type, view.maker_id.hex],
        "e": int(view.expires_at.timestamp()),
        "r": view.resource,
        "a": view.actor,
        "o": view.origin,
    }


def _text(view: View) -> str:
    return view.expires_at.isoformat().replace("+00:00", "Z")
