"""What the doctor says: findings with stable ids, made of the differences between expected facts and those found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tenants.doctor.facts import Facts

BREACH = "breach"
NOTE = "note"


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is not as it must be (a breach), or that a reader should know (a note).

    `where` is a tenant's slug or a part of the database, `object` what it is about, `found` what stands there.
    """

    where: str
    id: str
    object: str
    found: str = ""
    tenant: str | None = None
    level: str = BREACH

    @property
    def advice(self) -> str:
        """What to do about it, in a line."""
        family, _, _ = self.id.partition(".")
        return _ADVICE.get(self.id) or _ADVICE.get(family) or _ANYTHING


class Difference(NamedTuple):
    """A fact that is expected, or found, or both with different values."""

    kind: str
    subject: str
    name: str
    wanted: str | None
    found: str | None

    @property
    def word(self) -> str:
        """Missing, extra or changed."""
        if self.wanted is None:
            return "extra"
        return "missing" if self.found is None else "changed"


def compare(expected: Facts, found: Facts, *, structure: bool = True) -> Iterator[Difference]:
    """Yield the differences. Of what is missing or extra as a whole, a table say, nothing more is said.

    Without `structure` tables and functions that stand on one side only, columns and indexes are left out: so a
    schema compares that has not had all migrations yet.
    """
    expected = with_partitions(expected, found)
    differences = [
        Difference(*key, expected.get(key), found.get(key))
        for key in sorted(expected.keys() | found.keys())
        if expected.get(key) != found.get(key)
    ]
    whole = {each.subject for each in differences if each.kind in _WHOLES and each.word != "changed"}
    lost = {(each.subject, each.name) for each in differences if each.kind == "constraint"}
    for each in differences:
        if each.kind in _WHOLES:
            told = structure
        elif each.kind in _STRUCTURE:
            told = structure and each.subject not in whole and (each.kind != "index" or each[1:3] not in lost)
        else:
            told = each.subject not in whole
        if told:
            yield each


def with_partitions(expected: Facts, found: Facts) -> Facts:
    """Return the expected facts with those of each partition found: the same as those of the default partition."""
    parents = {value: subject for (kind, subject, _), value in expected.items() if kind == "table" and " of " in value}
    partitions = {
        subject: parents[value]
        for (kind, subject, _), value in found.items()
        if kind == "table" and value in parents and (kind, subject, "") not in expected
    }
    more = dict(expected)
    for partition, pattern in partitions.items():
        more |= {
            (kind, partition, name): value.replace(f".{pattern} ", f".{partition} ")
            for (kind, subject, name), value in expected.items()
            if subject == pattern
        }
    return more


def identify(difference: Difference, expected: Facts, shared: Facts, place: str = "") -> str:
    """Return the stable id of a difference in a place; `shared` has the facts of the schema that all tenants share."""
    kind, subject, name, _, _ = difference
    if kind == "table" and difference.word == "extra" and ("table", subject, "") in shared:
        return "table.in_both"
    if kind == "trigger":
        return _trigger(difference, expected)
    if kind == "grant":
        return _grant(difference, place)
    if kind in {"role", "login"}:
        return f"{kind}.{name}"
    return _switch(difference) or _FIXED.get(kind, f"{kind}.{difference.word}")


def _switch(difference: Difference) -> str:
    """Return the id of what is on and should be off, or the other way round."""
    kind, _, _, wanted, found = difference
    if kind == "rls" and difference.word == "changed":
        return f"rls.{found}"
    if kind == "force" and difference.word == "changed":
        return "rls.not_forced" if wanted == "on" else "rls.forced"
    if kind == "member":
        opened = "inherits" in (found or "") and "inherits" not in (wanted or "inherits")
        return "membership.inherit" if opened else f"membership.{difference.word}"
    return ""


def _trigger(difference: Difference, expected: Facts) -> str:
    _, subject, _, wanted, found = difference
    if found is None:
        partition = " of " in expected.get(("table", subject, ""), " of ")
        return "trigger.missing_on_partition" if partition else "trigger.missing"
    if wanted is None:
        return "trigger.extra"
    mode, _, definition = found.partition(" ")
    if definition != wanted.partition(" ")[2]:
        return "trigger.changed"
    return "trigger.disabled" if mode == "DISABLED" else "trigger.not_always"


def _grant(difference: Difference, place: str) -> str:
    _, subject, name, _, found = difference
    if difference.word == "extra":
        if name.endswith((" TEMPORARY", " TEMP")):
            return "temp.allowed"
        if name.startswith("PUBLIC ") and "(" in subject and not subject.startswith("("):
            return "function.public"
        if subject == "(schema)" and name.endswith(" CREATE"):
            return "schema.public_create" if place == "public" else "schema.create"
    return "grant.changed" if found and difference.word == "changed" else f"grant.{difference.word}"


_WHOLES = frozenset({"table", "function", "schema"})
_STRUCTURE = frozenset({"column", "index", "constraint"})
# Kinds of which anything that differs is the same finding.
_FIXED = {
    "owner": "owner.wrong",
    "path": "search_path.function",
    "default": "default_privileges",
    "child": "table.child_elsewhere",
    "setting": "setting.dangerous",
    "parameter": "parameter.granted",
    "catalog": "catalog.widened",
    "elsewhere": "grant.elsewhere",
    "extension": "extension.dangerous",
    "language": "language.untrusted",
    "server": "server.foreign",
    "owns": "role.owns",
    "login_owns": "login.owns",
}

_ANYTHING = "Find out who changed it; put it back as the migrations of this version make it."
_ADVICE = {
    "capture": "Run `manage.py upgrade`; what stays was changed by hand. Row changes left no entries meanwhile.",
    "grant": "GRANT or REVOKE it, as owner, so that it is as tenants/sql and audit/sql say.",
    "grant.elsewhere": "REVOKE it: roles have rights where the migrations give them some, and nowhere else.",
    "temp.allowed": "REVOKE TEMPORARY ON DATABASE: temporary tables cross tenants through the pool.",
    "function.public": "REVOKE EXECUTE ON FUNCTION ... FROM PUBLIC.",
    "schema.create": "REVOKE CREATE ON SCHEMA: what is made there shadows what others call.",
    "schema.public_create": "REVOKE CREATE ON SCHEMA public: what is made there shadows what others call.",
    "rls.off": "ALTER TABLE ... ENABLE ROW LEVEL SECURITY, and look at what was read meanwhile.",
    "rls.not_forced": "ALTER TABLE ... FORCE ROW LEVEL SECURITY.",
    "policy": "Make the policy again as the .sql file beside the table says.",
    "trigger": "CALL guard.protect or guard.protect_truncate for the table; verify what was written meanwhile.",
    "trigger.disabled": "ALTER TABLE ... ENABLE ALWAYS TRIGGER; verify what was changed meanwhile.",
    "trigger.not_always": "ALTER TABLE ... ENABLE ALWAYS TRIGGER: it must fire under any session_replication_role.",
    "owner.wrong": "ALTER ... OWNER TO the role that the migrations give it to.",
    "search_path.function": "ALTER FUNCTION ... SET search_path as the migration says: a caller's path must not count.",
    "table.in_both": "Rename or drop it: with one name in both schemas a tenant's rows land in the shared one.",
    "table.child_elsewhere": "ALTER TABLE ... NO INHERIT or DETACH PARTITION: rows of one schema show in another.",
    "default_privileges": "ALTER DEFAULT PRIVILEGES ... REVOKE: new objects would come with rights.",
    "role": "ALTER ROLE so that it is as tenants/sql/bootstrap.sql or tenants/provisioning.py makes it.",
    "role.owns": "REASSIGN OWNED BY it TO the owner's login: whoever owns a table may take down its walls.",
    "role.orphan": "DROP OWNED BY it, then DROP ROLE: no tenant in the directory has it.",
    "login": "ALTER ROLE so that it is as tenants/logins.py makes it.",
    "login.owns": "REASSIGN OWNED BY it TO the owner's login: a login owns nothing.",
    "login.too_many_tenants": "Move tenants to another login, or raise TENANTS_PER_LOGIN knowing what it costs.",
    "login.shared": "Seal the tenant again (`manage.py tenants seal SLUG`): this login was to be its own.",
    "login.refused": "See that DATABASE_URL has the application's password, and give the logins theirs anew.",
    "membership": "GRANT or REVOKE the membership WITH the options that tenants/logins.py and bootstrap.sql say.",
    "schema.orphan": "No tenant has it: keep a dump, then drop it.",
    "schema.name": "A schema's name must say nothing of the customer: rename it and its row in the directory.",
    "tenant.schema_missing": "Restore it from a backup, or drop the tenant.",
    "migration.pending": "Run `manage.py tenants migrate`.",
    "migration.failed": "Read the error in the ledger, mend the cause, run `manage.py tenants migrate`.",
    "migration.ledger": "Run `manage.py tenants migrate`; if they still differ, somebody migrated by hand.",
    "migration.unknown": "A newer version was here: upgrade the code, do not go back.",
    "table": "Put it back, or drop it: a schema has the tables that the migrations make, and no other.",
    "column": "Make it again as the migrations do; what differs is lost or read wrongly.",
    "constraint": "ALTER TABLE ... ADD CONSTRAINT as the migrations do; look for rows that break it.",
    "function": "Make it again as the .sql file says, or drop it: what it does is done with others' rights.",
    "rule": "DROP RULE: it rewrites what others write.",
    "object": "Drop it: it is none of the migrations', and may shadow or publish what is.",
    "extension": "DROP EXTENSION: it reaches other servers, files, or SQL from text.",
    "language": "DROP LANGUAGE: code in it is not held by any wall.",
    "server": "DROP SERVER: data can leave through it.",
    "index": "Make it again (REINDEX if it is INVALID).",
    "setting.dangerous": "ALTER ROLE or DATABASE ... RESET it: it changes what names mean, or which guards fire.",
    "parameter.granted": "REVOKE SET ON PARAMETER: it can switch guards off.",
    "catalog.widened": "REVOKE it FROM PUBLIC: PostgreSQL keeps it from everyone for a reason.",
    "proof": "Somebody can do what must be refused: mend the other findings first, then look at this one's role.",
    "hardening.language": "REVOKE USAGE ON LANGUAGE ... FROM PUBLIC, as a superuser, or DROP LANGUAGE.",
    "hardening": "Run `manage.py tenants harden` as a superuser, where there is one to be had.",
}
