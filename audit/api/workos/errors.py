"""Errors as the SDK of WorkOS reads them: `{"message", "code", "errors"}` instead of a problem."""

from __future__ import annotations

from typing import Any

from tenants.errors import BadInput, DomainError, Fault, NotFound, Unprocessable

_ROUTES = ("/audit_logs/", "/organizations/")
# Whose texts the SDKs' users know.
_CODES = {429: "rate_limit_exceeded"}
_MESSAGES = {401: "Unauthorized", 429: "Too many requests."}


class InvalidAuditLogEvent(BadInput):
    """Invalid Audit Log event."""


class ValidationFailed(Unprocessable):
    """Validation failed."""


class OrganizationNotFound(NotFound):
    """Organization not found."""


def covers(path: str) -> bool:
    """Tell whether a path is one of the routes whose errors are told so."""
    return path.startswith(_ROUTES)


def body(error: DomainError) -> dict[str, Any]:
    """Return the document of an error."""
    document: dict[str, Any] = {
        "message": _MESSAGES.get(error.status, error.detail),
        "code": _CODES.get(error.status, error.code),
    }
    if error.errors:
        place = _instance if isinstance(error, InvalidAuditLogEvent) else _field
        document["errors"] = [place(fault) for fault in error.errors]
    return document


def _instance(fault: Fault) -> dict[str, str]:
    """Return a fault of an event that is not what its schema says: the place within the event."""
    return {"instancePath": fault.get("pointer", ""), "code": fault["code"], "message": fault["detail"]}


def _field(fault: Fault) -> dict[str, str]:
    """Return a fault of a request: the field with dots, or the parameter."""
    name = fault.get("parameter") or fault.get("pointer", "").removeprefix("/").replace("/", ".")
    return {"field": name, "code": fault["code"], "message": fault["detail"]}
