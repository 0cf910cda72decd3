"""What breaks a client is told, each kind of it; what does not is not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from servers import ROOT

from config.contract.breaking import breaks

Node = dict[str, Any]
DOCUMENT: Node = {
    "paths": {
        "/things": {
            "get": {
                "operationId": "things_list",
                "parameters": [
                    {"$ref": "#/components/parameters/Limit"},
                    {"in": "query", "name": "order", "schema": {"$ref": "#/components/schemas/Order"}},
                ],
                "responses": {
                    "200": {
                        "headers": {"ETag": {"schema": {"type": "string"}}},
                        "content": {
                            "application/json": {
                                "schema": {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}}
                            }
                        },
                    },
                    "400": {"content": {"application/problem+json": {"schema": {"type": "object"}}}},
                },
            },
            "post": {
                "operationId": "things_write",
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ThingInput"}}}
                },
                "responses": {"201": {"$ref": "#/components/responses/Written"}},
            },
        }
    },
    "components": {
        "parameters": {"Limit": {"in": "query", "name": "limit", "schema": {"type": "integer", "maximum": 100}}},
        "responses": {"Written": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}}},
        "schemas": {
            "Order": {"type": "string", "enum": ["asc", "desc"]},
            "Thing": {
                "type": "object",
                "required": ["id", "part"],
                "properties": {
                    "id": {"type": "string"},
                    "size": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                    "kind": {"type": "string", "enum": ["a", "b"]},
                    "part": {"$ref": "#/components/schemas/Thing"},
                    "at": {"type": "string", "format": "date-time"},
                },
            },
            "ThingInput": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "minLength": 1, "maxLength": 10},
                    "kind": {"anyOf": [{"$ref": "#/components/schemas/Order"}, {"type": "null"}]},
                    "count": {"type": "integer"},
                    "any": {},
                },
            },
        },
    },
}
LIST, WRITE = "GET /things", "POST /things"
BODY = f"{WRITE}: body"


def place(document: Node, path: str) -> Node:
    """Return an object of the document by its keys; `~` in a key stands for a slash."""
    found: Any = document
    for key in path.split("/"):
        found = found[int(key)] if isinstance(found, list) else found[key.replace("~", "/")]
    return found  # type: ignore[no-any-return]


def without(path: str, key: str) -> Callable[[Node], Any]:
    return lambda document: place(document, path).pop(key)


def having(path: str, **words: Any) -> Callable[[Node], Any]:
    return lambda document: place(document, path).update(words)


def instead(path: str, key: str, schema: Any) -> Callable[[Node], Any]:
    return lambda document: place(document, path).__setitem__(key, schema)


GET, POST = "paths/~things/get", "paths/~things/post"
THING, INPUT = "components/schemas/Thing/properties", "components/schemas/ThingInput/properties"
WANTED = {"in": "query", "name": "why", "required": True, "schema": {"type": "string"}}
BREAKS: dict[str, tuple[Callable[[Node], Any], str]] = {
    "a path is gone": (without("paths", "/things"), f"{LIST}: it is gone"),
    "an operation is gone": (without("paths/~things", "post"), f"{WRITE}: it is gone"),
    "an operation has another name": (
        having(GET, operationId="things"),
        f"{LIST}: it was things_list, and is called things",
    ),
    "a parameter is gone": (instead(GET, "parameters", []), f"{LIST}: query parameter limit is gone"),
    "a parameter is new and required": (
        lambda document: place(document, GET)["parameters"].append(WANTED),
        f"{LIST}: query parameter why is required now",
    ),
    "a parameter is required now": (
        having("components/parameters/Limit", required=True),
        f"{LIST}: query parameter limit is required now",
    ),
    "a parameter has another type": (
        having("components/parameters/Limit/schema", type="string"),
        f"{LIST}: query parameter limit: integer is no longer taken, but string",
    ),
    "a bound is tighter": (
        having("components/parameters/Limit/schema", maximum=50),
        f"{LIST}: query parameter limit: maximum was 100, and is 50",
    ),
    "a bound is new": (
        having("components/parameters/Limit/schema", minimum=1),
        f"{LIST}: query parameter limit: minimum was None, and is 1",
    ),
    "a pattern is new": (having(f"{INPUT}/name", pattern="^x"), f"{BODY}/name: pattern was None, and is ^x"),
    "a text is to be longer": (having(f"{INPUT}/name", minLength=2), f"{BODY}/name: minLength was 1, and is 2"),
    "a word that was sent is refused": (
        having("components/schemas/Order", enum=["asc"]),
        f"{LIST}: query parameter order: desc is no longer taken",
    ),
    "only some words may be sent": (having(f"{INPUT}/name", enum=["x"]), f"{BODY}/name: x is all that is taken now"),
    "null is refused": (
        instead(INPUT, "kind", {"$ref": "#/components/schemas/Order"}),
        f"{BODY}/kind: null is no longer taken, but string",
    ),
    "a field is refused": (without(INPUT, "count"), f"{BODY}/count is no longer taken"),
    "a field is required": (
        having("components/schemas/ThingInput", required=["name", "count"]),
        f"{BODY}/count is required now",
    ),
    "anything was taken": (instead(INPUT, "any", {"type": "string"}), f"{BODY}/any: anything is no longer taken, but"),
    "the body is gone": (without(POST, "requestBody"), f"{WRITE}: its body is gone"),
    "a body is required": (having(f"{POST}/requestBody", required=True), f"{WRITE}: a body is required now"),
    "the body has another type": (
        instead(f"{POST}/requestBody", "content", {"text/csv": {}}),
        f"{WRITE}: body is no longer application/json",
    ),
    "an answer is gone": (without(f"{POST}/responses", "201"), f"{WRITE} 201: it is no longer answered"),
    "a header is gone": (instead(f"{GET}/responses/200", "headers", {}), f"{LIST} 200: the header ETag is gone"),
    "the answer has another type": (
        instead("components/responses/Written", "content", {"text/csv": {}}),
        f"{WRITE} 201: answer is no longer application/json",
    ),
    "a field of the answer is gone": (without(THING, "id"), f"{LIST} 200: answer/items/id is no longer answered"),
    "a field of the answer may be missing": (
        having("components/schemas/Thing", required=["part"]),
        f"{LIST} 200: answer/items/id may be left out now",
    ),
    "a field of the answer may be null": (
        having(f"{THING}/id", type=["string", "null"]),
        f"{LIST} 200: answer/items/id: null may be answered now, not only string",
    ),
    "a field of the answer is no time any more": (
        without(f"{THING}/at", "format"),
        f"{LIST} 200: answer/items/at: string may be answered now, not only string (date-time)",
    ),
    "a word may be answered that no client knows": (
        having(f"{THING}/kind", enum=["a", "b", "c"]),
        f"{LIST} 200: answer/items/kind: c may be answered now",
    ),
    "any word may be answered": (
        without(f"{THING}/kind", "enum"),
        f"{LIST} 200: answer/items/kind: anything may be answered now",
    ),
}


@pytest.mark.parametrize("kind", [*BREAKS])
def test_each_kind_of_break_is_told_with_its_place(kind: str) -> None:
    change, expected = BREAKS[kind]
    new = copy.deepcopy(DOCUMENT)
    change(new)
    found = breaks(DOCUMENT, new)
    assert any(line.startswith(expected) for line in found), found


def test_other_fields_that_were_taken_are_refused() -> None:
    old = copy.deepcopy(DOCUMENT)
    del old["components"]["schemas"]["ThingInput"]["additionalProperties"]
    assert breaks(old, DOCUMENT) == [f"{BODY}: only named fields are taken now"]


HARMLESS: dict[str, Callable[[Node], Any]] = {
    "nothing": lambda _document: None,
    "a path": instead("paths", "/others", {"get": {"operationId": "others", "responses": {}}}),
    "a parameter that may be left out": lambda document: place(document, GET)["parameters"].append(
        WANTED | {"required": False}
    ),
    "a wider bound": having("components/parameters/Limit/schema", maximum=1000),
    "no bound": without("components/parameters/Limit/schema", "maximum"),
    "a word that may be sent": having("components/schemas/Order", enum=["asc", "desc", "random"]),
    "a wider type that may be sent": having(f"{INPUT}/count", type="number"),
    "a field that may be sent": instead(INPUT, "more", {"type": "string"}),
    "a field that need not be sent": having("components/schemas/ThingInput", required=[]),
    "a field of the answer": instead(THING, "more", {"type": "string"}),
    "a field of the answer that is always there": having("components/schemas/Thing", required=["id", "part", "size"]),
    "a narrower answer": instead(THING, "size", {"type": "integer"}),
    "a word that is never answered": having(f"{THING}/kind", enum=["a"]),
    "a refusal": instead(f"{GET}/responses", "409", {"description": "No."}),
    "no more refusals": without(f"{GET}/responses", "400"),
    "another success": instead(f"{POST}/responses", "202", {"description": "Later."}),
    "a description": having(f"{THING}/id", description="An id."),
}


@pytest.mark.parametrize("kind", [*HARMLESS])
def test_what_is_added_or_taken_more_widely_breaks_nothing(kind: str) -> None:
    new = copy.deepcopy(DOCUMENT)
    HARMLESS[kind](new)
    assert breaks(DOCUMENT, new) == []


@pytest.mark.parametrize("name", ["tenant", "platform"])
def test_the_documents_break_no_client_of_the_last_release(name: str) -> None:
    folder = ROOT / "docs" / "openapi"
    released, now = (json.loads((at / f"{name}.json").read_bytes()) for at in (folder / "released", folder))
    found = breaks(released, now)
    assert not found, "\n".join([*found, "A new version of the API may do that: manage.py docs --release accepts it."])


@pytest.mark.parametrize("name", ["tenant", "platform"])
def test_every_operation_of_the_documents_would_be_missed(name: str) -> None:
    document = json.loads((ROOT / "docs" / "openapi" / f"{name}.json").read_bytes())
    gone = breaks(document, {"paths": {}, "components": {}})
    assert len(gone) == sum(len(item) for item in document["paths"].values())
    assert breaks(document, document) == []
