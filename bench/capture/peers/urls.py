"""The one address: some packages resolve a request's path to name its view."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path


def documents(_request: HttpRequest) -> HttpResponse:
    """Stand for the view: the worker calls the middleware with what it measures instead."""
    return HttpResponse()


urlpatterns = [path("documents/", documents, name="documents")]
