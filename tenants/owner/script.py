"""Cut an SQL script into single statements, as psql does: by PostgreSQL's own lexical rules. Pure.

Django gives a script of RunSQL to PostgreSQL as it stands, several statements in one message, which the extended
protocol (pipelines) and Citus refuse. sqlparse, which Django has at hand, takes a table that is called `declare`
for the beginning of a block, and ends a comment within a comment too early.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""
      (?P<skip>  --[^\n]* | \s+ )
    | (?P<nested> /\* )
    | (?P<text>  [eE]'(?:[^'\\]|''|\\.)*' | '(?:[^']|'')*' | "(?:[^"]|"")*"
               | \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$ )
    | (?P<word>  [^\W\d][\w$]* )
    | (?P<mark>  [();] )
    | (?P<other> \d[\w$]* | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"/\*|\*/")
_BLOCKS = {"begin": 1, "case": 1, "end": -1}


def split(script: str) -> list[str]:
    """Return the statements of a script, without the semicolons between them. Comments within one are kept."""
    return list(_statements(script))


def _statements(script: str) -> Iterator[str]:
    begun: int | None = None
    depth, body, before = 0, 0, ""
    for kind, start, end in _tokens(script):
        word = script[start:end].lower()
        if word == ";" and not depth and not body:
            if begun is not None:
                yield script[begun:start].rstrip()
            begun = None
            continue
        begun = start if begun is None else begun
        depth += {"(": 1, ")": -1}.get(word, 0) if kind == "mark" else 0
        if kind == "word":
            # The body of a function in standard SQL: BEGIN ATOMIC ... END, in which CASE has an END as well.
            body = body + _BLOCKS.get(word, 0) if body else int((before, word) == ("begin", "atomic"))
            before = word
    if begun is not None:
        yield script[begun:].rstrip()


def _tokens(script: str) -> Iterator[tuple[str, int, int]]:
    """Yield (kind, start, end) of what is neither space nor comment."""
    position = 0
    while position < len(script):
        found = _TOKEN.match(script, position)
        # `.` matches whatever else there is, line breaks too.
        assert found is not None  # noqa: S101
        kind, position = str(found.lastgroup), found.end()
        if kind == "nested":
            position = _end_of_comment(script, position)
        elif kind != "skip":
            yield ("text" if kind == "tag" else kind), found.start(), position


def _end_of_comment(script: str, position: int) -> int:
    """Return where the comment that begins before `position` ends; comments stand within comments."""
    depth = 1
    while depth:
        found = _COMMENT.search(script, position)
        if found is None:
            return len(script)
        depth, position = depth + (1 if found.group() == "/*" else -1), found.end()
    return position
