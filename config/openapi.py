"""The OpenAPI document of each host and the page to read it, for anyone; assets are served from here."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiJsonRenderer2, OpenApiYamlRenderer
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class CallerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How callers prove who they are: a key, or the session of a signed-in browser."""

    target_class = "tenants.authentication.CallerAuthentication"
    name = ["key", "session"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, str]]:
        """Return both schemes."""
        return [
            {"type": "http", "scheme": "bearer", "description": "A key of a tenant, or a token of platform staff."},
            {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME},
        ]


@cache
def document(urlconf: str) -> dict[str, Any]:
    """Return the OpenAPI document of what a host with these URLs offers."""
    generator = SchemaGenerator(urlconf=urlconf)  # type: ignore[no-untyped-call]
    made: dict[str, Any] = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return made


class SchemaView(APIView):
    """The OpenAPI document of this host, as JSON or, if asked for, YAML."""

    http_method_names = ("get", "head")
    authentication_classes = ()
    permission_classes = ()
    renderer_classes = (OpenApiJsonRenderer2, OpenApiJsonRenderer, OpenApiYamlRenderer)

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        """Return the document."""
        return Response(document(urlconf_of(request._request)))  # noqa: SLF001 - DRF wraps Django's request


class DocsView(SpectacularSwaggerView):
    """The page to read it."""

    http_method_names = ("get", "head")
    authentication_classes = ()
    permission_classes = ()
    url = "/api/schema"


def urlconf_of(request: HttpRequest) -> str:
    """Return the URLs of the host that a request came to."""
    return str(getattr(request, "urlconf", None) or settings.ROOT_URLCONF)
