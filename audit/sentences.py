"""How an entry reads as a sentence: templates with fixed placeholders, filled from an entry as the API shows it. Pure.

A template is a text with placeholders in braces: `{actor} paid {resource}: {metadata.amount}`. A placeholder is one
of PLACEHOLDERS, or names a value of `metadata` or a side (`old`, `new`) of one of `changes`. Nothing else is looked
up, no code and no format is run, and what is filled in is not read as a template again.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from audit import languages
from audit.vocabulary import BUILT_IN

FALLBACK = "en"
MAX_TEMPLATE = 500
_MAX_VALUE = 200
_MAX_FIELDS = 5
_SUFFIX = ".toml"
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})?")
_BRACES = re.compile(r"\{([^{}]*)\}")
_VALUE = re.compile(r"metadata\.([\w-]{1,100})|changes\.([\w-]{1,100})\.(old|new)")
_PARTS = ("actor", "resource", "impersonator", "target")
PLACEHOLDERS = frozenset(
    {*_PARTS, "action", "operation", "outcome", "description", "fields", "version"}
    | {f"{part}.{name}" for part in _PARTS for name in ("type", "id", "label")}
)
Entry = Mapping[str, Any]


class BadTemplate(ValueError):
    """A template says what cannot be filled in; the message says what."""


def check(template: str) -> None:
    """Make sure that a template can be filled in. Raises BadTemplate."""
    if not template.strip() or len(template) > MAX_TEMPLATE:
        raise BadTemplate(f"A sentence has 1 to {MAX_TEMPLATE} characters.")
    for name in _BRACES.findall(template):
        if name not in PLACEHOLDERS and not _VALUE.fullmatch(name):
            raise BadTemplate(
                f"There is no placeholder {{{name}}}. There are {', '.join(sorted(PLACEHOLDERS))}, "
                "metadata.KEY, changes.FIELD.old and changes.FIELD.new."
            )
    if set("{}") & set(_BRACES.sub("", template)):
        raise BadTemplate("A brace stands alone: braces are there for placeholders only.")


@cache
def shipped() -> frozenset[str]:
    """Return the languages that are shipped, by their tags."""
    names = (file.name for file in files(languages).iterdir())
    return frozenset(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))


@cache
def words(language: str) -> Mapping[str, Mapping[str, str]]:
    """Return what a shipped language says, by section; English for one that is not shipped."""
    known = language if language in shipped() else language.partition("-")[0]
    name = known if known in shipped() else FALLBACK
    return tomllib.loads((files(languages) / f"{name}{_SUFFIX}").read_text(encoding="utf-8"))


def render(entry: Entry, language: str, templates: Mapping[str, str] | None = None) -> str:
    """Return an entry (as the API shows it) as a sentence.

    `templates` are those of its declared type, by language. Where they lack the language, a built-in type's own
    sentence is taken, else theirs in English, else one by what the action does.
    """
    said = words(language)
    template, usual = _template(entry, language, templates or {}, said)
    sentence = _BRACES.sub(lambda match: _filled(entry, match[1], said), template)
    if template.startswith("{actor}") and not (entry.get("impersonator") or entry["actor"])["label"]:
        # A name is left as it is, words in its place begin the sentence.
        sentence = sentence[:1].upper() + sentence[1:]
    if entry["outcome"] == usual:
        return sentence
    around = said["outcomes"].get(entry["outcome"], "{sentence}")
    return around.replace("{sentence}", sentence)


def _template(
    entry: Entry, language: str, own: Mapping[str, str], said: Mapping[str, Mapping[str, str]]
) -> tuple[str, str]:
    """Return the template of an entry, and the outcome that it needs not tell."""
    action = entry["action"]
    for tag in (language, language.partition("-")[0]):
        if tag in own:
            return own[tag], "success"
    if action in BUILT_IN and action in said["types"]:
        return said["types"][action], BUILT_IN[action].outcome
    if FALLBACK in own:
        return own[FALLBACK], "success"
    return said["operations"][entry["operation"]], "success"


def _filled(entry: Entry, name: str, said: Mapping[str, Mapping[str, str]]) -> str:
    """Return what stands for a placeholder; never empty."""
    if match := _VALUE.fullmatch(name):
        return _value(entry, match) or said["words"]["nothing"]
    first, _, part = name.partition(".")
    if part:
        return _clipped((_party(entry, first) or {}).get(part)) or said["words"]["nothing"]
    if first in _WHOLE:
        return _WHOLE[first](entry, said)
    return _clipped(entry.get(first)) or said["words"]["nothing"]


def _party(entry: Entry, name: str) -> Mapping[str, str] | None:
    if name == "target":
        targets = entry["targets"]
        return targets[0] if targets else None
    party: Mapping[str, str] | None = entry.get(name)
    return party


def _actor(entry: Entry, said: Mapping[str, Mapping[str, str]]) -> str:
    actor, by = entry["actor"], entry.get("impersonator")
    name = _who(actor, said)
    if not by:
        return name
    names = {"actor": name, "impersonator": _who(by, said)}
    return _BRACES.sub(lambda match: names[match[1]], said["words"]["impersonated"])


def _who(party: Mapping[str, str], said: Mapping[str, Mapping[str, str]]) -> str:
    return _clipped(party["label"]) or said["actors"].get(party["type"], said["actors"]["other"])


def _impersonator(entry: Entry, said: Mapping[str, Mapping[str, str]]) -> str:
    by = entry.get("impersonator")
    return _who(by, said) if by else said["words"]["nothing"]


def _thing(name: str) -> Callable[[Entry, Mapping[str, Mapping[str, str]]], str]:
    def fill(entry: Entry, said: Mapping[str, Mapping[str, str]]) -> str:
        party = _party(entry, name)
        if party is None:
            return said["words"]["nothing"]
        parts = {part: _clipped(party.get(part)) for part in ("type", "id", "label")}
        if not parts["label"] and not parts["id"]:
            return parts["type"]
        around = said["words"]["labelled" if parts["label"] else "numbered"]
        return _BRACES.sub(lambda match: parts[match[1]], around)

    return fill


def _fields(entry: Entry, said: Mapping[str, Mapping[str, str]]) -> str:
    names = [_clipped(name) for name in entry["changes"] or ()]
    shown = ", ".join(names[:_MAX_FIELDS]) + (", …" if len(names) > _MAX_FIELDS else "")
    return shown or said["words"]["fields"]


_WHOLE: dict[str, Callable[[Entry, Mapping[str, Mapping[str, str]]], str]] = {
    "actor": _actor,
    "impersonator": _impersonator,
    "resource": _thing("resource"),
    "target": _thing("target"),
    "fields": _fields,
}


def _value(entry: Entry, match: re.Match[str]) -> str:
    key, field, side = match.groups()
    if key is not None:
        return _clipped(entry["metadata"].get(key))
    change = (entry["changes"] or {}).get(field)
    return _clipped(change.get(side)) if isinstance(change, dict) else ""


def _clipped(value: Any) -> str:
    """Return a plain value as one short line; what is nested, or nothing, is the empty text."""
    if value is None or isinstance(value, dict | list):
        return ""
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
    line = " ".join(text.split())
    return line if len(line) <= _MAX_VALUE else line[: _MAX_VALUE - 1] + "…"
