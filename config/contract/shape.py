"""From what drf-spectacular collects to the document that generators of clients understand.

It changes words, names and references, and adds what every operation answers: never what a view says of its input.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from config import problems
from config.contract import words
from config.contract.samples import parameter, sample

Document = dict[str, Any]
Node = dict[str, Any]
_SCHEMAS = "#/components/schemas/"
_PROBLEM = "application/problem+json"
_REFUSED: Node = {"content": {_PROBLEM: {"schema": {"$ref": f"{_SCHEMAS}Problem"}}}}
_HEADER = {name: {"$ref": f"#/components/headers/{name}"} for name in words.HEADERS}
_METHODS = ("get", "put", "post", "delete", "patch")


def without_slash(endpoints: list[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    """Leave out the second spelling of each path, with a trailing slash."""
    return [endpoint for endpoint in endpoints if not endpoint[0].endswith("/")]


def shape(result: Document, **_generator: Any) -> Document:
    """Return the document as it is published (the last hook of drf-spectacular)."""
    _name_components(result)
    _name_enums(result)
    for schema in [*result["components"]["schemas"].values()]:
        _plain(schema)
    _name_parts(result)
    for path, _method, operation in operations(result):
        _say(path, operation)
        _answers(result, operation)
        _examples(result, operation)
    _link(result)
    _introduce(result)
    return result


def operations(document: Document) -> Iterator[tuple[str, str, Node]]:
    """Yield path, method and operation."""
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield path, method, item[method]


def nodes(node: Any) -> Iterator[Node]:
    """Yield every object in a part of the document."""
    if isinstance(node, dict):
        yield node
        for part in node.values():
            yield from nodes(part)
    elif isinstance(node, list):
        for part in node:
            yield from nodes(part)


def _name_components(document: Document) -> None:
    """Name schemas as what they describe: AuditLog, not AuditLogAnswer."""
    schemas = document["components"]["schemas"]
    named = {old: _name(old) for old in schemas}
    for node in nodes(document):
        if str(node.get("$ref", "")).startswith(_SCHEMAS):
            node["$ref"] = _SCHEMAS + named[node["$ref"].removeprefix(_SCHEMAS)]
    # A body of two media types is collected once for each.
    twice = {new for old, new in named.items() if any(schemas[old] != schemas[it] for it in named if named[it] == new)}
    if twice:
        raise ValueError(f"Two schemas would have the same name: {', '.join(sorted(twice))}.")
    document["components"]["schemas"] = dict(sorted((named[old], schema) for old, schema in schemas.items()))


def _name(name: str) -> str:
    return words.NAMES.get(name) or name.removesuffix("Request").removesuffix("Answer")


def _name_enums(document: Document) -> None:
    """Let parameters refer to enums by name, so that clients have one type for each."""
    schemas = document["components"]["schemas"]
    for _path, _method, operation in operations(document):
        for described in operation.get("parameters", ()):
            place = described["schema"].get("items", described["schema"])
            if len(place.get("enum", ())) > 1:
                name, schema = _enum(schemas, described["name"], operation["operationId"], place.pop("enum"))
                schemas[name], place["$ref"] = schema, _SCHEMAS + name
                place.pop("type")
    document["components"]["schemas"] = dict(sorted(schemas.items()))


def _enum(schemas: Node, parameter: str, operation: str, values: list[str]) -> tuple[str, Node]:
    """Return an enum's name and schema: one of our own, else called like its parameter, if need be of the operation."""
    ours = next((it for it in words.ENUMS if {*it} == {*values}), None)
    if ours is not None:
        return ours.__name__, {"description": ours.__doc__, "enum": [*map(str, ours)], "type": "string"}
    schema, name = {"enum": values, "type": "string"}, _title(parameter)
    return (name if schemas.get(name, schema) == schema else _title(f"{operation}_{parameter}")), schema


def _title(name: str) -> str:
    return name.title().replace("_", "")


def _plain(schema: Node) -> None:
    """Leave out what pydantic adds and generators stumble over: titles made of names, and defaults of properties.

    Some take a property that has a default for one that is always there, and refuse to leave it out. A word says it.
    """
    for node in nodes(schema):
        if isinstance(node.get("title"), str):
            del node["title"]
    for described in schema.get("properties", {}).values():
        default = described.pop("default", None)
        if isinstance(default, str | int) and default != "":
            text = described.get("description", "")
            word = default if isinstance(default, str) else json.dumps(default)
            described["description"] = f"{text} Left out: `{word}`.".strip()


def _name_parts(document: Document) -> None:
    """Give each enum and each free-form object of a schema a name of its own, which generators would make up."""
    schemas = document["components"]["schemas"]
    for name, schema in [*schemas.items()]:
        for key, described in schema.get("properties", {}).items():
            own = [described, *described.get("anyOf", ())]
            for part in [*nodes(described)]:
                if len(part.get("enum", ())) > 1:
                    # What stands deeper is one of several.
                    enum = name + _title(key) + ("" if any(part is it for it in own) else "Item")
                    schemas[enum] = {"enum": part.pop("enum"), "type": part.pop("type")}
                    part["$ref"] = _SCHEMAS + enum
                elif _is_free(part):
                    part.pop("type"), part.pop("additionalProperties", None)
                    schemas["JsonObject"], part["$ref"] = words.JSON_OBJECT, f"{_SCHEMAS}JsonObject"
    document["components"]["schemas"] = dict(sorted(schemas.items()))


def _is_free(part: Node) -> bool:
    return part.get("type") == "object" and "properties" not in part and part.get("additionalProperties", True) is True


def _say(path: str, operation: Node) -> None:
    """Say in a line what an operation does, then the rest; under the tag of its path; a key or a session will do."""
    said = operation.get("description", "").strip()
    first = said.partition(". ")[0].partition("\n\n")[0].removesuffix(".")
    rest = said.removeprefix(first).removeprefix(".").strip()
    operation["summary"] = operation.get("summary") or _in_brief(first)
    operation["description"] = rest if rest and operation["summary"] == first else said
    segment = path.removeprefix("/api/v1/").partition("/")[0]
    operation["tags"] = [words.TAG_OF.get(segment, segment)]
    if operation.get("security"):
        operation["security"] = [{"key": []}, {"session": []}]
    for described in operation.get("parameters", ()):
        described.setdefault("description", f"The {described['name'].removesuffix('_id').replace('_', ' ')}'s id.")


def _in_brief(sentence: str) -> str:
    """Return what of a sentence fits a line: up to the last comma that does."""
    while (
        len(sentence) > words.MOST_IN_SUMMARY and (shorter := re.split(r"[,;:](?=[^,;:]*$)", sentence)[0]) != sentence
    ):
        sentence = shorter
    return sentence


def _answers(document: Document, operation: Node) -> None:
    """Add the answers that every operation may give, their headers, and what each status means."""
    answers = operation["responses"]
    for status in words.COMMON:
        answers.setdefault(str(status), _REFUSED)
    retried = any(it["name"] == "Idempotency-Key" for it in operation.get("parameters", ()))
    for status, answer in answers.items():
        if answer.get("content") == _REFUSED["content"]:
            answers[status] = {"$ref": _refusal(document, int(status))}
            continue
        answer["description"] = answer.get("description") or words.STATUSES[int(status)]
        answer["headers"] = {**answer.get("headers", {}), **_headers(int(status))}
        if retried and status < "4":
            answer["headers"]["Idempotency-Replayed"] = _HEADER["Idempotency-Replayed"]
        for kind, media in answer.get("content", {}).items():
            binary = media.get("schema", {}).get("format") == "binary"
            if kind.endswith("json") and not binary and not media.keys() & {"example", "examples"}:
                shown = words.problem(int(status)) if kind == _PROBLEM else None
                media["example"] = shown or sample(document, media.get("schema", {}))
    operation["responses"] = dict(sorted(answers.items()))


def _headers(status: int) -> Node:
    """Return the headers of an answer with a status."""
    names = ["X-Request-ID", *(["Retry-After"] if status in words.LATER else []), "RateLimit", "RateLimit-Policy"]
    return {name: _HEADER[name] for name in names}


def _refusal(document: Document, status: int) -> str:
    """Return where the refusal with a status stands, which is the same everywhere; write it there."""
    if status in words.SERVERS_OWN:
        document["components"].setdefault("responses", {})["UriTooLong"] = {"description": words.STATUSES[status]}
        return "#/components/responses/UriTooLong"
    name = "".join(filter(str.isalpha, problems.title(status).title()))
    refusals = document["components"].setdefault("responses", {})
    if name not in refusals:
        content = {_PROBLEM: {**_REFUSED["content"][_PROBLEM], "example": words.problem(status)}}
        said = f"{words.STATUSES[status]} Codes: {', '.join(f'`{code}`' for code in words.codes(status))}."
        refusals[name] = {"description": said, "headers": _headers(status), "content": content}
    return f"#/components/responses/{name}"


def _examples(document: Document, operation: Node) -> None:
    """Show what is sent."""
    for described in operation.get("parameters", ()):
        if described["in"] == "path" or described.get("required"):
            described["example"] = parameter(document, described)
    if "requestBody" in operation:
        operation["requestBody"]["required"] = any(
            _demands(document, media["schema"]) for media in operation["requestBody"]["content"].values()
        )
    for kind, media in operation.get("requestBody", {}).get("content", {}).items():
        if kind.endswith("json") and not media.keys() & {"example", "examples"}:
            media["example"] = sample(document, media["schema"])


def _demands(document: Document, schema: Node) -> bool:
    """Tell whether a body has to say something: one of which all may be left out may be left out itself."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].removeprefix(_SCHEMAS)]
    return bool(schema.get("required") or schema.get("anyOf"))


def _link(document: Document) -> None:
    """Say how an answer leads on: from a list to one of its entries."""
    for path, method, operation in operations(document):
        one = f"{path}/{{entry_id}}"
        if method == "get" and one in document["paths"]:
            target = document["paths"][one]["get"]["operationId"]
            operation["responses"]["200"]["links"] = {
                "entry": {
                    "operationId": target,
                    "description": "The first of them.",
                    "parameters": {"entry_id": "$response.body#/results/0/id"},
                }
            }


def _introduce(document: Document) -> None:
    used = {operation["tags"][0] for _path, _method, operation in operations(document)}
    document["info"]["description"] = words.introduction()
    document["info"]["license"] = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
    document["servers"] = [{"url": "/", "description": "The host that serves this document."}]
    document["tags"] = [{"name": name, "description": text} for name, text in words.TAGS.items() if name in used]
    document["components"]["headers"] = words.HEADERS
