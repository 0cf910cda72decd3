"""Plain Django, whose adapter all packages extend: settings, tables, people and requests."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils.module_loading import import_string

from bench.base import AGENT
from bench.capture.adapter import DATABASE_VARIABLE, PEOPLE, Adapter, Work, model, seeded

_MIGRATIONS = "bench_migrations"
_APPS = ("django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "bench.capture.peers")


class Plain(Adapter):
    """A package: its applications, settings and middleware as its documentation has them."""

    distribution: ClassVar[str] = "django"
    applications: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[dict[str, Any]] = {}
    middleware: ClassVar[tuple[str, ...]] = ()
    # Fills the package's tables for `reads`: {events} stands for the events of `seeded`.
    seeding: ClassVar[str] = ""
    users: list[Any]

    def configure(self) -> None:
        """Give Django settings with this package's part."""
        database = {"ENGINE": "django.db.backends.postgresql", **json.loads(os.environ[DATABASE_VARIABLE])}
        settings.configure(
            SECRET_KEY="of a benchmark, which signs nothing",  # noqa: S106
            DATABASES={"default": database},
            INSTALLED_APPS=[*_APPS, *self.applications],
            MIGRATION_MODULES={"docs": _MIGRATIONS},
            DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
            ROOT_URLCONF="bench.capture.peers.urls",
            USE_TZ=True,
            USE_I18N=False,
            BENCH_ADAPTER=self,
            **self.settings,
        )

    def register(self, doc: Any) -> None:
        """Have the model captured, when it is defined."""

    def migrate(self) -> None:
        """Make the tables as a project does: by migrations, which packages put their own operations into."""
        with tempfile.TemporaryDirectory(prefix="daybook-bench-") as folder:
            package = Path(folder) / _MIGRATIONS
            package.mkdir()
            (package / "__init__.py").touch()
            sys.path.insert(0, folder)
            call_command("makemigrations", "docs", verbosity=0)
            call_command("migrate", verbosity=0)
        self.doc, self.author = model("docs.Doc"), model("docs.Author")
        self.install()
        self._factory, self._handler = RequestFactory(), self._middleware()

    def install(self) -> None:
        """Do what the package wants done after migrations."""

    def begin(self) -> Any:
        """Begin as on a fresh connection, which by default each of Django's requests has.

        Otherwise a statement trigger keeps the plan of its first firing: after a write of one row pghistory's takes
        20 times as long for a thousand.
        """
        with connection.cursor() as cursor:
            cursor.execute("DISCARD PLANS")
        return super().begin()

    def people(self) -> None:
        """Make the users; their ids are 1 to PEOPLE, as the seeded events have them."""
        user = model("auth.User")
        user.objects.bulk_create([user(username=f"person{number}") for number in range(1, PEOPLE + 1)])
        self.users = list(user.objects.order_by("pk"))
        assert [one.pk for one in self.users] == list(range(1, PEOPLE + 1))

    def requested(self, work: Work, number: int) -> Work:
        """Return `work` within a request, sent through the package's middleware by a user who has logged in."""
        request: Any = self._factory.post(
            "/documents/",
            b"{}",
            content_type="application/json",
            headers={"user-agent": AGENT.format(number % 200)},
            REMOTE_ADDR=f"203.0.{number % 250}.{number % 200}",
        )
        request.user = self.users[number % len(self.users)]
        request.work = work
        return lambda: self._handler(request)

    def _middleware(self) -> Any:
        # Always the same answer: to make one is no part of what is measured.
        answer = HttpResponse()

        def view(request: Any) -> HttpResponse:
            request.work()
            return answer

        handler: Any = view
        for name in reversed(self.middleware):
            handler = import_string(name)(handler)
        return handler

    def empty(self) -> None:
        """Remove all events and their contexts."""
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {', '.join((*self.tables, *self.contexts))} CASCADE")

    def seed(self, events: int) -> None:
        """Fill the package's tables by its statement, and let PostgreSQL know them."""
        with connection.cursor() as cursor:
            cursor.execute(self.seeding.format(events=seeded(events)))
            cursor.execute("VACUUM ANALYZE")


class Atomic(Plain):
    """Plain Django with each group of operations in one transaction."""

    def group(self, *, context: bool) -> AbstractContextManager[object]:
        """Open a transaction."""
        del context
        return transaction.atomic()
