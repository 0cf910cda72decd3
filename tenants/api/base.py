"""What the views of the API share: closed but for their methods, strict about what they are sent, read page by page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from django.db import models
from drf_spectacular.utils import OpenApiParameter
from pydantic import BaseModel, ValidationError
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request
from rest_framework.views import APIView

from tenants.api import wire
from tenants.errors import BadInput, Fault, NotFound

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
            faults.append(
                {"parameter": name, "code": "unknown_parameter", "detail": "There is no such parameter here."}
            )
        elif len(request.query_params.getlist(name)) > 1:
            faults.append({"parameter": name, "code": "repeated", "detail": "This parameter is given too often."})
    if faults:
        raise BadInput(f"{faults[0]['parameter']}: {faults[0]['detail']}", errors=faults)
    return {name: request.query_params[name] for name in request.query_params}


def refuse_replay(request: Request, why: str) -> None:
    """Refuse a request that asks for the answer that was given before, where none is kept. Raises BadInput."""
    if _REPLAY in request.headers:
        detail = f"Not taken here: {why}"
        raise BadInput(f"{_REPLAY}: {detail}", errors=[{"parameter": _REPLAY, "code": "not_taken", "detail": detail}])


def page_of(request: Request, rows: models.QuerySet[Row], shown: Callable[[Row], dict[str, Any]]) -> dict[str, Any]:
    """Return a page of rows, oldest first, each as `shown` shows it; the cursor is the id of the last one on it.

    Raises BadInput.
    """
    said = parameters_of(request, "limit", "cursor")
    limit, after = _limit(said.get("limit", str(DEFAULT_LIMIT))), _cursor(said.get("cursor"))
    found = list((rows.filter(pk__gt=after) if after else rows).order_by("pk")[: limit + 1])
    following = str(found[limit - 1].pk) if len(found) > limit else None
    return {"results": [shown(row) for row in found[:limit]], "next_cursor": following}


def _limit(text: str) -> int:
    known = text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_LIMIT))
    if not (known and 1 <= int(text) <= MAX_LIMIT):
        raise _bad("limit", f"This is a whole number from 1 to {MAX_LIMIT}.")
    return int(text)


def _cursor(text: str | None) -> UUID | None:
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise _bad("cursor", "This cursor was not made here. Begin without one.") from None


def _bad(name: str, detail: str) -> BadInput:
    return BadInput(f"{name}: {detail}", errors=[{"parameter": name, "code": "bad_value", "detail": detail}])


def id_in(text: str) -> UUID:
    """Return the id that stands in a path. Raises NotFound: under what is no id there is nothing."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound from None


def at(pointer: str, code: str, detail: str) -> BadInput:
    """Return the refusal of one field of a body."""
    return BadInput(detail, errors=[{"pointer": pointer, "code": code, "detail": detail}])
