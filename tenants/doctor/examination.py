"""The examination: the shared part, then the tenants in batches, on several connections of the owner's at once.

It reads catalogs, a handful of queries for a hundred tenants, and changes nothing. What it compares with are the
facts that this version's migrations make (`expected`), so a template or a function that was tampered with shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import psycopg
from django.conf import settings

from tenants.doctor import directory, hardening
from tenants.doctor.directory import Row
from tenants.doctor.expected import examiners, expected
from tenants.doctor.facts import SHARED, Facts, Names, connect, database, fixed_roles, places, prefix, query, restored
from tenants.doctor.findings import BREACH, Finding, compare, identify
from tenants.doctor.ledger import Ledger
from tenants.doctor.proofs import prove
from tenants.errors import NotFound
from tenants.owner.access import OWNER, NoOwner

BATCH = 100


@dataclass(frozen=True, slots=True)
class Report:
    """What was examined, and what was found."""

    tenants: int
    findings: list[Finding] = field(default_factory=list)

    @property
    def breaches(self) -> list[Finding]:
        """The findings that are breaches of a wall."""
        return [finding for finding in self.findings if finding.level == BREACH]


@dataclass(frozen=True, slots=True)
class _Common:
    """What all batches need to know."""

    names: Names
    rows: list[Row]
    live: dict[str, Facts]
    hardened: bool


def examine(*, jobs: int = 4, slugs: Sequence[str] = ()) -> Report:
    """Examine the shared part and all tenants, or those with these slugs. Raises NoOwner, NotFound.

    Opens connections of its own: `jobs` of the owner's login, and for the proofs those of tenants' logins.
    """
    if OWNER not in settings.DATABASES:
        raise NoOwner
    with connect(OWNER) as connection:
        common = _common(connection)
        chosen = _choose(common.rows, slugs)
        findings = list(_shared(connection, common))
        findings += directory.orphans(connection, common.rows)
        findings += hardening.examine(connection)
    findings += directory.names(chosen)
    findings += directory.logins(common.rows)
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        for found in pool.map(lambda rows: list(_batch(rows, common)), _batches(chosen)):
            findings += found
    return Report(len(chosen), sorted(set(findings)))


def sections(connection: psycopg.Connection[Any], row: Row) -> dict[str, Facts]:
    """Return the facts of a database as `expected` keeps them, one tenant's in place of all."""
    common = _common(connection)
    own = _tenants(connection, common, [row])[row.schema]
    login = _logins(connection, common, [row.login])[row.login]
    return {place: facts for place, facts in {**common.live, "tenant": own, "login": login}.items() if facts}


def unexpected(slug: str) -> dict[str, Facts]:
    """Return, by section, the facts of this database that no file of facts has: those of a host's own applications.

    Of the tenants' schemas those of the tenant `slug`. Raises NoOwner, NotFound.
    """
    if OWNER not in settings.DATABASES:
        raise NoOwner
    with connect(OWNER) as connection:
        (row,) = _choose(directory.read(connection), [slug])
        found = sections(connection, row)
    known = {place: {**expected().get(place, {}), **expected().get(f"{place} hardened", {})} for place in found}
    more = {place: {key: facts[key] for key in facts.keys() - known[place].keys()} for place, facts in found.items()}
    hardened = {f"{place} hardened": facts for place, facts in more.items() if f"{place} hardened" in expected()}
    return {**more, **hardened}


def _common(connection: psycopg.Connection[Any]) -> _Common:
    superusers = [row[0] for row in connection.execute("SELECT rolname FROM pg_roles WHERE rolsuper")]
    names, rows, hardened = Names(superusers), directory.read(connection), hardening.hardened(connection)
    return _Common(names, rows, _live(connection, names, rows, hardened=hardened), hardened)


def _choose(rows: list[Row], slugs: Sequence[str]) -> list[Row]:
    unknown = sorted(set(slugs) - {row.slug for row in rows})
    if unknown:
        raise NotFound(f"There is no tenant {unknown[0]!r}; `manage.py tenants list` shows all.")
    return [row for row in rows if not slugs or row.slug in slugs]


def _batches(rows: list[Row]) -> list[list[Row]]:
    return [rows[first : first + BATCH] for first in range(0, len(rows), BATCH)]


def _live(connection: psycopg.Connection[Any], names: Names, rows: list[Row], *, hardened: bool) -> dict[str, Facts]:
    """Return the facts of the shared part by section."""
    found = places(query(connection, "schemas", schemas=list(SHARED)))
    live = {place: names.neutral(found[place]) for place in SHARED}
    known = [*fixed_roles().values(), *{name for row in rows for name in (row.role, row.login)}]
    live["database"] = names.neutral(database(connection, known))
    roles = query(connection, "roles", roles=list(fixed_roles().values()), known=_known(rows))
    live["roles"] = names.neutral(
        [row for role, *row in roles if not _of_tenants(row) and not _of_owner(role, row, hardened=hardened)]
    )
    return live


def _of_tenants(row: Sequence[str]) -> bool:
    """Tell whether a membership is a tenant's role's or a tenants' login's: told where that one is."""
    kinds = (f"{prefix()}_t_", f"{prefix()}_cell_", f"{prefix()}_sealed_")
    return row[0] == "member" and (row[1].startswith(kinds) or row[2].startswith(kinds))


def _of_owner(role: str, row: Sequence[str], *, hardened: bool) -> bool:
    """Tell whether a role's fact is the owner's own affair: `harden` gives him the catalogs, and takes the guard."""
    fixed = fixed_roles()
    if row[0] == "elsewhere":
        return role == fixed["owner"]
    return not hardened and list(row[:3]) == ["member", fixed["guard"], fixed["owner"]]


def _known(rows: list[Row]) -> list[str]:
    return [*SHARED, *(row.schema for row in rows)]


def _shared(connection: psycopg.Connection[Any], common: _Common) -> Iterator[Finding]:
    for place, found in common.live.items():
        yield from _differences(_section(place, common), found, common, place)
    for login in sorted({row.login for row in common.rows}):
        found = _logins(connection, common, [login])[login]
        yield from _differences(expected()["login"], found, common, login)


def _section(place: str, common: _Common) -> Facts:
    """Return what is expected of a place; `tenants harden` makes some of them differ."""
    hardened = expected().get(f"{place} hardened")
    return hardened if common.hardened and hardened is not None else expected().get(place, {})


def _differences(
    wanted: Facts, found: Facts, common: _Common, place: str, row: Row | None = None, *, structure: bool = True
) -> Iterator[Finding]:
    words = {"role": row.role, "schema": row.schema, "cell": row.login} if row else {"cell": place}
    for each in compare(wanted, found, structure=structure):
        name = identify(each, wanted, common.live[SHARED[0]] if row else {}, place)
        subject = f"{each.subject} {each.name}".strip()
        told = each.word if each.found is None else each.found or each.word
        yield Finding(place, name, restored(subject, words), restored(told, words), row.slug if row else None)


def _logins(connection: psycopg.Connection[Any], common: _Common, logins: list[str]) -> dict[str, Facts]:
    """Return the facts of tenants' logins. Whose roles they may take on is told where the tenant is."""
    found = places(query(connection, "roles", roles=logins, known=_known(common.rows)))
    kinds = {"role": "login", "owns": "login_owns"}
    return {
        login: common.names.neutral(
            [
                (kinds.get(row[0], row[0]), *row[1:])
                for row in found[login]
                if not (row[0] == "member" and row[1].startswith(f"{prefix()}_t_"))
            ],
            login=login,
        )
        for login in logins
    }


def _tenants(connection: psycopg.Connection[Any], common: _Common, rows: Sequence[Row]) -> dict[str, Facts]:
    """Return the facts of tenants by schema: of the schema, and of the tenant's role. None of a missing schema."""
    schemas = places(query(connection, "schemas", schemas=[row.schema for row in rows]))
    roles = places(query(connection, "roles", roles=[row.role for row in rows], known=_known(common.rows)))
    return {
        row.schema: common.names.neutral(
            [*schemas[row.schema], *roles[row.role]] if row.schema in schemas else roles[row.role],
            {row.role: "{role}", row.schema: "{schema}"},
            row.login,
        )
        for row in rows
    }


def _batch(rows: list[Row], common: _Common) -> Iterator[Finding]:
    """Examine some tenants on a connection of its own, which forgets afterwards what it has learnt of them."""
    with connect(OWNER) as connection:
        facts = _tenants(connection, common, rows)
        there = [row for row in rows if ("schema", "(schema)", "") in facts[row.schema]]
        ledger = Ledger(connection, there, _readable(connection, there))
        for row in rows:
            if row in there:
                complete = ledger.complete(row)
                yield from _differences(
                    expected()["tenant"], facts[row.schema], common, row.slug, row, structure=complete
                )
                yield from ledger.findings(row)
            else:
                yield Finding(row.slug, "tenant.schema_missing", row.schema, "is not there", row.slug)
        yield from _unprotected(connection, there, common)
        for examine_more in examiners:
            yield from examine_more(connection, there)
    yield from prove(there, common.rows)


def _readable(connection: psycopg.Connection[Any], rows: Sequence[Row]) -> set[str]:
    """Return the schemas whose table of migrations the owner can read."""
    question = (
        "SELECT n.nspname FROM pg_namespace AS n JOIN pg_class AS c ON c.relnamespace = n.oid"
        " WHERE n.nspname = ANY (%s) AND c.relname = 'django_migrations'"
        " AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"
    )
    return {name for (name,) in connection.execute(question, [[row.schema for row in rows]])}


def _unprotected(connection: psycopg.Connection[Any], rows: Sequence[Row], common: _Common) -> Iterator[Finding]:
    if not common.hardened:
        return
    slugs = {row.schema: row.slug for row in rows}
    for schema, table in hardening.unprotected(connection, list(slugs)):
        found = "is not in guard.protected: the owner's login can take its guards off"
        yield Finding(slugs[schema], "hardening.unprotected", table, found, slugs[schema])
