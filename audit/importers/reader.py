"""JSON lines, read strictly and in bounded memory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from audit.events import MAX_DEPTH
from audit.importers.leaves import MAX_INTEGER, spell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from audit.events import Event

MAX_LINE_BYTES = 1024 * 1024
_SKIPPED_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no JSON object, or no event; its number and the reason for people to read."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Mapped:
    """A line that is an event: its number, the line itself (what makes it itself), and the event."""

    number: int
    line: dict[str, Any]
    event: Event


@dataclass(frozen=True, slots=True)
class Joined:
    """A line that is no event, but stands in full in the events of other lines."""

    number: int


Found = Mapped | Joined | BadLine


def read_lines(stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any] | BadLine]]:
    r"""Yield the number and the object, or what is wrong with it, of each line that is not blank.

    Lines end at `\n` alone (U+2028 is text) and are numbered from 1, as an editor does; blank lines yield
    nothing. At most 1 MiB of a line is held. Integers are exact; a float that Python would round stays as the
    text that the line has.
    """
    number = 0
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        whole = len(raw) <= MAX_LINE_BYTES or raw.endswith(b"\n")
        if not whole:
            _skip_line(stream)
        number += 1
        if whole and not raw.strip():
            continue
        yield number, _read(number, raw) if whole else BadLine(number, f"longer than {MAX_LINE_BYTES} bytes")


def _skip_line(stream: BinaryIO) -> None:
    while (raw := stream.readline(_SKIPPED_BYTES)) and not raw.endswith(b"\n"):
        pass


def _read(number: int, raw: bytes) -> dict[str, Any] | BadLine:
    try:
        return _parse(raw)
    except UnicodeDecodeError as error:
        return BadLine(number, f"not UTF-8 at byte {error.start + 1}")
    except json.JSONDecodeError as error:
        return BadLine(number, f"not JSON at character {error.pos + 1}: {error.msg}")
    except RecursionError:
        return BadLine(number, f"nested deeper than {MAX_DEPTH} levels")
    except ValueError as error:
        return BadLine(number, str(error))


def _parse(raw: bytes) -> dict[str, Any]:
    value = json.loads(
        raw.decode(), object_pairs_hook=_object, parse_constant=_refuse, parse_float=_float, parse_int=_int
    )
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - to the reader any line is a value
    if _is_deep(value):
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key `{spell((key,))}` stands twice in one object")
        result[key] = value
    return result


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _int(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # Python refuses more than 4,300 digits
        raise ValueError(f"an integer of {len(text)} digits is too long") from None


def _float(text: str) -> float | str:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {spell((text,))} is too large")
    exact = abs(value) <= MAX_INTEGER and repr(value) != "-0.0" and Decimal(text) == Decimal(repr(value))
    return value if exact else text


def _is_deep(value: Any) -> bool:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [item for node in level for item in _children(node)]
    return any(isinstance(node, dict | list) for node in level)


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []
