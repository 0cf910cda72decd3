"""GitHub: events of the audit log, and payloads of webhooks.

An audit-log event has an action with a dot. A webhook has none, but the repository or organisation as an
object; its action gets GitHub's name of the event in front (`workflow_job.completed`), as far as the payload
shows it (the name itself is in an HTTP header, which is not in the file). Without an action it is a push,
or, with `pages`, a `gollum` (a wiki's edit).

Who acted is the login, which both kinds have, not the number. `user` of an audit event is the one that was
acted upon: a target, never the actor. A webhook without `sender` is attributed to who pushed, commented,
reviewed or (when just opened) wrote it; otherwise, as for an audit event without actor, to an anonymous
`unknown`. Both record what has happened, so the outcome is success, unless the action says `failed_`.
"""

from __future__ import annotations

from typing import Any

from audit.events import (
    MAX_ACTION,
    MAX_TYPE,
    ActorType,
    Event,
    Operation,
    Outcome,
    Party,
    RequestContext,
    Source,
    operation_of,
)
from audit.importers.leaves import MAX_REQUEST_ID, MAX_USER_AGENT, NOBODY, Leaf, Path, Reading, Unmappable
from audit.importers.shape import within_limits

_RESOURCES: tuple[tuple[str, Path], ...] = (
    ("repository", ("repo",)),
    ("repository", ("repository",)),
    ("team", ("data", "team")),
    ("", ("name",)),
    ("ruleset", ("ruleset_name",)),
    ("organization", ("org",)),
    ("enterprise", ("business",)),
)
_TARGETS: tuple[tuple[str, Path], ...] = (
    ("team", ("data", "team")),
    ("ruleset", ("ruleset_name",)),
    ("user", ("user",)),
)
_COMMENTED = {
    "issue": "issue_comment",
    "pull_request": "pull_request_review_comment",
    "discussion": "discussion_comment",
}
_KINDS = {
    "workflow_job": "workflow_job",
    "workflow_run": "workflow_run",
    "check_run": "check_run",
    "check_suite": "check_suite",
    "review": "pull_request_review",
    "pull_request": "pull_request",
    "issue": "issues",
    "discussion": "discussion",
    "release": "release",
    "deployment_status": "deployment_status",
    "deployment": "deployment",
    "package": "package",
    "alert": "alert",
    "ruleset": "repository_ruleset",
    "rule": "branch_protection_rule",
    "membership": "organization",
    "member": "member",
    "team": "team",
    "milestone": "milestone",
    "label": "label",
    "key": "deploy_key",
    "hook": "meta",
    "repository": "repository",
}
_ACTORS: tuple[Path, ...] = (
    ("sender", "login"),
    ("pusher", "name"),
    ("comment", "user", "login"),
    ("review", "user", "login"),
)
_AUTHORS: tuple[Path, ...] = (("issue", "user", "login"), ("pull_request", "user", "login"))
_OPERATIONS = {
    "access": Operation.UPDATE,  # `repo.access` changes who may see a repository
    "clone": Operation.READ,
    "fetch": Operation.READ,
    "opened": Operation.CREATE,
    "modify": Operation.UPDATE,
    "edited": Operation.UPDATE,
    "push": Operation.UPDATE,
    "gollum": Operation.UPDATE,
    "restore": Operation.UPDATE,
    "transfer": Operation.UPDATE,
    "disable": Operation.UPDATE,
    "enable": Operation.UPDATE,
}


def to_event(line: dict[str, Any]) -> Event:
    """Return the event of a line; raises Unmappable for a line that is neither kind."""
    reading = Reading(line)
    action = reading.leaf("action")
    if action is not None and action.exact and "." in action.text:
        return within_limits(_audit(reading, action), {"github": reading.rest()})
    if any(isinstance(line.get(key), dict) for key in ("repository", "organization")):
        return within_limits(_webhook(reading, line, action), {"github": reading.rest()})
    raise Unmappable(
        "neither an audit-log event (no `action` with a dot) nor a webhook (no object `repository` or `organization`)"
    )


def _audit(reading: Reading, action: Leaf) -> Event:
    actor = _actor(reading, reading.first(("actor",), ("actor_id",)), is_bot=reading.value("actor_is_bot") is True)
    resource = _resource(reading, action.text)
    return Event(
        action=reading.put(action, MAX_ACTION),
        operation=_operation(action.text, reading.value("operation_type")),
        outcome=Outcome.FAILURE if _verb(action.text).startswith("failed_") else Outcome.SUCCESS,
        actor=actor,
        resource=resource,
        targets=_targets(reading, actor, resource),
        occurred_at=reading.time(("created_at",), ("@timestamp",), ("at_sign_timestamp",)),
        context=RequestContext(
            ip=reading.ip(("actor_ip",)),
            user_agent=reading.short(reading.leaf("user_agent"), MAX_USER_AGENT),
            request_id=reading.short(reading.leaf("request_id"), MAX_REQUEST_ID),
            source=Source.IMPORT,
        ),
    )


def _webhook(reading: Reading, line: dict[str, Any], action: Leaf | None) -> Event:
    kind = _kind(line)
    named = kind if action is None or action.text == kind else f"{kind}.{action.text}"
    authors = _AUTHORS if action is not None and action.text == "opened" else ()
    times: list[Path] = [(*commit, "timestamp") for commit in reading.items("commits")]
    return Event(
        action=reading.put(action, MAX_ACTION) if action and action.text == named else named[:MAX_ACTION],
        operation=_operation(named, None),
        actor=_actor(reading, reading.first(*_ACTORS, *authors), is_bot=reading.value("sender", "type") == "Bot"),
        resource=_webhook_resource(reading),
        occurred_at=reading.time(*times, ("workflow_job", "started_at")),
        context=RequestContext(source=Source.IMPORT),
    )


def _actor(reading: Reading, leaf: Leaf | None, *, is_bot: bool) -> Party:
    if leaf is None:
        return NOBODY
    kind = ActorType.SYSTEM if is_bot or leaf.text.endswith("[bot]") else ActorType.USER
    return reading.party(kind, leaf)


def _resource(reading: Reading, action: str) -> Party:
    """Return what an audit event is about; with nothing named, the kind of thing that the action names."""
    subject = action.split(".", 1)[0][:MAX_TYPE] or "github"
    for kind, path in _RESOURCES:
        leaf = reading.leaf(*path)
        if leaf is not None:
            return reading.party(kind or subject, leaf)
    return Party(subject, "")


def _targets(reading: Reading, actor: Party, resource: Party) -> tuple[Party, ...]:
    """Return what else an audit event names; `user` often repeats who acted, and says nothing then."""
    found = ((kind, reading.leaf(*path)) for kind, path in _TARGETS)
    named = [(kind, leaf) for kind, leaf in found if leaf is not None and (kind, leaf.text) != ("user", actor.id)]
    return tuple(party for party in (reading.party(kind, leaf) for kind, leaf in named) if party != resource)


def _webhook_resource(reading: Reading) -> Party:
    repository = reading.first(("repository", "full_name"), ("repository", "id"))
    if repository is not None:
        return reading.party("repository", repository)
    return reading.party("organization", reading.first(("organization", "login"), ("organization", "id")))


def _kind(line: dict[str, Any]) -> str:
    """Return GitHub's name of a webhook's event, from the keys of its payload."""
    if line.get("action") in (None, "", "push"):
        return "gollum" if "pages" in line else "push"
    if "comment" in line:
        return next((name for key, name in _COMMENTED.items() if key in line), "commit_comment")
    return next((name for key, name in _KINDS.items() if key in line), "organization")


def _verb(action: str) -> str:
    return action.rsplit(".", 1)[-1]


def _operation(action: str, kind: Any) -> Operation:
    """Return what an action does: by GitHub's own word, or by the verb in `org.update_member`."""
    if kind == "access":  # as a kind of operation it is reading
        return Operation.READ
    if isinstance(kind, str):
        return _OPERATIONS.get(kind, operation_of(kind))
    verb = _verb(action).split("_", 1)[0]
    return _OPERATIONS.get(verb, operation_of(verb))
