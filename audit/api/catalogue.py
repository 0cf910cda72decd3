"""The catalogue of event types over HTTP: read a page of it or one type, declare types, set strict mode."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from pydantic import AwareDatetime, Field, ValidationError, WithJsonSchema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from audit import catalogue, wire
from audit.api import filters, parameters
from audit.api.views import READING, TrailView
from audit.catalogue import EventType
from audit.events import Operation
from tenants.api.base import number, take
from tenants.api.routes import problems
from tenants.api.wire import Answer, Written, rendered
from tenants.errors import Unprocessable
from tenants.permissions import caller_in
from tenants.roles import Right

_MAX_DESCRIPTION = 1000
_MAX_FIELD = 100
_MAX_LANGUAGES = 20
_RIGHTS = {**READING, "PUT": frozenset({Right.ADMINISTER})}
NAME = OpenApiParameter(
    "event_type", OpenApiTypes.STR, OpenApiParameter.PATH, description="The type: an action's name."
)
VERSION = OpenApiParameter("version", OpenApiTypes.INT, description="Of the schema to show. Left out: the current one.")
_EXAMPLE = {
    "description": "An invoice was paid.",
    "metadata_schema": {"type": "object", "properties": {"amount": {"type": "number"}}, "required": ["amount"]},
    "personal": ["card_holder"],
    "sentences": {"en": "{actor} paid {resource}: {metadata.amount}"},
}


class EventTypeAnswer(Answer):
    """An event type. What is not declared has neither versions nor a schema.

    `origin`: `declared` by this tenant, `built_in` (what Daybook itself writes), or `learned` from the trail.
    `first_seen` and `last_seen` are those of the entries kept; null: there is none.
    """

    name: str
    origin: Literal["built_in", "declared", "learned"]
    description: str
    operation: Operation
    version: Annotated[int | None, Field(description="The current version of the schema.")]
    versions: Annotated[list[int], Field(description="All versions that there are.")]
    metadata_schema: Annotated[
        dict[str, Any] | bool | None, Field(description="A JSON Schema (draft 2020-12) of an event's metadata.")
    ]
    personal: Annotated[list[str], Field(description="The fields of `changes` that may have to be erased.")]
    sentences: Annotated[dict[str, str], Field(description="How an entry reads, by language.")]
    first_seen: AwareDatetime | None
    last_seen: AwareDatetime | None


class EventTypePage(Answer):
    """Some event types, by name. `next_cursor` is null on the last page."""

    results: list[EventTypeAnswer]
    next_cursor: str | None
    strict: Annotated[bool, Field(description="Whether events of undeclared types are refused.")]


class EventTypeInput(Written):
    """What a type is. All of it is replaced by what is put; a schema that is new is a new version."""

    description: Annotated[str, Field(max_length=_MAX_DESCRIPTION)] = ""
    metadata_schema: Annotated[Any, WithJsonSchema({"anyOf": [{"type": "object"}, {"type": "boolean"}]})] = {}
    personal: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=_MAX_FIELD)]], Field(max_length=catalogue.MAX_PERSONAL)
    ] = []
    sentences: Annotated[dict[str, str], Field(max_length=_MAX_LANGUAGES)] = {}


class PolicyInput(Written):
    """Whether events of undeclared types are refused."""

    strict: bool


class PolicyAnswer(Answer):
    """Whether events of undeclared types are refused."""

    strict: bool


def _read(model: type[Any], body: Any) -> Any:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise Unprocessable("The body breaks a rule.", errors=wire.faults(error)) from error


def _answer(one: EventType) -> dict[str, Any]:
    return {
        "name": one.name,
        "origin": one.origin,
        "description": one.description,
        "operation": one.operation,
        "version": one.version,
        "versions": list(one.versions or ()),
        "metadata_schema": one.metadata_schema,
        "personal": list(one.personal),
        "sentences": dict(one.sentences),
        "first_seen": None if one.first_seen is None else rendered(one.first_seen),
        "last_seen": None if one.last_seen is None else rendered(one.last_seen),
    }


def _own(request: Request) -> str | None:
    """Return whose actions' types alone a caller may see; None: all."""
    caller = caller_in(request)
    return None if Right.READ_TRAIL in caller.rights else caller.actor.id


class EventTypesView(TrailView):
    """The catalogue of this tenant."""

    http_method_names = ("get", "head", "put")
    rights: ClassVar[dict[str, frozenset[Right]]] = _RIGHTS

    @extend_schema(
        operation_id="events_list",
        parameters=parameters.described({"limit", "cursor"}),
        responses={200: EventTypePage, **problems(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """List the event types that are declared or used, by name. The cursor is the name of the last one shown."""
        asked = filters.read(request.query_params, {"limit", "cursor"})
        found = catalogue.types(after=asked.cursor or "", limit=asked.limit + 1, of_actor=_own(request))
        following = found[asked.limit - 1].name if len(found) > asked.limit else None
        results = [_answer(one) for one in found[: asked.limit]]
        return Response({"results": results, "next_cursor": following, "strict": catalogue.is_strict()})

    @extend_schema(
        operation_id="events_policy",
        request=PolicyInput,
        responses={200: PolicyAnswer, **problems(400, 401, 403, 413, 415, 422)},
        examples=[OpenApiExample("Refuse undeclared types", {"strict": True})],
    )
    def put(self, request: Request) -> Response:
        """Say whether events of undeclared types are refused. The trail shows who changed it."""
        filters.read(request.query_params, ())
        said: PolicyInput = _read(PolicyInput, request.data)
        catalogue.set_strict(strict=said.strict)
        return Response({"strict": said.strict})


class EventTypeView(TrailView):
    """One event type."""

    http_method_names = ("get", "head", "put")
    rights: ClassVar[dict[str, frozenset[Right]]] = _RIGHTS

    @extend_schema(
        operation_id="events_read",
        parameters=[NAME, VERSION],
        responses={200: EventTypeAnswer, **problems(400, 401, 403, 404)},
    )
    def get(self, request: Request, event_type: str) -> Response:
        """Read one event type, with the schema of its current or of another version."""
        sent = request.query_params.copy()
        version = number("version", take(sent, "version"), catalogue.MAX_VERSIONS)
        filters.read(sent, ())
        if "\x00" in event_type:
            event_type = ""
        return Response(_answer(catalogue.type_of(event_type, version=version, of_actor=_own(request))))

    @extend_schema(
        operation_id="events_declare",
        parameters=[NAME],
        request=EventTypeInput,
        responses={200: EventTypeAnswer, 201: EventTypeAnswer, **problems(400, 401, 403, 409, 413, 415, 422)},
        examples=[OpenApiExample("A payment", _EXAMPLE, request_only=True)],
    )
    def put(self, request: Request, event_type: str) -> Response:
        """Declare an event type, or say anew what it is: the same schema is the same version. The trail shows it."""
        filters.read(request.query_params, ())
        said: EventTypeInput = _read(EventTypeInput, request.data)
        one, new = catalogue.declare(
            event_type,
            description=said.description,
            schema=said.metadata_schema,
            personal=said.personal,
            told=said.sentences,
        )
        return Response(_answer(one), status.HTTP_201_CREATED if new else status.HTTP_200_OK)
