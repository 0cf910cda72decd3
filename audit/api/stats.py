"""How many entries there are, by time and by what they say: GET /audit-logs/stats."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from django.http import QueryDict
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import AwareDatetime, Field
from rest_framework.request import Request
from rest_framework.response import Response

from audit.api import filters, parameters
from audit.api.views import ShowingView
from audit.entry import EntryQuerySet
from audit.query import Filter
from audit.query.statistics import Span, Statistics, statistics
from tenants.api.base import number, take
from tenants.api.routes import problems
from tenants.api.wire import Answer, rendered
from tenants.errors import bad_parameter

DAYS = 30
DEFAULT_BUCKETS = 30
MAX_BUCKETS = 1000
DEFAULT_TOP = 10
MAX_TOP = 100
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_WIDTH = re.compile(r"([1-9][0-9]{0,5})([smhd])", re.ASCII)


class BucketAnswer(Answer):
    """How many entries were created from `start` on, for the width of a bucket."""

    start: AwareDatetime
    count: int


class ValueAnswer(Answer):
    """How many entries have a value."""

    value: str
    count: int


class ActorCountAnswer(Answer):
    """How many entries an actor has."""

    type: str
    id: str
    count: int


class StatsAnswer(Answer):
    """Counts of the entries that a filter lets through. Times are those of `created_at`."""

    since: AwareDatetime
    until: AwareDatetime
    width: Annotated[float, Field(description="Seconds of a bucket; the last may be cut short by `until`.")]
    total: int
    approximate: Annotated[bool, Field(description="Whether the numbers are estimates from an even sample.")]
    buckets: list[BucketAnswer]
    actions: Annotated[list[ValueAnswer], Field(description="The most frequent first.")]
    actors: list[ActorCountAnswer]
    resource_types: list[ValueAnswer]
    outcomes: list[ValueAnswer]


DESCRIBED = [
    *parameters.described(filters.FILTER),
    parameters.number("buckets", MAX_BUCKETS, DEFAULT_BUCKETS, "How many buckets of time."),
    OpenApiParameter(
        "width",
        {"type": "string", "pattern": "^[1-9][0-9]{0,5}[smhd]$"},
        description=f"In place of `buckets`: how wide they are, as in `15m` or `1d`; {MAX_BUCKETS} at most.",
    ),
    parameters.number("top", MAX_TOP, DEFAULT_TOP, "How many values of each kind."),
]


@dataclass(frozen=True, slots=True)
class Counted:
    """What is asked to be counted: which entries, in which buckets, how many values of each kind."""

    filter: Filter
    span: Span
    top: int


class StatsView(ShowingView):
    """The trail in numbers."""

    @extend_schema(
        operation_id="audit_logs_stats",
        parameters=DESCRIBED,
        responses={200: StatsAnswer, **problems(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """Count entries by time, action, actor, resource type and outcome.

        Without `since` it is about the thirty days before `until`, without that before now. Many entries are
        estimated from a sample; then `approximate` is true.
        """
        return Response(counts(read(request.query_params), self.visible(request)))


def read(sent: QueryDict) -> Counted:
    """Return what parameters ask to be counted. Raises BadInput, which names each fault."""
    rest = sent.copy()
    width = take(rest, "width")
    buckets = number("buckets", take(rest, "buckets"), MAX_BUCKETS)
    top = number("top", take(rest, "top"), MAX_TOP) or DEFAULT_TOP
    wanted = filters.read(rest, filters.FILTER).filter
    until = wanted.until or timezone.now()
    return Counted(wanted, _span(wanted.since or until - timedelta(days=DAYS), until, width, buckets), top)


def counts(asked: Counted, entries: EntryQuerySet) -> dict[str, Any]:
    """Return the counts of those of these entries that are asked for."""
    return _told(asked.span, statistics(entries, asked.filter, asked.span, asked.top))


def _span(since: datetime, until: datetime, width: str | None, buckets: int | None) -> Span:
    if since >= until:
        raise bad_parameter("since", "This is before `until`.")
    if width is None:
        return Span.of(since, until, buckets or DEFAULT_BUCKETS)
    if buckets is not None:
        raise bad_parameter("width", "Leave one of `width` and `buckets` out.")
    match = _WIDTH.fullmatch(width)
    if match is None:
        raise bad_parameter("width", "This is a number of seconds, minutes, hours or days, as in `15m`, `1h` or `1d`.")
    span = Span(since, until, timedelta(seconds=int(match[1]) * _UNITS[match[2]]))
    if span.buckets > MAX_BUCKETS:
        raise bad_parameter("width", f"This makes {span.buckets} buckets; at most {MAX_BUCKETS} are shown.")
    return span


def _told(span: Span, counted: Statistics) -> dict[str, Any]:
    def values(name: str) -> list[dict[str, Any]]:
        return [{"value": value[0], "count": count} for value, count in counted.facets[name]]

    return {
        "since": rendered(span.since),
        "until": rendered(span.until),
        "width": span.width.total_seconds(),
        "total": counted.total,
        "approximate": counted.approximate,
        "buckets": [
            {"start": rendered((span.since + number * span.width).astimezone(UTC)), "count": count}
            for number, count in enumerate(counted.buckets)
        ],
        "actions": values("action"),
        "actors": [{"type": value[0], "id": value[1], "count": count} for value, count in counted.facets["actor"]],
        "resource_types": values("resource_type"),
        "outcomes": values("outcome"),
    }
