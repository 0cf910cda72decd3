"""What a worker drives: the operations on the model, as plain Django does them. A package's adapter changes some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import metadata
from typing import Any, ClassVar
from uuid import UUID

from django.apps import apps
from django.db import connection

Work = Callable[[], object]

# The text of all documents: 216 characters.
BODY = "Who did what to which resource, and when? " * 5 + "Ask it"
# How the driver tells a peer the address of its database: Django's names, as JSON.
DATABASE_VARIABLE = "BENCH_CAPTURE_DATABASE"
# The seeded events of `reads`: each object has ten, and each person a thousandth of them.
EVENTS_OF_OBJECT, PEOPLE = 10, 1_000
# How many events of a person are read.
LAST = 50


class Adapter:
    """Plain Django; `distribution` is the package's name in the registry, `tables` hold its events.

    `contexts` are tables that its events share: of requests, or of revisions.
    """

    distribution: ClassVar[str] = ""
    tables: ClassVar[tuple[str, ...]] = ()
    contexts: ClassVar[tuple[str, ...]] = ()
    # The document and its author, once Django is set up.
    doc: Any = None
    author: Any = None

    @property
    def version(self) -> str:
        """The installed version of the package."""
        return metadata.version(self.distribution) if self.distribution else ""

    def configure(self) -> None:
        """Give Django its settings, before it is set up."""

    def migrate(self) -> None:
        """Make the tables and whatever else the package wants; set `doc` and `author`."""
        raise NotImplementedError

    def group(self, *, context: bool) -> AbstractContextManager[object]:
        """Return what a group of operations runs in; with a request's context or without one."""
        del context
        return nullcontext()

    def requested(self, work: Work, number: int) -> Work:
        """Return `work` as it runs within a request of somebody, all things of the request itself made beforehand."""
        raise NotImplementedError

    def people(self) -> None:
        """Make the people who send requests."""

    def begin(self) -> Any:
        """Begin the open group's transaction, if it is one, and return psycopg's connection."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return connection.connection

    def events(self) -> int:
        """Return how many events there are."""
        with connection.cursor() as cursor:
            return sum(_counted(cursor, table) for table in self.tables)

    def empty(self) -> None:
        """Remove all events, where that is possible, so that indexes begin anew."""

    # --- operations

    def create(self, values: dict[str, Any]) -> object:
        """Create a document."""
        return self.doc.objects.create(**values)

    def save(self, doc: Any) -> object:
        """Save a document of which two fields were changed."""
        return doc.save()

    def delete(self, doc: Any) -> object:
        """Delete a document."""
        return doc.delete()

    def bulk_create(self, docs: Sequence[Any]) -> object:
        """Create documents at once, by the package's helper if it has one."""
        return self.doc.objects.bulk_create(docs)

    def bulk_update(self, docs: Sequence[Any], fields: Sequence[str]) -> object:
        """Save documents at once, by the package's helper if it has one."""
        return self.doc.objects.bulk_update(docs, fields)

    def update(self, documents: Any, **changes: Any) -> object:
        """Change all documents of a queryset, by the package's helper if it has one."""
        return documents.update(**changes)

    # --- a large log, for packages that document how to read it

    def seed(self, events: int) -> None:
        """Write events by SQL: event n is of object n modulo a tenth of them; they are spread over 90 days."""
        raise NotImplementedError

    def history(self, key: UUID) -> list[Any]:
        """Return the events of an object, by the package's documented call."""
        raise NotImplementedError

    def activity(self, person: int) -> list[Any]:
        """Return the last 50 events of a person (from 1), by the package's documented call."""
        raise NotImplementedError


def model(name: str) -> Any:
    """Return a model by `application.Name`: the type checker knows the project's own alone."""
    return apps.get_model(name)


def _counted(cursor: Any, table: str) -> int:
    cursor.execute(f"SELECT count(*) FROM {table}")
    return int(cursor.fetchone()[0])


def seeded(events: int) -> str:
    """Return a table expression of the events to seed: n, object (uuid), person (from 1) and moment."""
    objects = events // EVENTS_OF_OBJECT
    return f"""(
  SELECT n, lpad(to_hex(n % {objects}), 32, '0')::uuid AS object, 1 + (n / {objects} + n) % {PEOPLE} AS person,
    now() - interval '90 days' * ({events} - n) / {events} AS moment
  FROM generate_series(0, {events} - 1) AS n
) AS event"""
