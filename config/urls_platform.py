"""The platform's host: platform API, staff admin, and the tenants' API for their keys."""

from django.urls import include, path
from django.views.generic import RedirectView

from config import health, openapi
from subscriptions.admin import site
from subscriptions.api.urls import platform_urlpatterns
from tenants.api.identity_provider import IdentityProviderView
from tenants.api.routes import both

urlpatterns = [
    *both("healthz", health.healthz),
    *both("readyz", health.readyz),
    *both("metrics", health.metrics_text),
    *both("api/schema", openapi.SchemaView.as_view()),
    *both("api/docs", openapi.DocsView.as_view()),
    path("api/v1/", include("audit.api.urls")),
    path("api/v1/", include("subscriptions.api.urls")),
    path("", include("audit.api.workos.urls")),
    *both("api/v1/identity-provider", IdentityProviderView.as_view()),
    path("api/v1/", include("tenants.api.urls")),
    path("api/v1/platform/", include(platform_urlpatterns)),
    path("accounts/", include("tenants.accounts.urls")),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", site.urls),
]
handler400 = handler403 = handler404 = "config.problems.client_error"
handler500 = "config.problems.server_error"
