"""The vocabulary of the trail: an event on its way in, its words and its limits.

Pure: it imports no framework and touches no database. `ledger.append` takes events, everything that
lets events in (the API, the process, files) makes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

MAX_ENTRY_BYTES = 64 * 1024
MAX_DEPTH = 32
MAX_METADATA_KEYS = 50
MAX_ACTION = 100
MAX_TYPE = 100
MAX_ID = 255
MAX_LABEL = 255


class ActorType(StrEnum):
    """What kind of caller acted."""

    USER = "user"
    API_KEY = "api_key"
    STAFF = "staff"
    SYSTEM = "system"
    ANONYMOUS = "anonymous"


class Operation(StrEnum):
    """What an action does to its resource, whatever its name."""

    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    DELETE = "delete"
    OTHER = "other"


class Outcome(StrEnum):
    """How the action ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    DENIED = "denied"
    UNKNOWN = "unknown"


class Source(StrEnum):
    """By which way an entry came in."""

    API = "api"
    ADMIN = "admin"
    REQUEST = "request"
    JOB = "job"
    COMMAND = "command"
    DATABASE = "database"
    IMPORT = "import"
    FIXTURE = "fixture"
    WEBHOOK = "webhook"


_VERBS = {
    Operation.CREATE: {"created", "create", "added", "add", "invited", "registered", "uploaded"},
    Operation.READ: {"read", "viewed", "view", "listed", "list", "exported", "downloaded", "get", "describe"},
    Operation.UPDATE: {"updated", "update", "changed", "change", "renamed", "enabled", "disabled", "set", "put"},
    Operation.DELETE: {"deleted", "delete", "removed", "remove", "destroyed", "destroy", "revoked", "purged"},
}
_OPERATION_OF = {verb: operation for operation, verbs in _VERBS.items() for verb in verbs}


@dataclass(frozen=True, slots=True)
class Party:
    """An actor, a resource or a target: its type, its id as text and, for people to read, its label."""

    type: str
    id: str
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """Where an event came from. `ip` is a plain address; `source` is how it entered."""

    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    source: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event before it is an entry.

    `action` is a verb or a dotted name; `changes` any JSON object; `occurred_at` the client's claim
    (aware); `personal` names the fields of `changes` that may later have to be erased; `version` is that of the type's
    schema, None where nobody said. An `actor` of None means the scope's. `operation` of None is derived from the
    action. `length` is how many bytes it had as compact JSON, None where it was none.
    """

    action: str
    resource: Party
    actor: Party | None = None
    impersonator: Party | None = None
    operation: Operation | None = None
    outcome: Outcome = Outcome.SUCCESS
    targets: tuple[Party, ...] = ()
    changes: dict[str, Any] | None = None
    description: str = ""
    occurred_at: datetime | None = None
    context: RequestContext = field(default_factory=RequestContext)
    metadata: dict[str, Any] = field(default_factory=dict)
    version: int | None = None
    personal: frozenset[str] = frozenset()
    length: int | None = field(default=None, compare=False, repr=False)


def operation_of(action: str) -> Operation:
    """Return what an action does by the last word of its name: `user.deleted` deletes, `user.waved` is other."""
    return _OPERATION_OF.get(action.rsplit(".", 1)[-1].lower(), Operation.OTHER)
