"""How many entries there are, by time and by what they say: GET /audit-logs/stats."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from django.http import QueryDict
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from rest_framework.request import Request
from rest_framework.response import Response

from audit.api import filters, parameters
from audit.api.views import ShowingView
from audit.entry import EntryQuerySet
from audit.query import Filter
from audit.query.statistics import Span, Statistics, statistics
from tenants.api.routes import problems
from tenants.api.wire import rendered
from tenants.errors import BadInput

DAYS = 30
DEFAULT_BUCKETS = 30
MAX_BUCKETS = 1000
DEFAULT_TOP = 10
MAX_TOP = 100
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_WIDTH = re.compile(r"([1-9][0-9]{0,5})([smhd])", re.ASCII)
_OWN = ("buckets", "width", "top")


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class BucketAnswer(_Answer):
    """How many entries were created from `start` on, for the width of a bucket."""

    start: AwareDatetime
    count: int


class ValueAnswer(_Answer):
    """How many entries have a value."""

    value: str
    count: int


class ActorCountAnswer(_Answer):
    """How many entries an actor has."""

    type: str
    id: str
    count: int


class StatsAnswer(_Answer):
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
    own = {name: rest.pop(name) for name in _OWN if name in rest}
    wanted = filters.read(rest, filters.FILTER).filter
    until = wanted.until or timezone.now()
    span = _span(wanted.since or until - timedelta(days=DAYS), until, own)
    return Counted(wanted, span, _number(own, "top", MAX_TOP, DEFAULT_TOP))


def counts(asked: Counted, entries: EntryQuerySet) -> dict[str, Any]:
    """Return the counts of those of these entries that are asked for."""
    return _told(asked.span, statistics(entries, asked.filter, asked.span, asked.top))


def _span(since: datetime, until: datetime, own: dict[str, list[Any]]) -> Span:
    if since >= until:
        raise _refused("since", "This is before `until`.")
    if "width" not in own:
        return Span.of(since, until, _number(own, "buckets", MAX_BUCKETS, DEFAULT_BUCKETS))
    if "buckets" in own:
        raise _refused("width", "Leave one of `width` and `buckets` out.")
    match = _WIDTH.fullmatch(own["width"][0]) if len(own["width"]) == 1 else None
    if match is None:
        raise _refused("width", "This is a number of seconds, minutes, hours or days, as in `15m`, `1h` or `1d`.")
    span = Span(since, until, timedelta(seconds=int(match[1]) * _UNITS[match[2]]))
    if span.buckets > MAX_BUCKETS:
        raise _refused("width", f"This makes {span.buckets} buckets; at most {MAX_BUCKETS} are shown.")
    return span


def _number(own: dict[str, list[Any]], name: str, most: int, usual: int) -> int:
    if name not in own:
        return usual
    value = own[name][0] if len(own[name]) == 1 else ""
    if not (value.isascii() and value.isdecimal() and len(value) <= len(str(most)) and 1 <= int(value) <= most):
        raise _refused(name, f"This is a whole number from 1 to {most}.")
    return int(value)


def _refused(name: str, detail: str) -> BadInput:
    return BadInput(f"{name}: {detail}", errors=[{"parameter": name, "code": "bad_value", "detail": detail}])


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
