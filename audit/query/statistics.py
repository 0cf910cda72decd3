"""How many entries a filter lets through: by time, action, actor, resource type and outcome, at a bounded cost.

Up to `EXACT` entries are counted one by one. Of more a sample is, evenly of all rows of positions between the bounds;
then the numbers are estimates, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connections

from audit.entry import EntryQuerySet, first_id, millis_of
from audit.integrity.positions import BLOCK, Positions
from audit.query import search
from audit.query.filter import Filter, matching

EXACT = 15_000
# Words of an entry take longer to look through than its columns.
_SEARCHED = 4096
_FACETS = ("action", "actor", "resource_type", "outcome")
_COLUMNS = ("created_at", "action", "actor_type", "actor_id", "resource_type", "outcome")
# One reading of the entries for all of it. GROUPING tells by its bits which columns a row is not about.
_COUNT = """WITH found AS MATERIALIZED ({found}), counted AS (
SELECT floor(extract(epoch FROM created_at - %s) / %s)::integer AS bucket,
action, actor_type, actor_id, resource_type, outcome FROM found)
SELECT GROUPING(bucket, action, actor_id, resource_type, outcome) AS about,
bucket, action, actor_type, actor_id, resource_type, outcome, count(*)
FROM counted GROUP BY GROUPING SETS ((bucket), (action), (actor_type, actor_id), (resource_type), (outcome))
ORDER BY about, count(*) DESC, action, actor_id, resource_type, outcome"""
_ABOUT = {0b01111: "bucket", 0b10111: "action", 0b11011: "actor", 0b11101: "resource_type", 0b11110: "outcome"}


@dataclass(frozen=True, slots=True)
class Span:
    """From when (included) to when (not), in buckets of one width; all aware."""

    since: datetime
    until: datetime
    width: timedelta

    @classmethod
    def of(cls, since: datetime, until: datetime, buckets: int) -> Span:
        """Return a span in so many buckets; the last may be some microseconds shorter."""
        return cls(since, until, timedelta(microseconds=-((since - until) // timedelta(microseconds=buckets))))

    @property
    def buckets(self) -> int:
        """How many buckets that makes."""
        return -((self.since - self.until) // self.width)


@dataclass(frozen=True, slots=True)
class Statistics:
    """What was counted. `approximate`: estimates from a sample. `facets` have the most frequent values first."""

    total: int
    approximate: bool
    buckets: list[int]
    facets: dict[str, list[tuple[tuple[str, ...], int]]] = field(default_factory=dict)


def statistics(entries: EntryQuerySet, wanted: Filter, span: Span, top: int) -> Statistics:
    """Count the wanted entries within a span; of each facet the `top` values. Runs two to four queries."""
    wanted = replace(wanted, since=span.since, until=span.until)
    positions = Positions(entries.model, entries.db)
    first, last = _rows(positions, span)
    few, most = _narrowed(entries, wanted, positions), _SEARCHED if wanted.q else EXACT
    if few is not None or wanted.walked or (wanted.q is None and (last - first) * BLOCK <= EXACT):
        # An index finds these, so counting them costs what they are, not what the trail is.
        found = _count(matching(entries if few is None else few, wanted), span, EXACT + 1)
        if found.total <= EXACT:
            return _top(found, top)
    step = max(1, (last - first) // (most // BLOCK))
    sample, factor = _sample(positions, range(first, last + 1, step)), float(step)
    return _top(_count(matching(entries.among(sample), wanted), span, None), top, factor)


def _narrowed(entries: EntryQuerySet, wanted: Filter, positions: Positions) -> EntryQuerySet | None:
    """Return the entries among which those with the words of `q` are, if the index says that they are few."""
    if wanted.q is None or wanted.since is None or wanted.until is None:
        return None
    low, high = first_id(wanted.since), first_id(wanted.until)
    ids = search.ids_of_time(positions, wanted.q, low, high, most=_SEARCHED // BLOCK)
    return None if ids is None else entries.among(ids)


def _rows(positions: Positions, span: Span) -> tuple[int, int]:
    """Return between which rows of positions the entries of a span stand, about."""
    first, last = (positions.row_at(millis_of(first_id(moment))) for moment in (span.since, span.until))
    return first or 0, last or 0


def _sample(positions: Positions, numbers: Sequence[int]) -> list[UUID]:
    rows = positions.rows("SELECT ids FROM {table} WHERE number = ANY (%s)", list(numbers))
    return [key for (ids,) in rows for key in ids]


def _count(found: EntryQuerySet, span: Span, most: int | None) -> Statistics:
    query, parameters = found.order_by().values(*_COLUMNS)[:most].query.sql_with_params()
    with connections[found.db].cursor() as cursor:
        statement = _COUNT.replace("{found}", query)
        cursor.execute(statement, [*parameters, span.since, span.width.total_seconds()])
        rows = cursor.fetchall()
    buckets, facets = [0] * span.buckets, {name: list[tuple[tuple[str, ...], int]]() for name in _FACETS}
    for about, bucket, action, actor_type, actor_id, resource_type, outcome, count in rows:
        said = {"action": (action,), "actor": (actor_type, actor_id), "resource_type": (resource_type,)}
        if _ABOUT[about] == "bucket":
            buckets[min(bucket, len(buckets) - 1)] += count
        else:
            facets[_ABOUT[about]].append((said.get(_ABOUT[about], (outcome,)), count))
    return Statistics(sum(buckets), approximate=False, buckets=buckets, facets=facets)


def _top(found: Statistics, top: int, factor: float | None = None) -> Statistics:
    """Return the most frequent values of what was counted; estimates, if it was a sample of one in `factor` rows."""

    def scaled(count: int) -> int:
        return round(count * (factor or 1))

    facets = {name: [(value, scaled(count)) for value, count in rows[:top]] for name, rows in found.facets.items()}
    return Statistics(scaled(found.total), factor is not None, [*map(scaled, found.buckets)], facets)
