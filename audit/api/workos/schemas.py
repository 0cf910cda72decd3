"""Schemas of actions as WorkOS has them (of the actor's, each target's and the event's metadata) in the catalogue.

The catalogue has one JSON Schema for an entry's metadata. It is composed so that entries written by any route are held
to it, and what was sent stands in it word for word under a name of its own, to be answered again.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from audit import catalogue, declared
from audit.api.workos.errors import ValidationFailed
from audit.api.workos.wire import BESIDE, Kind
from audit.declared import Version
from tenants.api.wire import Written
from tenants.errors import BadInput, NotFound

# A keyword that no validator knows.
_SENT = "x-workos"
_MAX_TARGETS = 50


class ActorSchema(Written):
    """What an actor's metadata is."""

    metadata: dict[str, Any]


class TargetSchema(Written):
    """What the metadata of targets of a type is."""

    type: Kind
    metadata: dict[str, Any] | None = None


class SchemaBody(Written):
    """The body of POST /audit_logs/actions/{action}/schemas."""

    actor: ActorSchema | None = None
    targets: Annotated[list[TargetSchema], Field(min_length=1, max_length=_MAX_TARGETS)]
    metadata: dict[str, Any] | None = None


def put(action: str, said: SchemaBody) -> Version:
    """Declare an action with a schema, or give it a new one; the same schema is the same version.

    Sentences and personal fields that the catalogue has of it stay. Raises ValidationFailed, Conflict.
    """
    try:
        before = catalogue.type_of(action)
    except NotFound:
        before = catalogue.EventType(name=action, origin="learned")
    kept = before if before.origin == "declared" else catalogue.EventType(name=action, origin="learned")
    try:
        one, _new = catalogue.declare(
            action, description=kept.description, schema=_composed(said), personal=kept.personal, told=kept.sentences
        )
    except BadInput as error:
        raise ValidationFailed(errors=error.errors) from error
    return next(it for it in declared.versions(action) if it.number == one.version)


def sent(schema: Any) -> dict[str, Any]:
    """Return a schema of the catalogue as WorkOS shows it; one that was declared by our own API is of the metadata."""
    if isinstance(schema, dict) and isinstance(schema.get(_SENT), dict):
        found: dict[str, Any] = schema[_SENT]
        return found
    return {"targets": [], "metadata": schema if isinstance(schema, dict) else {}}


def _composed(said: SchemaBody) -> dict[str, Any]:
    word_for_word = said.model_dump(exclude_none=True)
    beside: dict[str, Any] = {"targets": {"items": _targets(said.targets)}}
    if said.actor is not None:
        beside["actor"] = {"properties": {"metadata": said.actor.metadata}}
    composed = {_SENT: word_for_word, "properties": {BESIDE: {"properties": beside}}}
    return composed if said.metadata is None else {**composed, "allOf": [_admitting(said.metadata)]}


def _targets(targets: list[TargetSchema]) -> dict[str, Any]:
    """Return the schema of one target: its type is one of those, its metadata what that type's schema says."""
    rules = [
        {"if": {"properties": {"type": {"const": it.type}}}, "then": {"properties": {"metadata": it.metadata}}}
        for it in targets
        if it.metadata is not None
    ]
    types = {"properties": {"type": {"enum": sorted({it.type for it in targets})}}}
    return {**types, "allOf": rules} if rules else types


def _admitting(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of the event's own metadata that lets pass what an entry has beside them."""
    properties = schema.get("properties", {})
    return {**schema, "properties": {**properties, BESIDE: True}} if isinstance(properties, dict) else schema
