"""Daybook's own JSON lines: an entry as it is read (an export), or an event as it is written.

What this trail gives anew (id, position, tenant, created_at, the way it came in, the transaction) stays as
it was in `metadata["daybook"]`, at its own path. An entry that nobody gave a time of its own happened when
it was created there. Strict as the API is: what is unknown, of the wrong type or too long is refused by name.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from audit.events import (
    MAX_ACTION,
    MAX_ID,
    MAX_LABEL,
    MAX_METADATA_KEYS,
    MAX_TYPE,
    ActorType,
    Event,
    Operation,
    Outcome,
    Party,
    RequestContext,
    Source,
)
from audit.importers.leaves import Unmappable, is_steady, storable
from audit.importers.shape import within_limits, written
from audit.importers.times import address, is_steady_address, moment

if TYPE_CHECKING:
    from datetime import datetime
    from enum import StrEnum

_SERVER = {"id", "position", "tenant", "created_at", "idempotency_key"}
_OWN = {"action", "operation", "outcome", "actor", "impersonator", "resource", "targets", "changes", "description"}
_FIELDS = _SERVER | _OWN | {"occurred_at", "context", "metadata", "version"}
_CONTEXT = {"ip", "user_agent", "request_id", "source", "transaction_id"}
_PARTY = {"type", "id", "label"}
_MAX_VERSION = 2**15 - 1
_ACTOR_TYPES = frozenset(ActorType)
_SAME = object()
_Word = TypeVar("_Word", bound="StrEnum")


def to_event(line: dict[str, Any]) -> Event:
    """Return the event of a line; raises Unmappable, naming the field, for what the API would refuse."""
    line = storable(line)
    _only(line, _FIELDS, "")
    event = Event(
        action=_text(line, "action", "", MAX_ACTION, least=1),
        operation=_word(line, "operation", Operation),
        outcome=_word(line, "outcome", Outcome) or Outcome.SUCCESS,
        actor=_actor(line, "actor"),
        impersonator=_actor(line, "impersonator"),
        resource=_party(_required(line, "resource"), "resource"),
        targets=tuple(_party(item, f"targets.{index}") for index, item in enumerate(_array(line, "targets"))),
        changes=_object(line, "changes"),
        description=_text(line, "description"),
        occurred_at=_time(line, "occurred_at") or _time(line, "created_at"),
        context=_context(line),
        version=_version(line),
    )
    return within_limits(event, _metadata(_object(line, "metadata"), _kept(line, event)))


def _only(given: dict[str, Any], known: set[str], where: str) -> None:
    for key in given:
        if key not in known:
            raise Unmappable(f"`{where}{key}` is no field of an entry")


def _required(given: dict[str, Any], key: str) -> Any:
    if given.get(key) is None:
        raise Unmappable(f"no `{key}`")
    return given[key]


def _text(given: dict[str, Any], key: str, where: str = "", most: int | None = None, least: int = 0) -> str:
    value = _required(given, key) if least else given.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Unmappable(f"`{where}{key}` is not a text")
    if len(value) < least or (most is not None and len(value) > most):
        raise Unmappable(f"`{where}{key}` has {len(value)} characters, not {least} to {most}")
    return value


def _word(given: dict[str, Any], key: str, words: type[_Word]) -> _Word | None:
    value = given.get(key)
    if value is None:
        return None
    if value not in list(words):
        raise Unmappable(f"`{key}` is none of {', '.join(words)}")
    return words(value)


def _object(given: dict[str, Any], key: str) -> dict[str, Any] | None:
    value = given.get(key)
    if value is not None and not isinstance(value, dict):
        raise Unmappable(f"`{key}` is not an object")
    return value


def _array(given: dict[str, Any], key: str) -> list[Any]:
    value = given.get(key)
    if value is not None and not isinstance(value, list):
        raise Unmappable(f"`{key}` is not an array")
    return value or []


def _party(value: Any, where: str) -> Party:
    if not isinstance(value, dict):
        raise Unmappable(f"`{where}` is not an object")
    _only(value, _PARTY, f"{where}.")
    if value.get("type") is None:
        raise Unmappable(f"no `{where}.type`")
    return Party(
        _text(value, "type", f"{where}.", MAX_TYPE, least=1),
        _text(value, "id", f"{where}.", MAX_ID),
        _text(value, "label", f"{where}.", MAX_LABEL),
    )


def _actor(line: dict[str, Any], key: str) -> Party | None:
    if line.get(key) is None:
        return None
    party = _party(line[key], key)
    if party.type not in _ACTOR_TYPES:
        raise Unmappable(f"`{key}.type` is none of {', '.join(ActorType)}")
    return party


def _context(line: dict[str, Any]) -> RequestContext:
    given = _object(line, "context") or {}
    _only(given, _CONTEXT, "context.")
    ip = _text(given, "ip", "context.") or None
    if ip is not None and address(ip) is None:
        raise Unmappable("`context.ip` is no address")
    agent, request = (_text(given, key, "context.") or None for key in ("user_agent", "request_id"))
    return RequestContext(ip=address(ip or ""), user_agent=agent, request_id=request, source=Source.IMPORT)


def _time(line: dict[str, Any], key: str) -> datetime | None:
    value = line.get(key)
    found = moment(value) if isinstance(value, str) else None
    if value is not None and found is None:
        raise Unmappable(f"`{key}` is no time")
    return found


def _version(line: dict[str, Any]) -> int:
    value = line.get("version", 1)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MAX_VERSION:
        raise Unmappable(f"`version` is no number from 1 to {_MAX_VERSION}")
    return value


def _kept(line: dict[str, Any], event: Event) -> dict[str, Any]:
    """Return what of the line does not stand unchanged in the event."""
    shown = written(event)
    kept = {
        key: _differing(value, shown.get(key, _SAME))
        for key, value in line.items()
        if key not in {"changes", "metadata"} or value is None
    }
    return {key: value for key, value in kept.items() if value is not _SAME}


def _differing(given: Any, shown: Any) -> Any:
    if isinstance(given, dict) and given and isinstance(shown, dict):
        parts = {key: _differing(value, shown.get(key, _SAME)) for key, value in given.items()}
        return {key: value for key, value in parts.items() if value is not _SAME} or _SAME
    is_same = shown is not _SAME and json.dumps(given, sort_keys=True) == json.dumps(shown, sort_keys=True)
    return _SAME if is_same and _are_steady(given) else given


def _are_steady(value: Any) -> bool:
    if isinstance(value, dict | list):
        return all(_are_steady(item) for item in (value.values() if isinstance(value, dict) else value))
    return not isinstance(value, str) or (is_steady(value) and (address(value) is None or is_steady_address(value)))


def _metadata(own: dict[str, Any] | None, kept: dict[str, Any]) -> dict[str, Any]:
    """Return the entry's own metadata with what is kept beside it, or, where that has no room, around it."""
    if own is None:
        return {"daybook": kept} if kept else {}
    if not kept:
        return own
    if not own or len(own) == MAX_METADATA_KEYS:
        return {"daybook": {**kept, "metadata": own}}
    if "daybook" in own:  # it has been imported before
        kept = {**kept, "metadata": {"daybook": own["daybook"]}}
    return {**own, "daybook": kept}
