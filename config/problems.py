"""DomainError to RFC 9457 problem+json: the only renderer of errors."""

from __future__ import annotations

import json
import sys
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from psycopg_pool import PoolTimeout
from rest_framework import exceptions
from rest_framework.response import Response

from tenants.errors import BadInput, CannotServe, DomainError, NotFound, NotSignedIn, Refused, TooLarge

log = structlog.get_logger("daybook.problems")

_TITLES = {
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    406: "Not Acceptable", 409: "Conflict", 410: "Gone", 413: "Content Too Large", 415: "Unsupported Media Type",
    422: "Unprocessable Content", 429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable",
}


def body(error: DomainError) -> dict[str, Any]:
    """Return the problem document of an error."""
    document: dict[str, Any] = {
        "type": f"/api/docs#problem-{error.code}",
        "title": _TITLES.get(error.status, "Error"),
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
    }
    return {**document, "errors": error.errors} if error.errors else document


def domain_error(error: Exception) -> DomainError:
    """Return the DomainError that stands for any exception; what is unknown is a plain 500 that tells nothing."""
    if isinstance(error, DomainError):
        return error
    if isinstance(error, OperationalError | InterfaceError | PoolTimeout):
        log.error("database_unavailable", error=str(error).strip().split("\n")[0])
        return CannotServe()
    if isinstance(error, Http404):
        return NotFound()
    if isinstance(error, PermissionDenied):
        return Refused()
    if isinstance(error, SuspiciousOperation):
        return BadInput(str(error))
    if isinstance(error, exceptions.APIException):
        return _from_drf(error)
    log.error("unexpected_error", exc_info=error)
    return DomainError("Something went wrong here; it was logged under this request's X-Request-ID.")


def _from_drf(error: exceptions.APIException) -> DomainError:
    known = {401: NotSignedIn, 403: Refused, 404: NotFound, 413: TooLarge}
    made = known.get(error.status_code, BadInput)(str(error.detail))
    made.status = error.status_code
    return made


def render(_request: HttpRequest, error: Exception) -> HttpResponse:
    """Return the answer to an error outside DRF (settings.PROBLEM_RENDERER)."""
    problem = domain_error(error)
    return HttpResponse(
        json.dumps(body(problem)), status=problem.status, content_type="application/problem+json", headers=problem.headers
    )


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """Return the answer to an error in a DRF view (its EXCEPTION_HANDLER)."""
    problem = domain_error(error)
    response = Response(body(problem), status=problem.status, headers=problem.headers, content_type="application/problem+json")
    response.exception = True
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer what no view caught (handler500)."""
    error = sys.exc_info()[1]
    return render(request, error if isinstance(error, Exception) else DatabaseError())


def client_error(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer Django's own 400, 403 and 404 (handler400 and so on)."""
    return render(request, exception)
