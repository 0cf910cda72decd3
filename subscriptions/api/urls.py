"""The platform's API, for the platform's host alone, and the part of the tenant's API that is about subscriptions."""

from __future__ import annotations

from subscriptions.api import tenant_trail, views
from tenants.api.routes import both

urlpatterns = both("subscription", views.SubscriptionView.as_view())

platform_urlpatterns = [
    *both("plans", views.PlansView.as_view()),
    *both("plans/<str:plan>/change-rates", views.ChangeRatesView.as_view()),
    *both("tenants", views.TenantsView.as_view()),
    *both("tenants/<str:tenant>/subscription", views.TenantSubscriptionView.as_view()),
    *both("tenants/<str:tenant>/subscription/change-plan", views.ChangePlanView.as_view()),
    *both("tenants/<str:tenant>/audit-logs", tenant_trail.TenantLogsView.as_view()),
    *both("tenants/<str:tenant>/audit-logs/stats", tenant_trail.TenantStatsView.as_view()),
    *both("tenants/<str:tenant>/audit-logs/export", tenant_trail.TenantExportView.as_view()),
    *both("tenants/<str:tenant>/audit-logs/<str:entry_id>", tenant_trail.TenantLogView.as_view()),
    *both("platform-logs", views.PlatformLogsView.as_view()),
    *both("platform-logs/<str:entry_id>", views.PlatformLogView.as_view()),
]
