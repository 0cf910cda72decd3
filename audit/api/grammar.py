"""A filter as one line of text: `actor:alice action:invoice.* -outcome:success "past due"`. Pure.

A word with a name before its colon is a value of that parameter, several of them separated by commas; a `-` in front
excludes. What has blanks, commas or colons in it stands in quotation marks. All other words are searched for (`q`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_TERM = re.compile(rf'(-?)([a-z_]+):((?:{_QUOTED}|[^\s"])*)(?=\s|$)|(-?{_QUOTED}(?=\s|$)|[^\s"]+)')
_VALUE = re.compile(rf'{_QUOTED}|[^,"]+')
_ESCAPED = re.compile(r"\\(.)")


def read(line: str, names: Collection[str]) -> dict[str, list[str]]:
    """Return the values of each parameter that a line says; words of no parameter are those of `q`, joined.

    Raises ValueError, which says what is wrong.
    """
    said: dict[str, list[str]] = {}
    words: list[str] = []
    for minus, name, values, word in _terms(line):
        if word:
            words.append(word)
        elif name not in names:
            raise ValueError(f"There is no `{name}` to filter by. A text with a colon stands in quotation marks.")
        else:
            said.setdefault(name, []).extend(minus + value for value in _values(name, values))
    return {**said, "q": [" ".join(words)]} if words else said


def _terms(line: str) -> Iterator[tuple[str, ...]]:
    at = 0
    while at < len(line):
        if line[at].isspace():
            at += 1
            continue
        found = _TERM.match(line, at)
        if found is None:
            raise ValueError(f"This cannot be read from character {at + 1} on: `{line[at : at + 20]}`.")
        yield tuple(part or "" for part in found.groups())
        at = found.end()


def _values(name: str, text: str) -> Iterator[str]:
    found = _VALUE.findall(text)
    if not found or ",".join(found) != text:
        raise ValueError(f"`{name}:` is followed by a value, or by several with a comma between them.")
    for value in found:
        yield _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value
