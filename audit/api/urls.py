"""The tenant API, version 1: the same paths on a tenant's host and, for a tenant's key, on the platform's.

Each path is answered with and without a trailing slash, and never redirected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import URLPattern, path, register_converter
from django.urls.converters import StringConverter

from audit.api import views


class AnyText(StringConverter):
    """An id as it comes: it may be empty, and hold slashes and line ends."""

    regex = r"[\s\S]*"


register_converter(AnyText, "anytext")


def both(route: str, view: Callable[..., Any]) -> list[URLPattern]:
    """Return the patterns of a route with and without a trailing slash."""
    return [path(route, view), path(f"{route}/", view)]


urlpatterns = [
    *both("audit-logs", views.AuditLogsView.as_view()),
    *both("audit-logs/<str:entry_id>", views.AuditLogView.as_view()),
    *both("resources/<str:resource_type>/<anytext:resource_id>/history", views.ResourceHistoryView.as_view()),
    *both("actors/<anytext:actor>/activity", views.ActorActivityView.as_view()),
]
