"""Facts of a live database: what stands in its schemas, what its roles are, read from the catalogs in few queries.

A fact is (kind, subject, name, value): ("trigger", "audit_log", "refuse_change", "ALWAYS CREATE TRIGGER ..."). Names
that differ between installations and tenants are written as placeholders, `{role}` for the tenant's role, so that
facts of any tenant compare with those of any other.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings

import tenants.sql

# The schemas that all tenants share; `public` is there to stay empty.
SHARED = ("shared", "gate", "guard", "public")
FIXED = ("owner", "app", "platform", "auditor", "account", "guard", "tenant", "login")

Key = tuple[str, str, str]
Facts = dict[Key, str]

_FIELD, _LINE, _FIELDS = "\x1f", "\x1e", 4
# Ways out of the database, or to rights of its superuser, that some extensions bring along.
_DANGEROUS = ["adminpack", "dblink", "file_fdw", "lo", "pageinspect", "plpython3u", "plperlu", "postgres_fdw", "xml2"]


def prefix() -> str:
    """Return what the names of this installation's roles begin with."""
    return settings.DATABASE_ROLE_PREFIX


def fixed_roles() -> dict[str, str]:
    """Return the roles that every installation has, by what they are: `platform`, `auditor`, ..."""
    own = {"owner": settings.DATABASE_OWNER_ROLE, "app": str(settings.DATABASES["default"]["USER"])}
    return {word: f"{prefix()}_{word}" for word in FIXED} | own


class Names:
    """Writes names as placeholders: those of the installation, and those given for one place."""

    def __init__(self, superusers: Iterable[str]) -> None:
        """Learn the installation's names. A superuser's is written as `{superuser}` where it stands alone."""
        self._words = {role: f"{{{word}}}" for word, role in fixed_roles().items()}
        words = sorted(map(re.escape, self._words), key=len, reverse=True)
        self._pattern = re.compile(
            rf"(?:{'|'.join(words)})(?!\w)|{re.escape(prefix())}(?=_t_(?![0-9a-f]{{32}})|_cell_)"
        )
        self._alone: dict[str | None, str] = dict.fromkeys(superusers, "{superuser}")

    def neutral(
        self, rows: Iterable[Sequence[str]], own: Mapping[str, str] | None = None, login: str | None = None
    ) -> Facts:
        """Return rows (kind, subject, name, value) as facts. `own` has the place's names and their placeholders.

        `login` is written as `{cell}` where it stands alone: its name may be the beginning of another's.
        """
        alone = {**self._alone, login: "{cell}"}
        lines = (_FIELD.join([alone.get(part, part) for part in row]) for row in rows)
        facts: Facts = {}
        # All at once: a tenant has two hundred facts, and there are thousands of tenants.
        for line in filter(None, self._substitute(_LINE.join(lines), own or {}).split(_LINE)):
            kind, subject, name, value = (line + _FIELD * _FIELDS).split(_FIELD)[:_FIELDS]
            facts[kind, subject, name] = _short(kind, value)
        return facts

    def _substitute(self, text: str, own: Mapping[str, str]) -> str:
        for name, word in own.items():
            text = text.replace(name, word)
        return self._pattern.sub(lambda found: self._words.get(found[0], "{prefix}"), text)


def _short(kind: str, value: str) -> str:
    """Return a value in one line; of a function's body the hash."""
    head, line, body = value.partition("\n")
    if kind == "function" and line:
        return f"{head} body {hashlib.sha256(body.encode()).hexdigest()[:16]}"
    return " ".join(value.split())


def connect(alias: str, login: str = "", password: str = "") -> psycopg.Connection[Any]:
    """Return a connection of one's own with the settings of a database alias; the caller closes it.

    Its search_path is empty, and it gives up what takes a minute. `login` and `password` replace the alias's.
    """
    given: dict[str, Any] = settings.DATABASES[alias]
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    parameters: dict[str, Any] = {name: given[key] for name, key in names.items() if given.get(key)}
    if login:
        parameters |= {"user": login, "password": password}
    ours = {"sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs", "channel_binding"}
    parameters |= {name: value for name, value in given.get("OPTIONS", {}).items() if name in ours}
    limits = "-c search_path= -c statement_timeout=60s -c lock_timeout=5s -c jit=off"
    return psycopg.connect(**parameters, options=limits, application_name="daybook doctor", autocommit=True)


def query(connection: psycopg.Connection[Any], name: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """Run one of the doctor's named queries (`tenants/sql/doctor_NAME.sql`)."""
    return connection.execute(_text(name).encode(), parameters).fetchall()


def places(rows: Iterable[tuple[str, ...]]) -> dict[str, list[tuple[str, ...]]]:
    """Return rows by their first column, the place they tell of."""
    found: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for place, *rest in rows:
        found[place].append(tuple(rest))
    return found


def database(connection: psycopg.Connection[Any], roles: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the rows of the database as a whole. `roles` are those whose rights to change settings are told."""
    rows = query(connection, "database", roles=list(roles), dangerous=_DANGEROUS)
    return [tuple(row[1:]) for row in rows]


def restored(text: str, own: Mapping[str, str]) -> str:
    """Return a fact's text with names again in the place of placeholders; `own` has those of the place."""
    for word, name in {**fixed_roles(), **own, "prefix": prefix()}.items():
        text = text.replace(f"{{{word}}}", name)
    return text


@cache
def _text(name: str) -> str:
    return (Path(tenants.sql.__path__[0]) / f"doctor_{name}.sql").read_text(encoding="utf-8")
