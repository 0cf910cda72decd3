"""What the routes of the API share: both spellings of a path, and the refusals that an endpoint documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import URLPattern, path
from pydantic import BaseModel

PROBLEM = "application/problem+json"


class FaultAnswer(BaseModel):
    """One thing that is wrong: where (a JSON pointer into the body, or a query parameter), which rule, in words."""

    pointer: str = ""
    parameter: str = ""
    code: str
    detail: str


class Problem(BaseModel):
    """An error (RFC 9457). `errors` lists what is wrong with the input."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FaultAnswer] = []


def both(route: str, view: Callable[..., Any]) -> list[URLPattern]:
    """Return the patterns of a route with and without a trailing slash."""
    return [path(route, view), path(f"{route}/", view)]


def problems(*statuses: int) -> dict[Any, Any]:
    """Return the refusals of an endpoint as the OpenAPI document shows them. All may come too often, or be slow."""
    return {(code, PROBLEM): Problem for code in (*statuses, 429, 503)}
