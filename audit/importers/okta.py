"""Okta: events of the System Log.

Ids are Okta's own ids, which stay when people change their address; `alternateId` (the address) is the
label, or `displayName` where that says `unknown` (as an id may, too); the other stays in the metadata. The
first target is the resource, the others are targets. Without a target the resource of a `user.*` event is
the user who acted (a sign-in, a lock-out), otherwise the organisation, whose name no event contains. An
event without actor is an anonymous `unknown`'s; an `IP address` is anonymous too, with its id.
"""

from __future__ import annotations

from typing import Any

from audit.events import MAX_ACTION, MAX_TYPE, ActorType, Event, Outcome, Party, RequestContext, Source
from audit.importers.leaves import MAX_REQUEST_ID, MAX_USER_AGENT, NOBODY, Leaf, Path, Reading, Unmappable
from audit.importers.shape import within_limits

_KINDS = {
    "User": ActorType.USER,
    "PublicClientApp": ActorType.API_KEY,
    "SystemPrincipal": ActorType.SYSTEM,
    "IP address": ActorType.ANONYMOUS,
}
_OUTCOMES = {
    "SUCCESS": Outcome.SUCCESS,
    "ALLOW": Outcome.SUCCESS,
    "FAILURE": Outcome.FAILURE,
    "DENY": Outcome.DENIED,
}


def to_event(line: dict[str, Any]) -> Event:
    """Return the event of a line; raises Unmappable for what is no event of the System Log."""
    reading = Reading(line)
    action = _action(reading)
    targets = _targets(reading)
    event = Event(
        action=reading.put(action, MAX_ACTION),
        outcome=_OUTCOMES.get(str(reading.value("outcome", "result")).upper(), Outcome.UNKNOWN),
        actor=_actor(reading),
        resource=targets[0] if targets else _untargeted(reading, action.text),
        targets=tuple(targets[1:]),
        occurred_at=reading.time(("published",)),
        context=_context(reading),
    )
    return within_limits(event, {"okta": reading.rest()})


def _action(reading: Reading) -> Leaf:
    if reading.leaf("version") is None:
        raise Unmappable("no `version`: not an event of Okta's System Log (rows of queries have none)")
    action = reading.leaf("eventType")
    if action is None:
        raise Unmappable("no `eventType` (nor `eventtype`): there is no action")
    return action


def _context(reading: Reading) -> RequestContext:
    chain: list[Path] = [(*hop, "ip") for hop in reading.items("request", "ipChain")]
    agent = reading.leaf("client", "userAgent", "rawUserAgent")
    request = reading.leaf("debugContext", "debugData", "requestId")
    return RequestContext(
        ip=reading.ip(("client", "ipAddress"), *chain),
        user_agent=reading.short(agent, MAX_USER_AGENT),
        request_id=reading.short(request, MAX_REQUEST_ID),
        source=Source.IMPORT,
    )


def _identity(reading: Reading, base: Path) -> tuple[Leaf | None, Leaf | None]:
    """Return the leaves that are the id and the label of an actor or a target."""
    own, alternate, display = (reading.leaf(*base, key) for key in ("id", "alternateId", "displayName"))
    label = _known(alternate, display)
    return _known(own, label) or own or alternate, label


def _known(*leaves: Leaf | None) -> Leaf | None:
    return next((leaf for leaf in leaves if leaf is not None and leaf.text != "unknown"), None)


def _actor(reading: Reading) -> Party:
    identity, label = _identity(reading, ("actor",))
    if identity is None:
        return NOBODY
    # A kind that is not known (an app, an agent) is software: people are `User`.
    return reading.party(_KINDS.get(str(reading.value("actor", "type")), ActorType.SYSTEM), identity, label)


def _targets(reading: Reading) -> list[Party]:
    """Return the targets that say anything; each has a type, an id or a label."""
    found = (_target(reading, path) for path in reading.items("target"))
    return [party for party in found if party is not None]


def _target(reading: Reading, path: Path) -> Party | None:
    kind = reading.leaf(*path, "type")
    identity, label = _identity(reading, path)
    if kind is None and identity is None:
        return None
    return reading.party(reading.put(kind, MAX_TYPE) or "target", identity, label)


def _untargeted(reading: Reading, action: str) -> Party:
    if action.startswith("user.") and reading.value("actor", "type") == "User":
        return reading.party("User", *_identity(reading, ("actor",)))
    return Party("okta_org", "")
