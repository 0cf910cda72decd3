"""Who takes part, and in what: the packages with their adapters, the operations with what they should cost at most."""

from __future__ import annotations

from dataclasses import dataclass

PLAIN, ATOMIC = "plain", "plain_atomic"


@dataclass(frozen=True)
class Entrant:
    """A package: where its adapter is, and beside whom its costs are shown.

    `ours` runs in this project's own environment and settings, all others in that of the peers. `logs` is false for
    what captures nothing, on purpose; `reads` tells whether it documents how its log is read. `requests` limits what
    is timed to writes in requests.
    """

    name: str
    adapter: str
    bases: tuple[str, ...] = (PLAIN,)
    ours: bool = False
    logs: bool = True
    reads: bool = False
    requests: bool = False

    @property
    def aimed(self) -> bool:
        """Whether the aims are for it: Daybook's capture within a unit of work."""
        return self.ours and self.logs and not self.requests

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What is timed of it."""
        return tuple(one for one in OPERATIONS if one.requested or not self.requests)


@dataclass(frozen=True)
class Operation:
    """Something that is timed: `verb` is the adapter's method, `aim` what Daybook's ratio should be at most."""

    name: str
    verb: str
    title: str
    requested: bool = False
    rows: int = 1
    aim: float | None = None


def _peer(name: str, adapter: str, *, reads: bool = False) -> Entrant:
    return Entrant(name, f"bench.capture.peers.{adapter}", reads=reads)


ENTRANTS = (
    Entrant(PLAIN, "bench.capture.peers.plain:Plain", bases=(), logs=False),
    # A unit of work is a transaction: beside ours stands plain Django in one as well.
    Entrant(ATOMIC, "bench.capture.peers.plain:Atomic", bases=(PLAIN,), logs=False),
    _peer("seed_log_action", "seed:SeedLogAction", reads=True),
    _peer("auditlog", "auditlog:Auditlog", reads=True),
    _peer("simple_history", "simple_history:SimpleHistory", reads=True),
    _peer("reversion", "reversion:Reversion"),
    _peer("pghistory", "pghistory:Row", reads=True),
    _peer("pghistory_stmt", "pghistory:Statement"),
    _peer("easyaudit", "easyaudit:EasyAudit", reads=True),
    _peer("django_pg_audit", "pg_audit:PgAudit", reads=True),
    _peer("awesome_audit_log", "awesome:Awesome"),
    _peer("partitioned_audit", "partitioned:Partitioned"),
    _peer("auditrum", "auditrum:Auditrum", reads=True),
    Entrant("daybook_plain", "bench.capture.daybook:Uncaptured", bases=(ATOMIC,), ours=True, logs=False),
    Entrant("daybook", "bench.capture.daybook:Captured", bases=(ATOMIC, "daybook_plain"), ours=True, reads=True),
    # A request is a unit of work: this one's opening and commit are in, as plain Django's commits are.
    Entrant("daybook_units", "bench.capture.daybook:Units", ours=True, requests=True),
)

BULK = 1_000
OPERATIONS = (
    Operation("create", "create", "create()"),
    Operation("save", "save", "save() 2 fields"),
    Operation("delete", "delete", "delete()"),
    Operation("create_in_request", "create", "create in request", requested=True, aim=1.4),
    Operation("save_in_request", "save", "save in request", requested=True, aim=1.4),
    Operation("delete_in_request", "delete", "delete in request", requested=True, aim=1.5),
    Operation("bulk_create", "bulk_create", "bulk_create 1000", rows=BULK, aim=1.5),
    Operation("bulk_update", "bulk_update", "bulk_update 1000", rows=BULK),
    Operation("update", "update", "qs.update 1000", rows=BULK, aim=2.4),
)
BY_NAME = {operation.name: operation for operation in OPERATIONS}
# Beside a plain write none; bytes of a log per update event, and ms of a read at a million events.
ROUND_TRIPS, BYTES, READ = 0.0, 600.0, 3.0
READS = ("history", "activity")


def chosen(names: tuple[str, ...]) -> tuple[Entrant, ...]:
    """Return the entrants that are named (none: all), and those beside whom they are shown."""
    wanted = set(names)
    for entrant in reversed(ENTRANTS):
        if entrant.name in wanted:
            wanted.update(entrant.bases)
    return tuple(entrant for entrant in ENTRANTS if not names or entrant.name in wanted)
