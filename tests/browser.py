"""What a person sees in the admin: signs in through the form, follows links, reads the cells of a list."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from uuid import UUID

from world import World, address

LIST = "/admin/audit/auditlog/"
_CELL = re.compile(r'<t[dh] class="field-(\w+)[^"]*">(.*?)</t[dh]>', re.DOTALL)
_TAG = re.compile(r"<[^>]+>")


class Browser:
    """A person's browser on one host (a tenant's slug, or `platform`)."""

    def __init__(self, world: World, host: str, name: str | None = None) -> None:
        self.client = world.api(host).client
        if name:
            form = {"login": address(name), "password": "correct horse battery staple", "next": "/admin/"}
            answer = self.client.post("/accounts/login/", form)
            assert (answer.status_code, answer["Location"]) == (302, "/admin/"), answer.content

    def get(self, path: str, **parameters: Any) -> Any:
        """GET a page; return the answer."""
        return self.client.get(path, parameters)

    def page(self, path: str, **parameters: Any) -> str:
        """Return a page that must be there."""
        answer = self.get(path, **parameters)
        assert answer.status_code == 200, (answer.status_code, answer.content[:300])
        return str(answer.content.decode())

    def post(self, path: str, **form: Any) -> Any:
        """POST a form; return the answer."""
        return self.client.post(path, form)


def rows(page: str) -> list[dict[str, str]]:
    """Return the rows of a list as text by column."""
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    return [
        {name: unescape(_TAG.sub("", cell)).strip() for name, cell in _CELL.findall(row)}
        for row in body.split("<tr>")[1:]
    ]


def link(page: str, rel: str) -> str | None:
    """Return where the page's link to the `prev` or `next` page leads."""
    found = re.search(rf'<a rel="{rel}" href="([^"]*)"', page)
    return unescape(found[1]) if found else None


@dataclass
class Statements:
    """The statements of the tests' own connection."""

    sent: list[tuple[str, Any]] = field(default_factory=list)

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        """Note a statement, and send it."""
        self.sent.append((sql, params))
        return execute(sql, params, many, context)

    @contextmanager
    def listening(self) -> Iterator[Statements]:
        """Note what is sent in the block."""
        from django.db import connection

        with connection.execute_wrapper(self):
            yield self


def full_scans(statements: Statements, table: str) -> list[str]:
    """Return the plans, made in the open scope, that read a whole table row after row."""
    from django.db import connection

    plans = []
    with connection.cursor() as cursor:
        for sql, params in [*statements.sent]:
            if table in sql:
                cursor.execute(f"EXPLAIN {sql}", params)
                plans.append("\n".join(line for (line,) in cursor.fetchall()))
    assert plans, f"no statement reads {table}"
    return [plan for plan in plans if re.search(rf"Seq Scan on {table}", plan)]


def write(world: World, number: int = 1, name: str = "alice", **words: Any) -> list[UUID]:
    """Write entries of a person of acme; return their ids."""
    from audit.models import AuditLog

    said = {"action": "updated", "resource_type": "organization", "resource_id": "42", **words}
    with world.scope("acme", name):
        return [AuditLog.log_action(None, **said).pk for _ in range(number)]


def detail(entry: UUID) -> str:
    return f"{LIST}{entry}/change/"
