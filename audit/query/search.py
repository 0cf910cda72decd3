"""Search by words: `q`. Rows of positions say which words their entries have; the entries themselves are asked as well.

A word is found whole, in any case and without its accents. All words must be met: `"two words"` one after the other,
`-word` not at all. Only entries that have a position are found, which they get within a second.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from django.db.models import BooleanField, F, Func, Value

from audit.entry import EntryQuerySet, millis_of
from audit.integrity.positions import Positions

_PART = re.compile(r'(-?)(?:"([^"]*)"?|(\S+))')
MOST_ROWS = 400
_COLUMNS = ("actor_label", "impersonator_label", "resource_label", "description", "targets", "changes", "personal")

# Rows of positions that may have what is wanted: those with all its words, and those that are not indexed yet.
_ROWS = """SELECT ids FROM {table} WHERE %s AND number IN (
SELECT number FROM {words}
 WHERE words @> ARRAY(SELECT hashtext(word) FROM unnest(guard.words(guard.plain(%%s))) AS word)
UNION ALL SELECT number FROM {table} WHERE number > coalesce((SELECT max(number) FROM {words}), -1)) LIMIT %%s"""
_OF_ROWS = _ROWS % "number BETWEEN %s AND %s"
_OF_TIME = _ROWS % "span && int8range(%s::bigint, %s::bigint)"


class Part(NamedTuple):
    """A word or a phrase that must be met, or must not."""

    text: str
    phrase: bool
    excluded: bool


def read(query: str) -> list[Part]:
    """Return what a query asks. Raises ValueError if there is no word in it that must be met."""
    parts = [Part(phrase or word, bool(phrase), bool(minus)) for minus, phrase, word in _PART.findall(query)]
    found = [part for part in parts if any(char.isalnum() for char in part.text)]
    if all(part.excluded for part in found):
        raise ValueError("This needs a word to look for: letters or digits, without a `-` before them.")
    return found


def wanted_words(query: str) -> str:
    """Return the words of a query that must be met."""
    return " ".join(part.text for part in read(query) if not part.excluded)


def matching(entries: EntryQuerySet, query: str) -> EntryQuerySet:
    """Return the entries that a query is met by: each is looked at, so this is for few. Raises ValueError."""
    parts = read(query)
    entries = entries.filter(_HasWords(Value(" ".join(part.text for part in parts if not part.excluded))))
    for part in parts:
        if part.phrase or part.excluded:
            met = (_HasPhrase if part.phrase else _HasWords)(Value(part.text))
            entries = entries.exclude(met) if part.excluded else entries.filter(met)
    return entries


def ids_of_rows(positions: Positions, query: str, start: int, stop: int) -> list[UUID] | None:
    """Return the ids among which those are that a query is met by, in some rows of positions; None: too many."""
    return _ids(positions, _OF_ROWS, start, stop, wanted_words(query))


def ids_of_time(
    positions: Positions, query: str, low: UUID | None, high: UUID | None, *, most: int | None = MOST_ROWS
) -> list[UUID] | None:
    """Return the like of a range of ids (None: no bound), in at most so many rows (None: however many)."""
    since, until = low and millis_of(low), high and millis_of(high) + 1
    return _ids(positions, _OF_TIME, since, until, wanted_words(query), most=most)


def _ids(positions: Positions, query: str, *arguments: Any, most: int | None = MOST_ROWS) -> list[UUID] | None:
    rows: Sequence[Any] = positions.rows(query, *arguments, None if most is None else most + 1)
    return None if most is not None and len(rows) > most else [key for (ids,) in rows for key in ids]


class _Searched(Func):
    """A condition on an entry's searchable text."""

    output_field: ClassVar[BooleanField[Any, Any]] = BooleanField()
    conditional = True

    def __init__(self, *wanted: Any, **extra: Any) -> None:
        super().__init__(*wanted, *(F(name) for name in _COLUMNS if len(wanted) == 1), **extra)

    def as_sql(self, compiler: Any, connection: Any, *_more: Any, **_context: Any) -> tuple[str, Any]:
        """Return the condition, with the text in the place of its columns."""
        wanted, *columns = self.get_source_expressions()
        sought, parameters = compiler.compile(wanted)
        texts = [compiler.compile(column) for column in columns]
        of = [parameter for _, own in texts for parameter in own]
        text = f"guard.searchable({', '.join(name for name, _ in texts)})"
        return self.template.format(text=text, sought=sought), [*of, *parameters]


class _HasWords(_Searched):
    # What has no word for the database is met by nothing.
    template = "(guard.words({text}) @> nullif(guard.words(guard.plain({sought})), '{{}}'))"


class _HasPhrase(_Searched):
    # The plain text begins and ends with a blank or nothing: both sides get one.
    template = "(strpos(' ' || {text} || ' ', ' ' || btrim(guard.plain({sought})) || ' ') > 0)"
