"""The outermost middleware: request id, log line, figures."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponseBase

from config import metrics

_SAFE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
log = structlog.get_logger("daybook.request")


def request_id(sent: str) -> str:
    """Return the id of a request: the one that it was sent with, if that is harmless, or a new one."""
    return sent if _SAFE_ID.fullmatch(sent) else uuid.uuid4().hex


class RequestLog:
    """Gives each request an id (the caller's `X-Request-ID` if it is harmless), answers it, logs one line."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer, and log."""
        request.id = request_id(request.headers.get("X-Request-ID", ""))  # type: ignore[attr-defined]
        began = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request.id):  # type: ignore[attr-defined]
            response = self.get_response(request)
            response["X-Request-ID"] = request.id  # type: ignore[attr-defined]
            seconds = time.perf_counter() - began
            metrics.answered(request, response.status_code, seconds)
            self._log(request, response, seconds)
        return response

    @staticmethod
    def _log(request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
        caller = getattr(request, "caller", None)
        log.info(
            "request",
            method=request.method,
            path=request.path,
            status=response.status_code,
            ms=round(seconds * 1000, 1),
            tenant=caller.tenant.slug if caller and caller.tenant else None,
            actor=f"{caller.actor.type}:{caller.actor.id}" if caller else None,
        )
