"""What the walls are: the facts of a database as the migrations of this version make it.

They stand in one text file, a fact a line, which a test makes anew from a fresh database and compares: so a change
of a grant, a policy or a guard is seen where it is reviewed. `config` says which file, and what the doctor tries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from psycopg import Connection

from tenants.doctor.directory import Row
from tenants.doctor.facts import Facts
from tenants.doctor.findings import Finding

_COLUMNS = 5


@dataclass(frozen=True, slots=True)
class Attempt:
    """A statement that a role must not get through: {schema} is the tenant's, {other} another tenant's.

    `role` is who tries it: `tenant` under its own login, or a role of the application's. It must be refused; or,
    with `empty`, bring no row.
    """

    name: str
    statement: str
    role: str = "tenant"
    empty: bool = False


# The walls that `tenants` has built itself; other applications add theirs (`config` fills the list).
attempts: list[Attempt] = [
    Attempt("other_tenant", "SELECT FROM {other}.django_migrations"),
    Attempt("credentials", "SELECT FROM shared.tenants_credential"),
    Attempt("directory", "SELECT FROM shared.tenants_tenant WHERE schema_name <> '{schema}' LIMIT 1", empty=True),
    Attempt("platform_role", 'SET LOCAL ROLE "{platform}"'),
    Attempt("create_table", "CREATE TABLE {schema}.doctor ()"),
    Attempt("create_temporary", "CREATE TEMPORARY TABLE doctor ()"),
]
# What other applications examine in the schemas of some tenants, over the owner's connection: `config` fills it.
examiners: list[Callable[[Connection[Any], Sequence[Row]], Iterable[Finding]]] = []
# The files of facts; `config` names one.
files: list[Path] = []


@cache
def expected() -> dict[str, Facts]:
    """Return the facts by section: `tenant`, `login`, `roles`, `database`, `shared`, `gate`, ..."""
    return parse("".join(file.read_text(encoding="utf-8") for file in files))


def parse(text: str) -> dict[str, Facts]:
    """Return what `render` wrote."""
    sections: dict[str, Facts] = defaultdict(dict)
    # Not `splitlines`: a name may hold what that takes for the end of a line.
    for line in filter(None, text.split("\n")):
        section, subject, kind, name, value = (line + "\t" * _COLUMNS).split("\t")[:_COLUMNS]
        sections[section][kind, subject, name] = value
    return dict(sections)


def render(sections: Mapping[str, Facts]) -> str:
    """Return sections of facts as text, a fact a line: section, subject, kind, name, value."""
    lines = {
        f"{section}\t{subject}\t{kind}\t{name}\t{value}".rstrip()
        for section, facts in sections.items()
        for (kind, subject, name), value in facts.items()
    }
    return "".join(f"{line}\n" for line in sorted(lines))
