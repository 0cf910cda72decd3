"""Events of other products as events of a trail: one pure module for each format.

Each takes one parsed line and returns an Event, or raises Unmappable with the reason. Nothing is lost:
every (path, value) of an accepted line stands either unchanged in a field of the entry or, at its own path,
in `metadata["<format>"]`. That is where the original of all that was mapped stays, too: times, outcomes,
kinds of actors, what was cut. `reader` reads the lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from audit.importers import cloudtrail, daybook, github, okta
from audit.importers.leaves import Unmappable

if TYPE_CHECKING:
    from collections.abc import Callable

    from audit.events import Event

__all__ = ["FORMATS", "Unmappable"]

FORMATS: dict[str, Callable[[dict[str, Any]], Event]] = {
    "github": github.to_event,
    "okta": okta.to_event,
    "cloudtrail": cloudtrail.to_event,
    "daybook": daybook.to_event,
}
