"""The platform's host: platform API, staff admin, and the tenants' API for their keys."""

from django.urls import path

from config import health

urlpatterns = [path("healthz", health.healthz), path("readyz", health.readyz)]
handler400 = handler403 = handler404 = "config.problems.client_error"
handler500 = "config.problems.server_error"
