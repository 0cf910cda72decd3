"""A trail into a file, from the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import BinaryIO

from django.core.management.base import CommandError
from django.db import DatabaseError
from tqdm import tqdm

from audit import export
from audit.api import asking
from audit.entry import moment_of
from audit.models import AuditLog
from audit.query import Filter
from audit.query.statistics import Span, statistics
from tenants.management.base import Chosen

_PRIVATE = 0o600


def read(where: list[str], form: str, *, compress: bool) -> asking.Export:
    """Return what the options ask (`where`: NAME=VALUE), as the API reads it. Raises BadInput, CommandError."""
    said: dict[str, list[str]] = {}
    for each in where:
        name, sign, value = each.partition("=")
        if not sign or name in {"format", "compress"}:
            raise CommandError(f"--where {each!r} is not of the form NAME=VALUE, with a parameter of the API's lists.")
        said.setdefault(name, []).append(value)
    return asking.read(asking.parameters(said, form, compress=compress))


def run(chosen: Chosen, asked: asking.Export, path: str) -> int:
    """Write a trail into a file (`-`: standard output) and return how many entries it has. Raises CommandError."""
    with chosen.open():
        until = export.bound()
        export.record("trail.exported", asked.told())
    rows, about = 0, _about_how_many(chosen, asked.filter, moment_of(until)) if sys.stderr.isatty() else None
    with (
        _opened(path) as file,
        tqdm(total=about, unit=" entries", unit_scale=True, desc="exporting", disable=None) as bar,
    ):

        def counted() -> Iterator[list[str]]:
            nonlocal rows
            for page in export.pages(chosen.open, asked.filter, until):
                yield page
                rows += len(page)
                # An estimate may have been too low.
                bar.total = max(about or 0, rows)
                bar.update(len(page))
            bar.total = rows

        for part in export.stream(asked.form, counted(), compress=asked.compress):
            file.write(part)
    return rows


def _about_how_many(chosen: Chosen, wanted: Filter, until: datetime) -> int | None:
    """Return how many entries there will be; of many it is an estimate. None: that takes too long to find out."""
    until = min(until, wanted.until or until)
    since = wanted.since or datetime.fromtimestamp(0, UTC)
    if since >= until:
        return 0
    with suppress(DatabaseError), chosen.open():
        return statistics(AuditLog.objects.all(), wanted, Span.of(since, until, 1), 1).total
    return None


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """Open what is written to; a new file is for its owner alone, and one that is there is not overwritten."""
    try:
        if path == "-":
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        else:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "wb") as file:
                yield file
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror or error}.") from error
