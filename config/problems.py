"""DomainError to RFC 9457 problem+json: the only renderer of errors."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from math import ceil
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import Resolver404
from psycopg.errors import QueryCanceled
from psycopg_pool import PoolTimeout
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.settings import api_settings

from audit.api.workos import errors as workos
from config import metrics
from config.logs import PoolTrouble
from tenants.errors import BadInput, CannotServe, DomainError, Fault, NotFound, NotSignedIn, Refused, TooSlow

log = structlog.get_logger("daybook.problems")

_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


def title(status: int) -> str:
    """Return what a status is called."""
    return _TITLES.get(status, "Error")


def body(error: DomainError) -> dict[str, Any]:
    """Return the problem document of an error."""
    document: dict[str, Any] = {
        "type": f"/api/docs#problem-{error.code}",
        "title": title(error.status),
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
    }
    return document | ({"errors": error.errors} if error.errors else {}) | error.members


def domain_error(error: Exception) -> DomainError:
    """Return the DomainError that stands for any exception; what is unknown is a plain 500 that tells nothing."""
    if isinstance(error, DomainError):
        return error
    if isinstance(error, OperationalError | InterfaceError | PoolTimeout):
        return _from_database(error)
    if isinstance(error, Http404 | PermissionDenied):
        return _from_django(error)
    if isinstance(error, SuspiciousOperation):
        return BadInput(str(error))
    if isinstance(error, exceptions.APIException):
        return _from_drf(error)
    log.error("unexpected_error", exc_info=error)
    return DomainError("Something went wrong here; it was logged under this request's X-Request-ID.")


def _from_database(error: Exception) -> DomainError:
    if isinstance(error.__cause__, QueryCanceled):
        log.warning("query_too_slow", error=reason(error))
        return TooSlow()
    log.error("database_unavailable", error=reason(error))
    return CannotServe()


def reason(error: Exception) -> str:
    """Return in one line why the database cannot be used; a wait in vain alone does not say."""
    text = str(error).strip().partition("\n")[0]
    return f"{text}: {PoolTrouble.reason}" if isinstance(error.__cause__ or error, PoolTimeout) else text


def _from_django(error: Exception) -> DomainError:
    if isinstance(error, Resolver404):
        return NotFound("There is nothing at this path. The API is described at /api/docs.")
    return NotFound() if isinstance(error, Http404) else Refused()


class FrameworkRefusal(DomainError):
    """What the framework refuses before a view runs: a method, a media type, a CSRF token."""

    def __init__(self, error: exceptions.APIException) -> None:
        self.status, self._code = error.status_code, error.default_code
        wait = getattr(error, "wait", None)
        self.headers = {"Retry-After": str(ceil(wait))} if wait else {}
        super().__init__(str(error.detail))

    @property
    def code(self) -> str:
        """The framework's own name of the error."""
        return self._code


def _from_drf(error: exceptions.APIException) -> DomainError:
    if isinstance(error, exceptions.ValidationError):
        return BadInput(errors=[*_faults(error.detail, "")])
    known = {401: NotSignedIn, 404: NotFound}
    return known[error.status_code]() if error.status_code in known else FrameworkRefusal(error)


def _faults(detail: Any, pointer: str) -> Iterator[Fault]:
    """Yield the faults of a serializer, which nests them like the input: by field, by index."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            own = name == api_settings.NON_FIELD_ERRORS_KEY
            yield from _faults(inner, pointer if own else f"{pointer}/{name}")
    elif isinstance(detail, list):
        for number, inner in enumerate(detail):
            # A list of texts is about the place itself, a list of objects about its items.
            yield from _faults(inner, f"{pointer}/{number}" if isinstance(inner, dict | list) else pointer)
    else:
        yield {"pointer": pointer, "code": getattr(detail, "code", "invalid"), "detail": str(detail)}


def _shown(path: str, problem: DomainError) -> tuple[dict[str, Any], str]:
    """Return the document of an error and its media type, as the clients of a path read errors."""
    if workos.covers(path):
        return workos.body(problem), "application/json"
    return body(problem), "application/problem+json"


def render(request: HttpRequest, error: Exception) -> HttpResponse:
    """Return the answer to an error outside DRF (settings.PROBLEM_RENDERER)."""
    problem = domain_error(error)
    metrics.refused(problem.code)
    document, media_type = _shown(request.path, problem)
    return HttpResponse(
        json.dumps(document, separators=(",", ":")),
        status=problem.status,
        content_type=media_type,
        headers=problem.headers,
    )


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """Return the answer to an error in a DRF view (its EXCEPTION_HANDLER)."""
    problem = domain_error(error)
    metrics.refused(problem.code)
    document, media_type = _shown(context["request"].path, problem)
    response = Response(document, status=problem.status, headers=problem.headers, content_type=media_type)
    response.exception = True
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer what no view caught (handler500)."""
    error = sys.exc_info()[1]
    return render(request, error if isinstance(error, Exception) else DatabaseError())


def client_error(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer Django's own 400, 403 and 404 (handler400 and so on)."""
    return render(request, exception)
