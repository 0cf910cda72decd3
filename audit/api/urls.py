"""The tenant API, version 1: the same paths on a tenant's host and, for a tenant's key, on the platform's.

Each path is answered with and without a trailing slash, and never redirected.
"""

from __future__ import annotations

from django.urls import register_converter
from django.urls.converters import StringConverter

from audit.api import catalogue, exporting, exports, stats, views
from tenants.api.routes import both


class AnyText(StringConverter):
    """An id as it comes: it may be empty, and hold slashes and line ends."""

    regex = r"[\s\S]*"


class Name(StringConverter):
    """A name as it comes, slashes within included."""

    regex = r"[\s\S]*[^/]"


register_converter(AnyText, "anytext")
register_converter(Name, "name")


urlpatterns = [
    *both("audit-logs", views.AuditLogsView.as_view()),
    *both("audit-logs/export", exporting.ExportView.as_view()),
    *both("audit-logs/stats", stats.StatsView.as_view()),
    *both("audit-logs/<str:entry_id>", views.AuditLogView.as_view()),
    *both("events", catalogue.EventTypesView.as_view()),
    *both("events/<name:event_type>", catalogue.EventTypeView.as_view()),
    *both("exports", exports.ExportsView.as_view()),
    *both("exports/<str:export_id>", exports.ExportJobView.as_view()),
    *both("exports/<str:export_id>/file", exports.ExportFileView.as_view()),
    *both("resources/<str:resource_type>/<anytext:resource_id>/history", views.ResourceHistoryView.as_view()),
    *both("actors/<anytext:actor>/activity", views.ActorActivityView.as_view()),
]
