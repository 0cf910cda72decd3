"""What stands in the schemas beside what is declared: a trigger that is missing, one too many, or another than it was.

Reads catalogs alone, one query for a hundred tenants, over a connection of the owner's.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

import audit.sql
from audit.capture.body import body
from audit.capture.registry import declared
from audit.capture.spec import Spec
from tenants.backend.unit import SHARED_SCHEMA

# How PostgreSQL keeps what a trigger waits for: before (2), insert (4), delete (8), update (16), truncate (32).
_TRIGGERS = {
    "daybook_insert": (4, "new_rows"),
    "daybook_update": (16, "old_rows new_rows"),
    "daybook_delete": (8, "old_rows"),
    "daybook_truncate": (34, ""),
}
BATCH = 100


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """What is not as declared: in which schema, of which table or function, `missing`, `extra` or `changed`."""

    schema: str
    subject: str
    word: str


class _Thing(NamedTuple):
    """A trigger or a function as it is compared; `sound` is what may not differ at all."""

    routine: str
    sound: bool
    text: str
    type: int
    tables: str


Things = dict[tuple[str, str, str], _Thing]


def differences(connection: psycopg.Connection[Any], schemas: Sequence[str]) -> Iterator[Difference]:
    """Yield what differs in the shared schema and in these of tenants."""
    for start in range(0, max(1, len(schemas)), BATCH):
        batch = [*([SHARED_SCHEMA] if start == 0 else []), *schemas[start : start + BATCH]]
        found = _found(connection, batch)
        for schema in batch:
            yield from _compare(schema, _expected(schema == SHARED_SCHEMA), found[schema])


def _found(connection: psycopg.Connection[Any], schemas: Sequence[str]) -> dict[str, Things]:
    found: dict[str, Things] = defaultdict(dict)
    rows = connection.execute(_query(), {"schemas": list(schemas)})
    for schema, kind, relation, name, *thing in rows:
        found[schema][kind, relation, name] = _Thing(*thing)
    return found


def _expected(shared: bool) -> Things:
    """Return what is declared of the shared schema, or of a tenant's."""
    expected: Things = {}
    for specs in declared().values():
        for spec in specs.values():
            if spec.shared == shared:
                expected |= _things(spec)
    return expected


def _things(spec: Spec) -> Things:
    text = body(spec)
    if spec.shared:
        # The query takes out the name of the schema wherever it stands.
        text = text.replace(f"{SHARED_SCHEMA}.", "{schema}.")
    digest = hashlib.sha256(text.encode()).hexdigest()
    function = {("function", "", spec.function): _Thing(spec.function, True, digest, 0, "")}
    triggers = {
        ("trigger", spec.table, name): _Thing(spec.function, True, "", kind, tables)
        for name, (kind, tables) in _TRIGGERS.items()
    }
    return {**function, **triggers}


def _compare(schema: str, expected: Things, found: Things) -> Iterator[Difference]:
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key) == found.get(key):
            continue
        word = "extra" if key not in expected else "missing" if key not in found else "changed"
        kind, relation, name = key
        yield Difference(schema, f"{kind} {name}" + (f" on {relation}" if relation else ""), word)


@cache
def _query() -> bytes:
    return (Path(audit.sql.__path__[0]) / "installed.sql").read_bytes()
