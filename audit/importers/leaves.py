"""What all importers share: a line is read leaf by leaf, and what has got no field of its own is left over.

Nothing is lost: `Reading.rest` returns the line without those leaves only whose exact text was put into a
field of the entry (`Reading.put`, `Reading.ip`). A leaf that was changed in any way stays.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from audit.events import MAX_DEPTH, MAX_ID, MAX_LABEL, Party
from audit.importers.times import address, is_steady_address, moment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

Path = tuple[str | int, ...]
MAX_INTEGER = 2**53
MAX_REQUEST_ID = 128
MAX_USER_AGENT = 1024
_MAX_SPELLED = 120
NOBODY = Party("anonymous", "unknown")


class Unmappable(ValueError):
    """A line that becomes no entry; the message tells a person what is missing, and where."""


class Leaf(NamedTuple):
    """A text (or an integer as text) at a path of a line; `exact` when the line has this very text."""

    path: Path
    text: str
    exact: bool


def spell(path: Path) -> str:
    """Return a path for people to read: short, and without characters that nothing can store."""
    text = ".".join(str(step) for step in path).encode("utf-8", "backslashreplace").decode()
    text = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
    return text if len(text) <= _MAX_SPELLED else f"{text[:_MAX_SPELLED]}..."


def storable(value: Any, path: Path = ()) -> Any:
    """Return a copy of JSON that every store takes unchanged.

    Numbers that others would round (integers beyond 2^53, floats of that size, -0.0) become text, so that
    they are still found. Raises Unmappable, naming the path, for U+0000, lone surrogates, NaN and infinities,
    and for more than 32 levels.
    """
    if isinstance(value, str):
        return _text(value, path)
    if not isinstance(value, dict | list):
        return _number(value, path)
    if len(path) >= MAX_DEPTH:
        raise Unmappable(f"`{spell(path)}` is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, list):
        return [storable(item, (*path, index)) for index, item in enumerate(value)]
    return {_text(key, (*path, key)): storable(item, (*path, key)) for key, item in value.items()}


def is_steady(text: str) -> bool:
    """Tell whether a text surely reads the same once it is an id or a label.

    A UUID may be stored in its canonical form, and blanks around a text may be cut.
    """
    try:
        return str(UUID(text)) == text
    except ValueError:
        return text == text.strip()


class Reading:
    """One line being read.

    Keys of the paths asked for are found as they are or, failing that, in lower case (some sources
    lower-case them on the way); the paths of leaves are always those of the line.
    """

    def __init__(self, line: dict[str, Any]) -> None:
        self._line = line
        self._storable = storable(line)
        self._used: set[Path] = set()
        self._moved: set[Path] = set()

    def value(self, *path: str | int) -> Any:
        """Return what is at a path, or None."""
        return self._find(path)[1]

    def leaf(self, *path: str | int) -> Leaf | None:
        """Return the text at a path, or None when there is none, or a blank one."""
        return _leaf(*self._find(path))

    def first(self, *paths: Path) -> Leaf | None:
        """Return the first of the paths that has a text."""
        return next((leaf for leaf in (self.leaf(*path) for path in paths) if leaf is not None), None)

    def leaves(self, *path: str | int) -> Iterator[Leaf]:
        """Yield every text below a path."""
        return _leaves(*self._find(path))

    def items(self, *path: str | int) -> list[Path]:
        """Return the paths of the elements of the array at a path, none when there is no array."""
        found, value = self._find(path)
        return [(*found, index) for index in range(len(value))] if isinstance(value, list) else []

    def put(self, leaf: Leaf | None, limit: int) -> str:
        """Return the text for a field of the entry, cut at its limit; uncut and unchanged it is no longer left over."""
        if leaf is None:
            return ""
        if leaf.exact and len(leaf.text) <= limit and is_steady(leaf.text):
            self._used.add(leaf.path)
        return leaf.text[:limit]

    def take(self, *path: str | int) -> Any:
        """Return what is at an exact path, as it can be stored, for a place of its own; it is no longer left over.

        Where it stood in an array there is a null, so that the others keep their places.
        """
        node: Any = self._storable
        for step in path:
            node = node[step]
        (self._moved if isinstance(path[-1], int) else self._used).add(path)
        return node

    def party(self, kind: str, identity: Leaf | None, label: Leaf | None = None) -> Party:
        """Return a party; without a label of its own it is labelled by its id, for the search over labels."""
        return Party(kind, self.put(identity, MAX_ID), self.put(label or identity, MAX_LABEL))

    def short(self, leaf: Leaf | None, limit: int) -> str | None:
        """Return a text for a field that may be missing: None when there is none, or it is too long to be cut."""
        return None if leaf is None or len(leaf.text) > limit else self.put(leaf, limit)

    def ip(self, *paths: Path) -> str | None:
        """Return the first of the paths that has an address; what is none stays left over."""
        for leaf in filter(None, (self.leaf(*path) for path in paths)):
            found = address(leaf.text)
            if found is not None:
                self._used |= {leaf.path} if is_steady_address(leaf.text) else set()
                return found
        return None

    def time(self, *paths: Path) -> datetime | None:
        """Return the first of the paths that means a time; the original is always left over."""
        return next(filter(None, (moment(self.value(*path)) for path in paths)), None)

    def rest(self) -> dict[str, Any]:
        """Return the line without the leaves that have got a field of their own."""
        rest: dict[str, Any] = _without(self._storable, self._used, self._moved, ())
        return rest

    def _find(self, path: Path) -> tuple[Path, Any]:
        node: Any = self._line
        found: Path = ()
        for step in path:
            key = _key(node, step)
            if key is None:
                return (), None
            found, node = (*found, key), node[key]
        return found, node


def _key(node: Any, step: str | int) -> str | int | None:
    if isinstance(node, dict) and isinstance(step, str):
        return next((key for key in (step, step.lower()) if key in node), None)
    if isinstance(node, list) and isinstance(step, int) and step < len(node):
        return step
    return None


def _leaf(path: Path, value: Any) -> Leaf | None:
    if isinstance(value, str) and value.strip():
        return Leaf(path, value, exact=True)
    if isinstance(value, int) and not isinstance(value, bool):
        return Leaf(path, str(value), exact=False)
    return None


def _leaves(path: Path, value: Any) -> Iterator[Leaf]:
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves((*path, key), item)
    elif (leaf := _leaf(path, value)) is not None:
        yield leaf


def _without(node: Any, used: set[Path], moved: set[Path], path: Path) -> Any:
    """Take leaves out of objects, and the objects that are empty because of it; arrays keep their places."""
    if path in moved:
        return None
    if isinstance(node, list):
        return [_without(item, used, moved, (*path, index)) for index, item in enumerate(node)]
    if not isinstance(node, dict):
        return node
    left = {key: _without(item, used, moved, (*path, key)) for key, item in node.items() if (*path, key) not in used}
    return {key: item for key, item in left.items() if item != {} or node[key] == {}}


def _text(text: str, path: Path) -> str:
    if "\0" in text:
        raise Unmappable(f"`{spell(path)}` contains U+0000, which cannot be stored")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unmappable(f"`{spell(path)}` contains a lone surrogate, which is no character") from None
    return text


def _number(value: Any, path: Path) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise Unmappable(f"`{spell(path)}` is {value}, which is no number")
    if isinstance(value, int | float) and (abs(value) > MAX_INTEGER or str(value) == "-0.0"):
        return json.dumps(value)
    return value
