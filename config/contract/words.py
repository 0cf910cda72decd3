"""What the OpenAPI document says in words: its introduction, its tags, the meaning of each status, its headers."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from rest_framework import exceptions

from audit.api.outgoing import TooManyFiles
from audit.api.ranges import RangeNotSatisfiable
from audit.events import ActorType, Operation, Outcome, Source
from audit.exports import BadLink, ExportsBusy, FileGone
from audit.lines import TooManyRejected
from audit.query import Order
from audit.replay import KeyReused
from config import problems
from tenants import bodies, errors
from tenants.apikeys import KeyNotInUse
from tenants.bodies import BrokenBody, UnknownEncoding
from tenants.errors import DomainError
from tenants.invitations import AlreadyMember
from tenants.members import LastOwner, OwnersOnly
from tenants.oidc.keys import ProviderUnreachable
from tenants.oidc.tokens import BadToken
from tenants.people import WrongPassword

# Every error that the API answers; a test finds those that are missing.
_KINDS: tuple[type[DomainError], ...] = (
    errors.BadInput, BrokenBody, errors.NotSignedIn, errors.BadKey, BadToken, WrongPassword, errors.Refused,
    errors.ForeignKeyHost, errors.TenantSuspended, errors.NotAllowed, OwnersOnly, BadLink, errors.NotFound,
    errors.UnknownHost, bodies.TooSlow, errors.Conflict, ExportsBusy, KeyNotInUse, AlreadyMember, LastOwner, FileGone,
    errors.TooLarge, UnknownEncoding, errors.Unprocessable, KeyReused, TooManyRejected,
    errors.CannotServe, bodies.Overloaded, errors.TooSlow, ProviderUnreachable, TooManyFiles,
)  # fmt: skip
ERRORS: tuple[DomainError, ...] = (
    *(kind() for kind in _KINDS),
    RangeNotSatisfiable(402113),
    errors.RateLimited(wait=41),
)
# What the framework refuses before a view runs: status, code, in words.
FRAMEWORK = (
    (403, "permission_denied", "A session's request lacks its CSRF token."),
    (405, "method_not_allowed", "There is no such method here; `Allow` lists those there are."),
    (406, "not_acceptable", "Nothing that the `Accept` header asks for can be answered."),
    (415, "unsupported_media_type", "The body is of a type that is not read here."),
)

# The first word of a path is its tag, but of these, which are about the trail; those of the platform are one.
TAG_OF = {"resources": "audit-logs", "actors": "audit-logs", "invitations": "members"}
TAGS = {
    "audit-logs": "The trail: write events, read entries, poll for new ones.",
    "exports": "The trail as a file, written by a job.",
    "events": "The catalogue of event types: those that are declared, with their schemas, and those in use.",
    "api-keys": "The keys of this tenant.",
    "members": "The people of this tenant.",
    "viewer-tokens": "Read-only tokens of ten minutes, for a page that shows the trail.",
    "identity-provider": "Whose tokens of signed-in people are taken.",
    "usage": "What this tenant has used of each metric.",
    "quotas": "What this tenant may use.",
    "subscription": "What this tenant has bought.",
    "platform": "For the platform's staff: tenants, plans, subscriptions, the platform's own log.",
}
ENUMS: tuple[type[StrEnum], ...] = (Order, ActorType, Operation, Outcome, Source)
# Where the name of a class says too little, or its suffix too much.
NAMES = {"WriteAnswer": "WriteResult", "Status": "TenantStatus", "PatchedRoleInputRequest": "RoleInput"}

JSON_OBJECT = {"type": "object", "additionalProperties": True, "description": "Any JSON object."}

STATUSES = {
    200: "Done.",
    201: "Written.",
    202: "Accepted; it is being worked on.",
    204: "Done; there is nothing to say.",
    206: "The part that was asked for.",
    304: "Nothing has changed since the answer with this ETag.",
    400: "The request breaks a rule; `errors` names each parameter or field and the rule.",
    401: "Nobody is signed in, or the key is not known.",
    403: "The caller may not do this.",
    404: "There is nothing here under this id, or nobody under this host.",
    406: "The Accept header asks for what cannot be answered.",
    408: "The body came too slowly, or not to its end.",
    409: "The state of the resource does not allow this.",
    410: "The file of this export is no longer kept: ask for another export.",
    413: "The body, or an event in it, is larger than the limit.",
    414: "The address is longer than 8,190 bytes. The server says so in HTML, before anything is read.",
    415: "The body is of a type that is not read here.",
    416: "The range lies outside the file.",
    422: "Nothing was written; `errors` says why, by place.",
    429: "Over the rate or the quota; `Retry-After` says when to come back.",
    503: "The database is busy or away; try again after `Retry-After`.",
}
MOST_IN_SUMMARY = 80
# What any request may meet, whatever it asks.
COMMON = (400, 401, 403, 404, 406, 414, 429, 503)
# These are not answered by the application.
SERVERS_OWN = (414,)
# These say when to try again.
LATER = (429, 503)

HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {
        "description": "The id of this request: the one that was sent as `X-Request-ID`, or a new one.",
        "required": True,
        "schema": {"type": "string"},
        "example": "4f1c0d0c3f6e4a57a1b7f6a2f7d1c9e8",
    },
    "Idempotency-Replayed": {
        "description": "`true` where this is the answer that was given to the `Idempotency-Key` before.",
        "schema": {"type": "string", "enum": ["true"]},
        "example": "true",
    },
    "RateLimit": {
        "description": "What is left of each limit, and in how many seconds it is whole again: `r` and `t`.",
        "schema": {"type": "string"},
        "example": '"tenant";r=5987;t=41',
    },
    "RateLimit-Policy": {
        "description": "The limits that hold for this caller: `q` requests in `w` seconds.",
        "schema": {"type": "string"},
        "example": '"tenant";q=6000;w=60',
    },
    "Retry-After": {
        "description": "After how many seconds to try again.",
        "schema": {"type": "string"},
        "example": "5",
    },
}

_INTRODUCTION = """\
Who did what to which resource: each tenant's audit trail behind a wall of its own.

## Who calls

Send a key: `Authorization: Bearer <key>`. A tenant's key names its tenant, so that it works on the tenant's host and
on the platform's; the session of a signed-in browser works on its own host. Each host serves the document of what it
offers.

## Ids and times

Ids are texts. Times are RFC 3339 in UTC with microseconds; a time that is sent may have any offset. A period is
half-open: `since` is in it, `until` is not.

## Pages

A list answers at most `limit` results, and `next_cursor`: send it as `cursor`, with the same filter and order, for
what follows. A cursor is opaque, and holds for its list alone. With `order=asc` the cursor is there even if nothing
follows yet: who keeps it and comes back with it sees each entry exactly once. `cursor=end` begins with what is written
from now on.

## Safe retries

A POST of events or of an export that is sent again with the same `Idempotency-Key` within 24 hours gets its first
answer again, with `Idempotency-Replayed: true`, and does nothing. Keys, viewer tokens and invitations refuse the
header: their answers are kept nowhere. An event may also have an `idempotency_key` of its own.

## Errors

An error is a problem (RFC 9457, `application/problem+json`). Programs go by `code`, which is kept; people read
`detail`. `errors` names each place in the input: a JSON pointer into the body, or a parameter. New codes may come.

| status | code | meaning |
|---|---|---|
"""


_FAULTS = {
    400: {"parameter": "limit", "code": "bad_value", "detail": "This is a whole number from 1 to 1000."},
    413: {"pointer": "", "code": "too_large", "detail": "At most 5242880 bytes are allowed."},
    422: {"pointer": "/resource/type", "code": "required", "detail": "This field is required."},
}


def introduction() -> str:
    """Return the text that stands before all operations, in Markdown, with the table of errors."""
    rows = [(it.status, it.code, it.detail) for it in ERRORS] + [*FRAMEWORK]
    return _INTRODUCTION + "".join(f"| {status} | `{code}` | {text} |\n" for status, code, text in sorted(rows))


def codes(status: int) -> list[str]:
    """Return the codes of the errors that have a status."""
    return [it.code for it in ERRORS if it.status == status] + [code for it, code, _ in FRAMEWORK if it == status]


def problem(status: int) -> dict[str, Any] | None:
    """Return the first problem that has a status, as it is rendered, for an example; None if nothing here has it."""
    refusals: list[exceptions.APIException] = [
        exceptions.NotAcceptable(),
        exceptions.UnsupportedMediaType("text/plain"),
    ]
    known = [*ERRORS, *map(problems.FrameworkRefusal, refusals)]
    shown = next((problems.body(error) for error in known if error.status == status), None)
    if shown is None or not (fault := _FAULTS.get(status)):
        return shown
    return {**shown, "errors": [fault]}
