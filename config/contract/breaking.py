"""What a new OpenAPI document would break for clients made of an old one.

A client breaks if what it sends is no longer taken, or if what it gets is no longer what it was promised. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Node = dict[str, Any]
_METHODS = ("get", "put", "post", "delete", "patch")
# Bounds of what may be sent: a larger least and a smaller most refuse what was taken.
_LEAST = ("minimum", "minLength", "minItems", "minProperties")
_MOST = ("maximum", "maxLength", "maxItems", "maxProperties")


def breaks(old: Node, new: Node) -> list[str]:
    """Return what breaks, one line each; nothing if every client of the old document works with the new one."""
    found: list[str] = []
    for path, item in old["paths"].items():
        for method in _METHODS:
            if method in item:
                there = new["paths"].get(path, {}).get(method)
                found += _operation(f"{method.upper()} {path}", _Documents(old, new), item[method], there)
    return found


@dataclass
class _Documents:
    """Both documents, and the pairs of schemas that are being compared: what refers to itself is compared once."""

    old: Node
    new: Node
    under_way: set[tuple[str, str, bool]] = field(default_factory=set)

    def resolve(self, document: Node, node: Node) -> Node:
        while "$ref" in node:
            beside = {key: value for key, value in node.items() if key != "$ref"}
            found: Any = document
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            node = {**found, **beside}
        return node


def _operation(where: str, both: _Documents, old: Node, new: Node | None) -> Iterator[str]:
    if new is None:
        yield f"{where}: it is gone"
        return
    if old["operationId"] != new["operationId"]:
        yield f"{where}: it was {old['operationId']}, and is called {new['operationId']}"
    yield from _parameters(where, both, _by_name(both.old, both, old), _by_name(both.new, both, new))
    yield from _body(where, both, old.get("requestBody"), new.get("requestBody"))
    for status, answer in old["responses"].items():
        if status.startswith("2"):
            yield from _answer(f"{where} {status}", both, answer, new["responses"].get(status))


def _by_name(document: Node, both: _Documents, operation: Node) -> dict[str, Node]:
    described = [both.resolve(document, it) for it in operation.get("parameters", ())]
    return {f"{it['in']} parameter {it['name']}": it for it in described}


def _parameters(where: str, both: _Documents, old: dict[str, Node], new: dict[str, Node]) -> Iterator[str]:
    for name, described in old.items():
        if name not in new:
            yield f"{where}: {name} is gone"
            continue
        yield from _schema(f"{where}: {name}", both, described["schema"], new[name]["schema"], sent=True)
    for name, described in new.items():
        if described.get("required") and not old.get(name, {}).get("required"):
            yield f"{where}: {name} is required now"


def _body(where: str, both: _Documents, old: Node | None, new: Node | None) -> Iterator[str]:
    if new is None or old is None:
        if old is not None:
            yield f"{where}: its body is gone"
        elif new is not None and new.get("required"):
            yield f"{where}: a body is required now"
        return
    if new.get("required") and not old.get("required"):
        yield f"{where}: a body is required now"
    yield from _content(f"{where}: body", both, old, new, sent=True)


def _answer(where: str, both: _Documents, old: Node, new: Node | None) -> Iterator[str]:
    if new is None:
        yield f"{where}: it is no longer answered"
        return
    old, new = both.resolve(both.old, old), both.resolve(both.new, new)
    for name in old.get("headers", {}):
        if name not in new.get("headers", {}):
            yield f"{where}: the header {name} is gone"
    yield from _content(f"{where}: answer", both, old, new, sent=False)


def _content(where: str, both: _Documents, old: Node, new: Node, *, sent: bool) -> Iterator[str]:
    for kind, media in old.get("content", {}).items():
        there = new.get("content", {}).get(kind)
        if there is None:
            yield f"{where} is no longer {kind}"
        elif "schema" in media and "schema" in there:
            yield from _schema(where, both, media["schema"], there["schema"], sent=sent)


def _schema(where: str, both: _Documents, old: Node, new: Node, *, sent: bool) -> Iterator[str]:
    """Yield what breaks between two schemas: each alternative that a client knows must have its counterpart."""
    pair = (str(old.get("$ref")), str(new.get("$ref")), sent)
    if "$ref" in old and "$ref" in new:
        if pair in both.under_way:
            return
        both.under_way.add(pair)
    known, given = _alternatives(both, both.old, old), _alternatives(both, both.new, new)
    # What is sent must still be taken; what is answered must be known.
    wanted, offered = (known, given) if sent else (given, known)
    for one in wanted:
        pairs = [(one, it) if sent else (it, one) for it in offered if _fits(one, it)]
        if not pairs:
            others = " or ".join(map(_type, offered))
            yield (
                f"{where}: {_type(one)} is no longer taken, but {others}"
                if sent
                else (f"{where}: {_type(one)} may be answered now, not only {others}")
            )
            continue
        yield from min(([*_one(where, both, *pair, sent=sent)] for pair in pairs), key=len)
    both.under_way.discard(pair)


def _alternatives(both: _Documents, document: Node, schema: Node) -> list[Node]:
    """Return a schema as the list of what it may be, each of one type or of any."""
    schema = both.resolve(document, schema)
    parts = schema.get("anyOf") or schema.get("oneOf")
    if parts:
        return [one for part in parts for one in _alternatives(both, document, part)]
    if len(schema.get("allOf", ())) == 1:
        return _alternatives(both, document, schema["allOf"][0])
    types = schema.get("type")
    return [{**schema, "type": one} for one in types] if isinstance(types, list) else [schema]


def _one(where: str, both: _Documents, old: Node, new: Node, *, sent: bool) -> Iterator[str]:
    yield from _enum(where, old, new, sent=sent)
    if sent:
        yield from _bounds(where, old, new)
    if "items" in old and "items" in new:
        yield from _schema(f"{where}/items", both, old["items"], new["items"], sent=sent)
    yield from (_sent if sent else _got)(where, both, old, new)


def _type(schema: Node) -> str:
    """Return what a schema is of, in a word or two."""
    found = str(schema.get("type", "anything"))
    return f"{found} ({schema['format']})" if found == "string" and "format" in schema else found


def _fits(narrow: Node, wide: Node) -> bool:
    """Tell whether all that is of the one type is of the other, too."""
    one, other = _type(narrow), _type(wide)
    return other in {one, "anything"} or (one, other) == ("integer", "number") or one.startswith(f"{other} (")


def _enum(where: str, old: Node, new: Node, *, sent: bool) -> Iterator[str]:
    """Yield the words that a client may send and that are refused, or that it may get and does not know."""
    before, now = _words(old), _words(new)
    if sent and now is not None:
        lost = sorted(before - now) if before is not None else sorted(now)
        text = "is no longer taken" if before is not None else "is all that is taken now"
    elif not sent and before is not None:
        lost, text = (sorted(now - before) if now is not None else ["anything"]), "may be answered now"
    else:
        return
    yield from (f"{where}: {word} {text}" for word in lost)


def _words(schema: Node) -> set[str] | None:
    if "const" in schema:
        return {str(schema["const"])}
    return {*map(str, schema["enum"])} if "enum" in schema else None


def _bounds(where: str, old: Node, new: Node) -> Iterator[str]:
    """Yield the bounds that refuse what was taken."""
    tighter: list[tuple[tuple[str, ...], Callable[[Any, Any], bool]]] = [
        (_LEAST, lambda before, now: now > before),
        (_MOST, lambda before, now: now < before),
        (("pattern",), lambda before, now: now != before),
    ]
    for names, worse in tighter:
        for name in names:
            if name in new and (name not in old or worse(old[name], new[name])):
                yield f"{where}: {name} was {old.get(name)}, and is {new[name]}"


def _sent(where: str, both: _Documents, old: Node, new: Node) -> Iterator[str]:
    """Yield what of an object that was taken would be refused."""
    known, now = old.get("properties", {}), new.get("properties", {})
    for name, schema in known.items():
        if name in now:
            yield from _schema(f"{where}/{name}", both, schema, now[name], sent=True)
        elif new.get("additionalProperties") is False:
            yield f"{where}/{name} is no longer taken"
    if new.get("additionalProperties") is False and old.get("additionalProperties") is not False:
        yield f"{where}: only named fields are taken now"
    for name in new.get("required", ()):
        if name not in old.get("required", ()):
            yield f"{where}/{name} is required now"


def _got(where: str, both: _Documents, old: Node, new: Node) -> Iterator[str]:
    """Yield what of an object that was promised is missing."""
    known, now = old.get("properties", {}), new.get("properties", {})
    for name, schema in known.items():
        if name in now:
            yield from _schema(f"{where}/{name}", both, schema, now[name], sent=False)
        else:
            yield f"{where}/{name} is no longer answered"
    for name in old.get("required", ()):
        if name in now and name not in new.get("required", ()):
            yield f"{where}/{name} may be left out now"
