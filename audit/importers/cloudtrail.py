"""AWS CloudTrail: records as AWS writes them, and with keys in lower case.

The action is `<service>.<eventName>` (`lambda.UpdateFunctionConfiguration20150331v2`), so that `lambda.*`
finds a service; `eventSource` and `eventName` stay in the metadata. The actor's id is the ARN, or the next
best name. An assumed role counts as a user: people who sign in through a directory are assumed roles; so
does a principal of another account. What a service does on its own is the system's. A record without
identity is an anonymous `unknown`'s. `resources` decides what the resource is, then the request (see
`cloudtrail_resources`).
"""

from __future__ import annotations

import re
from typing import Any

from audit.events import MAX_ACTION, ActorType, Event, Operation, Outcome, Party, RequestContext, Source, operation_of
from audit.importers.cloudtrail_resources import resources_of
from audit.importers.leaves import MAX_REQUEST_ID, MAX_USER_AGENT, NOBODY, Leaf, Path, Reading, Unmappable
from audit.importers.shape import within_limits

_ISSUER: Path = ("userIdentity", "sessionContext", "sessionIssuer")
_ACTORS: tuple[Path, ...] = (
    ("userIdentity", "arn"),
    ("userIdentity", "principalId"),
    ("userIdentity", "userName"),
    (*_ISSUER, "userName"),
    (*_ISSUER, "arn"),
    ("userIdentity", "invokedBy"),
    ("userIdentity", "accountId"),
)
_LABELS: tuple[Path, ...] = (("userIdentity", "userName"), (*_ISSUER, "userName"))
_KINDS = {
    "AWSService": ActorType.SYSTEM,
    "Unknown": ActorType.ANONYMOUS,
}
_OPERATIONS = {
    "Batch": Operation.READ,  # BatchGet...; those that write are not read-only and fall to OTHER below
    "Lookup": Operation.READ,
    "Head": Operation.READ,
    "Run": Operation.CREATE,
    "Copy": Operation.CREATE,
    "Import": Operation.CREATE,
    "Modify": Operation.UPDATE,
    "Attach": Operation.UPDATE,
    "Detach": Operation.UPDATE,
    "Associate": Operation.UPDATE,
    "Disassociate": Operation.UPDATE,
    "Enable": Operation.UPDATE,
    "Disable": Operation.UPDATE,
    "Authorize": Operation.UPDATE,
    "Revoke": Operation.UPDATE,  # RevokeSecurityGroupIngress changes a group
    "Terminate": Operation.DELETE,
}
_TRUE = (True, "true")
_ANSWERS = {"Success": Outcome.SUCCESS, "Failure": Outcome.FAILURE}


def to_event(line: dict[str, Any]) -> Event:
    """Return the event of a record; raises Unmappable for one without an action."""
    reading = Reading(line)
    name = reading.leaf("eventName")
    if name is None:
        raise Unmappable("no `eventName` (nor `eventname`): there is no action")
    service = _service(reading)
    resource, *targets = resources_of(reading, service, name.text)
    event = Event(
        action=f"{service}.{name.text}"[:MAX_ACTION] if service else reading.put(name, MAX_ACTION),
        operation=_operation(reading, name.text),
        outcome=_outcome(reading, name),
        actor=_actor(reading),
        resource=resource,
        targets=tuple(targets),
        occurred_at=reading.time(("eventTime",)),
        context=_context(reading),
    )
    return within_limits(event, {"cloudtrail": reading.rest()})


def _context(reading: Reading) -> RequestContext:
    return RequestContext(
        ip=reading.ip(("sourceIPAddress",)),
        user_agent=reading.short(reading.leaf("userAgent"), MAX_USER_AGENT),
        request_id=reading.short(reading.leaf("requestID"), MAX_REQUEST_ID),
        source=Source.IMPORT,
    )


def _service(reading: Reading) -> str:
    source = reading.leaf("eventSource")
    return source.text.removesuffix(".amazonaws.com") if source else ""


def _actor(reading: Reading) -> Party:
    identity = reading.first(*_ACTORS)
    if identity is None:
        return NOBODY
    kind = _KINDS.get(str(reading.value("userIdentity", "type")), ActorType.USER)
    if identity.text == "ANONYMOUS_PRINCIPAL":  # so AWS calls whoever needs no identity, as with a public bucket
        kind = ActorType.ANONYMOUS
    return reading.party(kind, identity, reading.first(*_LABELS))


def _outcome(reading: Reading, name: Leaf) -> Outcome:
    """Return how a call ended: by its error, by what a sign-in answers; no error is success."""
    error = reading.leaf("errorCode")
    if error is None:
        answers = (reading.value("responseElements", key) for key in (name.text, "ConsoleLogin"))
        found = (_ANSWERS[answer] for answer in answers if isinstance(answer, str) and answer in _ANSWERS)
        return next(found, Outcome.SUCCESS)
    is_denied = "AccessDenied" in error.text or error.text.endswith("UnauthorizedOperation")
    return Outcome.DENIED if is_denied else Outcome.FAILURE


def _operation(reading: Reading, name: str) -> Operation:
    match = re.match(r"[A-Z][a-z]+", name)
    verb = match.group() if match else name
    operation = _OPERATIONS.get(verb, operation_of(verb))
    if operation is Operation.OTHER and reading.value("readOnly") in _TRUE:
        return Operation.READ
    return operation
