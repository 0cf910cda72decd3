"""Cursors: a place in a walk as a signed text that holds for one tenant, filter and order alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from django.core.signing import BadSignature, Signer

from audit.query.filter import Filter


class BadCursor(ValueError):
    """A cursor was altered, or made for another tenant, filter or order."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a walk stands, and which way it goes: `<` to what is older (before a position), `>` to what is newer.

    Newest first it stands beside an entry, by its `id` (`<=` and `>=`: which lies ahead itself); oldest first before a
    `position`, that of the next entry ahead for `>`. Without either it is an end of the trail.
    """

    side: str
    id: UUID | None = None
    position: int | None = None


def write_cursor(place: Place, *binding: object) -> str:
    """Return a place as a signed text that holds for one binding alone: tenant, filter, order."""
    where = f"{place.id.hex}" if place.id else "" if place.position is None else f"n{place.position}"
    return _signer(binding).sign(f"{place.side.translate(_SAFE)}{where}")


def read_cursor(text: str, *binding: object) -> Place:
    """Return the place that a cursor says. Raises BadCursor."""
    try:
        said = _signer(binding).unsign(text)
    except BadSignature as error:
        raise BadCursor from error
    where = said.lstrip("xyz")
    side = said[: len(said) - len(where)].translate(_UNSAFE)
    if where.startswith("n"):
        return Place(side, position=int(where[1:]))
    return Place(side, UUID(where) if where else None)


# A cursor stands in URLs: `<`, `>` and `=` would have to be escaped there.
_SAFE = str.maketrans("<>=", "xyz")
_UNSAFE = str.maketrans("xyz", "<>=")


def _signer(binding: Sequence[object]) -> Signer:
    """Return the signer of a binding. The salt is part of what stored cursors depend on: it never changes."""
    said = json.dumps(binding, default=_said, sort_keys=True)
    return Signer(sep="~", salt=f"audit.cursor.v1:{hashlib.sha256(said.encode()).hexdigest()}")


def _said(value: object) -> object:
    # What is not said is left out, so that a filter of a later version does not void the cursors of this one.
    if isinstance(value, Filter):
        return {name: said for name, said in asdict(value).items() if said is not None and said != ()}
    return str(value)
