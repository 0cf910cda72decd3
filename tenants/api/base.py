"""What the views of the API share: closed but for their methods, strict about what they are sent, read page by page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from django.db import models
from django.http import QueryDict
from drf_spectacular.utils import OpenApiParameter
from pydantic import BaseModel, ValidationError
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request
from rest_framework.views import APIView

from tenants.api import wire
from tenants.errors import BadInput, Fault, NotFound, bad_parameter, bad_parameters, parameter_fault

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
_REPLAY = "Idempotency-Key"
_CURSOR = len(str(UUID(int=0)))
PAGING = [
    OpenApiParameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        description="How many at most.",
    ),
    OpenApiParameter(
        "cursor",
        {"type": "string", "minLength": 1, "maxLength": _CURSOR},
        description="The `next_cursor` of a page: what comes after it.",
    ),
]
Body = TypeVar("Body", bound=BaseModel)
Row = TypeVar("Row", bound=models.Model)


class ClosedView(APIView):
    """A view that refuses a method it does not offer before it asks who calls."""

    http_method_names: Sequence[str] = ("get", "head", "post")

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse a method that nobody may use as such."""
        method = (request.method or "").lower()
        if method not in self.http_method_names or not hasattr(self, method):
            raise MethodNotAllowed(request.method or "")
        super().initial(request, *args, **kwargs)


def body_of(request: Request, model: type[Body]) -> Body:
    """Return what the body of a request says. Raises BadInput, which points at each fault."""
    try:
        return model.model_validate(request.data)
    except ValidationError as error:
        raise BadInput("The body breaks a rule.", errors=wire.faults(error)) from error


def parameters_of(request: Request, *allowed: str) -> dict[str, str]:
    """Return the query parameters of a request, each given once. Raises BadInput, which names each that is not so."""
    faults: list[Fault] = []
    for name in request.query_params:
        if name not in allowed:
            faults.append(unknown_parameter(name))
        elif len(request.query_params.getlist(name)) > 1:
            faults.append(repeated(name))
    if faults:
        raise bad_parameters(faults)
    return {name: request.query_params[name] for name in request.query_params}


def take(sent: QueryDict, name: str) -> str | None:
    """Take a parameter out of those sent; None: it is not given. Raises BadInput if it is given twice."""
    values = sent.pop(name, [])
    if len(values) > 1:
        raise bad_parameters([repeated(name)])
    return str(values[0]) if values else None


def unknown_parameter(name: str) -> Fault:
    """Return what is wrong with a parameter that there is not."""
    return parameter_fault(name, "There is no such parameter here.", "unknown_parameter")


def repeated(name: str) -> Fault:
    """Return what is wrong with a parameter that is given more often than it may be."""
    return parameter_fault(name, "This parameter is given too often.", "repeated")


def whole(most: int) -> Callable[[str], int]:
    """Return the reader of a whole number from 1 to `most`; what has more digits is not computed."""

    def read(value: str) -> int:
        if not (value.isascii() and value.isdecimal() and len(value) <= len(str(most)) and 1 <= int(value) <= most):
            raise ValueError(f"This is a whole number from 1 to {most}.")
        return int(value)

    return read


def number(name: str, text: str | None, most: int) -> int | None:
    """Return the whole number from 1 to `most` that a parameter says; None: it is not given. Raises BadInput."""
    try:
        return None if text is None else whole(most)(text)
    except ValueError as error:
        raise bad_parameter(name, str(error)) from error


def refuse_replay(request: Request, why: str) -> None:
    """Refuse a request that asks for the answer that was given before, where none is kept. Raises BadInput."""
    if _REPLAY in request.headers:
        raise bad_parameter(_REPLAY, f"Not taken here: {why}", "not_taken")


def page_of(request: Request, rows: models.QuerySet[Row], shown: Callable[[Row], dict[str, Any]]) -> dict[str, Any]:
    """Return a page of rows, oldest first, each as `shown` shows it; the cursor is the id of the last one on it.

    Raises BadInput.
    """
    said = parameters_of(request, "limit", "cursor")
    limit, after = number("limit", said.get("limit"), MAX_LIMIT) or DEFAULT_LIMIT, _cursor(said.get("cursor"))
    found = list((rows.filter(pk__gt=after) if after else rows).order_by("pk")[: limit + 1])
    following = str(found[limit - 1].pk) if len(found) > limit else None
    return {"results": [shown(row) for row in found[:limit]], "next_cursor": following}


def _cursor(text: str | None) -> UUID | None:
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise bad_parameter("cursor", "This cursor was not made here. Begin without one.") from None


def id_in(text: str) -> UUID:
    """Return the id that stands in a path. Raises NotFound: under what is no id there is nothing."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound from None


def at(pointer: str, code: str, detail: str) -> BadInput:
    """Return the refusal of one field of a body."""
    return BadInput(detail, errors=[{"pointer": pointer, "code": code, "detail": detail}])
