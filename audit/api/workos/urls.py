"""The routes of WorkOS, on any host, at the root: as its SDKs ask for them."""

from __future__ import annotations

from audit.api.workos import views
from tenants.api.routes import both

urlpatterns = [
    *both("audit_logs/events", views.EventsView.as_view()),
    *both("audit_logs/exports", views.ExportsView.as_view()),
    *both("audit_logs/exports/<str:export_id>", views.ExportView.as_view()),
    *both("audit_logs/actions", views.ActionsView.as_view()),
    *both("audit_logs/actions/<anytext:action>/schemas", views.SchemasView.as_view()),
    *both("organizations/<str:organization>/audit_logs_retention", views.RetentionView.as_view()),
    *both("organizations/<str:organization>/audit_log_configuration", views.ConfigurationView.as_view()),
]
