"""The event types that Daybook itself writes: what they do, how they end, what of them is personal. Pure.

How an entry of each reads as a sentence stands in `languages/`, one file a language. A tenant's own types stand in
its catalogue. A test refuses an action in the code that has no line here.
"""

from __future__ import annotations

from dataclasses import dataclass

from audit.events import Operation, Outcome

_C, _R, _U, _D, _O = Operation.CREATE, Operation.READ, Operation.UPDATE, Operation.DELETE, Operation.OTHER


@dataclass(frozen=True, slots=True)
class EventType:
    """One built-in type. Its sentence tells an end of `outcome`; `personal` are fields of `changes`."""

    name: str
    operation: Operation
    outcome: Outcome = Outcome.SUCCESS
    personal: frozenset[str] = frozenset()


_TYPES = (
    # Rows that were captured, and what the seeds' log_action calls say.
    EventType("created", _C),
    EventType("updated", _U),
    EventType("deleted", _D),
    EventType("access.denied", _O, Outcome.DENIED),
    EventType("api_key.created", _C),
    EventType("api_key.revoked", _D),
    EventType("api_key.rotated", _U),
    EventType("capture.paused", _O),
    EventType("database.hardened", _O),
    EventType("database.relaxed", _O),
    EventType("event_catalogue.updated", _U),
    EventType("event_type.declared", _C),
    EventType("event_type.updated", _U),
    EventType("identity_provider.removed", _D),
    EventType("identity_provider.set", _U),
    EventType("invitation.accepted", _O),
    EventType("invitation.created", _C),
    EventType("invitation.refused", _O, Outcome.DENIED),
    EventType("invitation.withdrawn", _D),
    EventType("logins.renewed", _O),
    EventType("membership.changed", _U),
    EventType("membership.created", _C),
    EventType("membership.ended", _D),
    EventType("plan.rates_changed", _U),
    EventType("subscription.created", _C),
    EventType("subscription.plan_changed", _U),
    EventType("tenant.created", _C),
    EventType("tenant.deleted", _D),
    EventType("tenant.exported", _R),
    EventType("tenant.imported", _C),
    EventType("tenant.resumed", _U),
    EventType("tenant.sealed", _U),
    EventType("tenant.suspended", _U),
    EventType("tenant.unsealed", _U),
    EventType("trail.export_downloaded", _R),
    EventType("trail.export_failed", _O),
    EventType("trail.export_requested", _R),
    EventType("trail.exported", _R),
    EventType("trail.read", _R),
    EventType("user.created", _C),
    EventType("user.deleted", _D),
    EventType("user.email_change_requested", _O, personal=frozenset({"email"})),
    EventType("user.email_changed", _U, personal=frozenset({"email"})),
    EventType("user.password_changed", _U),
    EventType("user.password_reset", _O),
    EventType("user.password_reset_requested", _O),
    EventType("user.password_set", _U),
    EventType("user.second_factor_added", _C),
    EventType("user.second_factor_removed", _D),
    EventType("user.sessions_revoked", _D, personal=frozenset({"sessions"})),
    EventType("user.sign_in_failed", _O, Outcome.FAILURE),
    EventType("user.signed_in", _O),
    EventType("user.signed_out", _O),
    EventType("viewer_token.created", _C),
)
BUILT_IN = {one.name: one for one in _TYPES}
