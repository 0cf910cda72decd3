"""`manage.py audit`: files of events into a tenant's trail, the trail into files, and the two questions of old."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from audit import access
from audit.api import asking
from audit.capture.installed import differences
from audit.entry import EntryQuerySet
from audit.history import actor_activity
from audit.importers import DUMPS, FORMATS
from audit.importers.naming import Names, read_names
from audit.management import exporting
from audit.management.files import Import
from audit.models import AuditLog
from tenants.doctor.directory import read
from tenants.doctor.facts import connect
from tenants.management.base import Chosen, PlainCommand, add_actor_argument, find_actor, find_person, find_tenant
from tenants.owner.access import OWNER

_INTERRUPTED = 130
_MAX_DAYS = 36500


class Command(PlainCommand):
    """A tenant's trail, from the command line."""

    help = "Import events into a tenant's trail, and read it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", title="verbs")
        load = verbs.add_parser(
            "import",
            help="import a file of events, one JSON object a line",
            description=(
                "Import a file of events, one JSON object a line. Lines that are no events are reported by number, "
                "and the others go in. A line that was imported before is not imported again, so an import that was "
                "cut short is completed by running it again. The exit status is 1 if the file cannot be read or has "
                "only bad lines, and 0 otherwise."
            ),
        )
        load.add_argument("file", metavar="FILE", help="the file, or - for standard input")
        load.add_argument("--format", required=True, choices=sorted([*FORMATS, *DUMPS]), help="whose events they are")
        load.add_argument(
            "--models",
            metavar="JSON",
            help="a file in which a Django project tells the names and keys of its models, for its dumps",
        )
        history = verbs.add_parser("history", help="show what happened to a resource, newest first")
        history.add_argument("type", help="the resource's type")
        history.add_argument("id", help="the resource's id")
        activity = verbs.add_parser("activity", help="show what somebody did, newest first")
        activity.add_argument("user", help="a person's e-mail address, or an actor's id")
        activity.add_argument("--days", type=int, default=30, help="how many days back (default: 30)")
        leave = verbs.add_parser(
            "export",
            help="write a filtered trail into a file",
            description=(
                "Write the entries that a filter lets through into a file, oldest first. The filter is that of the "
                "API: --where action=invoice.* --where since=2026-01-01T00:00:00Z. That it was exported is an entry."
            ),
        )
        leave.add_argument("--format", default="jsonl", choices=asking.FORMATS, help="the form of the file (jsonl)")
        leave.add_argument("--compress", choices=asking.COMPRESSIONS, help="compress it as it goes")
        leave.add_argument("--where", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the API")
        leave.add_argument(
            "--output", default="-", metavar="FILE", help="a file that is not there yet (standard output)"
        )
        check = verbs.add_parser(
            "check",
            help="compare what captures row changes in each schema with what is declared; exit status 1 if it differs",
        )
        check.add_argument("--tenant", action="append", metavar="SLUG", help="this one and the shared tables alone")
        for verb in (load, history, activity, leave):
            verb.add_argument("--tenant", metavar="SLUG", required=True, help="whose trail")
            add_actor_argument(verb)
        for verb in (history, activity):
            verb.add_argument("--limit", type=int, default=100, help="how many entries at most (default: 100)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one verb."""
        if options["verb"] == "check":
            self.check_capture(options["tenant"])
            return
        tenant = find_tenant(options["tenant"])
        chosen = Chosen(tenant, find_actor(options["actor"], tenant))
        verbs = {"import": self.load, "history": self.history, "activity": self.activity, "export": self.export}
        verbs[options["verb"]](chosen, options)

    def check_capture(self, slugs: list[str] | None) -> None:
        """Tell what is missing, extra or changed of the triggers that capture row changes, and where."""
        with connect(OWNER) as connection:
            places = {row.schema: row.slug for row in read(connection) if slugs is None or row.slug in slugs}
            if unknown := sorted(set(slugs or ()) - set(places.values())):
                raise CommandError(f"There is no tenant {unknown[0]!r}; `manage.py tenants list` shows them all.")
            found = list(differences(connection, list(places)))
        for each in found:
            self.stdout.write(f"{places.get(each.schema, each.schema)}: {each.subject} is {each.word}")
        if found:
            raise CommandError(
                "Row changes may leave no entries there: run `manage.py upgrade`. What stays was changed by hand: "
                "see who did, and let a new migration capture the table again."
            )
        self.stdout.write(f"Capture stands as declared in the shared schema and {len(places)} of the tenants.")

    def load(self, chosen: Chosen, options: dict[str, Any]) -> None:
        """Import a file; say at the end, also of a run cut short, what became of its lines."""
        is_dump = options["format"] in DUMPS
        run = Import(options["format"], chosen, self._report, _names(options["models"], is_dump=is_dump))
        try:
            with _opened(options["file"]) as stream, _progress(stream, in_order=not is_dump) as written:
                run.run(stream, written)
        except sqlite3.Error as error:
            raise CommandError(f"The lines cannot be put in order in the folder that TMPDIR names: {error}.") from error
        except KeyboardInterrupt as error:
            raise CommandError("Interrupted; run it again to complete it.", returncode=_INTERRUPTED) from error
        finally:
            self.stdout.write(str(run.tally))
        if run.tally.lines and run.tally.rejected == run.tally.lines:
            raise CommandError(f"Not one line could be imported; is {options['format']} the format of this file?")

    def history(self, chosen: Chosen, options: dict[str, Any]) -> None:
        """Show what happened to a resource."""
        self._note(chosen)
        with chosen.open():
            self._show(AuditLog.get_resource_history(options["type"], options["id"]), options)

    def activity(self, chosen: Chosen, options: dict[str, Any]) -> None:
        """Show what somebody did."""
        actor_id = str(find_person(options["user"]).pk) if "@" in options["user"] else options["user"]
        self._note(chosen)
        with chosen.open():
            self._show(actor_activity(AuditLog.objects.all(), actor_id, min(options["days"], _MAX_DAYS)), options)

    def export(self, chosen: Chosen, options: dict[str, Any]) -> None:
        """Write a filtered trail into a file; say how many entries it has."""
        asked = exporting.read(options["where"], options["format"], compress=bool(options["compress"]))
        try:
            rows = exporting.run(chosen, asked, options["output"])
        except KeyboardInterrupt as error:
            raise CommandError("Interrupted; the file is not whole.", returncode=_INTERRUPTED) from error
        if options["output"] != "-":
            self.stdout.write(f"{rows} entries written to {options['output']}.")

    @staticmethod
    def _note(chosen: Chosen) -> None:
        """Note the look in a unit of its own: others of the same actor would wait for a reader who takes his time."""
        with chosen.open():
            access.note("read")

    def _show(self, entries: EntryQuerySet, options: dict[str, Any]) -> None:
        for entry in entries[: max(0, options["limit"])]:
            changes = json.dumps(entry.all_changes, ensure_ascii=False) if entry.all_changes else ""
            self.stdout.write(f"{entry.created_at:%Y-%m-%d %H:%M:%S}Z  {entry}  {changes}".rstrip())

    def _report(self, number: int, reason: str) -> None:
        with tqdm.external_write_mode(file=sys.stderr):
            self.stderr.write(f"line {number}: {reason}")


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    try:
        if path == "-":
            yield sys.stdin.buffer
        else:
            with open(path, "rb") as stream:  # noqa: PTH123 - as the operator wrote it
                yield stream
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror or error}.") from error


def _names(path: str | None, *, is_dump: bool) -> Names:
    if path is None:
        return {}
    if not is_dump:
        raise CommandError(f"--models is for {', '.join(DUMPS)}.")
    with _opened(path) as stream:
        try:
            return read_names(stream.read())
        except (ValueError, RecursionError) as error:
            raise CommandError(f"{path} does not name models: {error}.") from error


@contextmanager
def _progress(stream: BinaryIO, *, in_order: bool) -> Iterator[Callable[[int], object]]:
    """Show a bar on a terminal; yield what moves it on: to where the stream is, if that tells, or by lines."""
    size = os.fstat(stream.fileno()).st_size if in_order and stream.seekable() else None
    with tqdm(total=size, unit="B" if size else " lines", unit_scale=True, desc="importing", disable=None) as bar:
        yield lambda lines: bar.update((stream.tell() if size else lines) - bar.n)
