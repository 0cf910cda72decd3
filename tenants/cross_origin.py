"""Pages of other origins may read the API with a bearer token, which they must hold; a session never crosses.

No answer allows credentials, so a browser sends no cookie of its own accord and shows nothing that came by one.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers

_READS = ("GET", "HEAD")
_PREFLIGHT = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": ", ".join(_READS),
    "Access-Control-Allow-Headers": "Authorization, If-None-Match, X-Request-ID",
    "Access-Control-Max-Age": "600",
}
_SHOWN = "ETag, RateLimit, RateLimit-Policy, Retry-After, X-Request-ID"


class CrossOrigin:
    """Answers preflights of reads, and tells browsers which pages may see the answer to one. Stands before the gate."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer. A preflight says nothing of who will ask, and so needs no gate."""
        if "Origin" not in request.headers or not request.path_info.startswith("/api/v1/"):
            return self.get_response(request)
        if request.method == "OPTIONS" and request.headers.get("Access-Control-Request-Method", "") in _READS:
            return HttpResponse(status=204, headers=_PREFLIGHT)
        response = self.get_response(request)
        scheme = request.headers.get("Authorization", "").partition(" ")[0].lower()
        if request.method in _READS and scheme == "bearer":
            view = getattr(getattr(request, "caller", None), "view", None)
            response["Access-Control-Allow-Origin"] = view.origin if view and view.origin else "*"
            response["Access-Control-Expose-Headers"] = _SHOWN
            patch_vary_headers(response, ("Origin",))
        return response
