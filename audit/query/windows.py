"""Windows over a trail: ranges of ids that are looked through one after the other, until a page's time is used up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from audit.entry import first_id, first_id_of, millis_of
from audit.integrity.positions import BLOCK, Positions
from audit.query.cursor import Place
from audit.query.filter import Filter

# Seconds that a page looks for entries, and that one of its windows should take.
BUDGET = 0.15
_WINDOW = 0.03
# Entries in the first window, and how much larger one may be than the one before.
_FIRST = 4096
_GROWTH = 8


class Clock:
    """How large the next window is to be: larger if the last took little time, smaller if long; and when to end."""

    def __init__(self, size: int) -> None:
        self.size, self._most = size, 2**40
        self._began = self._window = time.monotonic()

    def narrow(self) -> None:
        """Make the window smaller, to be tried again, and no later one as large."""
        self._most = self.size = max(BLOCK, self.size // _GROWTH)

    def done(self) -> None:
        """Take the time of a window that was looked through."""
        now = time.monotonic()
        growth = min(_GROWTH, _WINDOW / max(now - self._window, 1e-4))
        self._window = now
        self.size = min(self._most, max(BLOCK, int(self.size * growth)))

    def over(self) -> bool:
        """Tell whether the time of a page is used up."""
        return time.monotonic() - self._began > BUDGET


class Windows:
    """Ranges of ids, each beyond the last one, from a place to the end of what is wanted or of the page's time.

    The rows of positions say where about how many entries lie; that is a matter of speed, not of what is found.
    `edge` is where a walk goes on whose time was up.
    """

    def __init__(self, positions: Positions, wanted: Filter, place: Place) -> None:
        self.positions = positions
        self.edge: Place | None = None
        self._newer = place.side.startswith(">")
        at = _beyond(place)
        since = first_id(wanted.since) if wanted.since else None
        until = first_id(wanted.until + timedelta(milliseconds=1)) if wanted.until else None
        if self._newer:
            self._at, self._stop = max(filter(None, (at, since)), default=None), until
        else:
            self._at, self._stop = min(filter(None, (at, until)), default=None), since
        self._clock, self._again = Clock(_FIRST), False

    def __iter__(self) -> Iterator[tuple[UUID | None, UUID | None]]:
        """Yield bounds of ids: the first included, the second not; None is the trail's end."""
        while True:
            edge = self._bound()
            yield (self._at, edge) if self._newer else (edge, self._at)
            if self._again:
                self._again = False
                continue
            self._clock.done()
            if edge is None or (self._stop and (edge >= self._stop if self._newer else edge <= self._stop)):
                return
            self._at = edge
            if self._clock.over():
                self.edge = Place(">=" if self._newer else "<", edge)
                return

    @property
    def least(self) -> bool:
        """Whether the window cannot be made smaller."""
        return self._clock.size <= BLOCK

    def narrow(self) -> None:
        """Try the window again, smaller."""
        self._again = True
        self._clock.narrow()

    def _bound(self) -> UUID | None:
        """Return an id about as many entries away as the window is to have; None: the end is not so far."""
        rows, here = max(1, self._clock.size // BLOCK), self._here()
        while here is not None:
            millis = self.positions.first_of(here + rows if self._newer else here - rows)
            if millis is None:
                return None
            bound = first_id_of(millis)
            if self._at is None or (bound > self._at if self._newer else bound < self._at):
                return bound
            rows *= 2
        return None

    def _here(self) -> int | None:
        if self._at is not None:
            return self.positions.row_at(millis_of(self._at))
        return 0 if self._newer else self.positions.head() // BLOCK


def _beyond(place: Place) -> UUID | None:
    """Return the bound of the first window: what is before `<=` an id is before the one after it."""
    if place.id is None:
        return None
    return UUID(int=place.id.int + 1) if place.side == "<=" else place.id
