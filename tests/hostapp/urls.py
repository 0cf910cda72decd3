"""A tenant's host: Daybook's pages and the host's own."""

from django.urls import path
from rest_framework_simplejwt.views import TokenObtainPairView

from config.urls_tenant import urlpatterns as daybooks
from hostapp import views
from tenants.middleware import outside_unit

urlpatterns = [
    *daybooks,
    path("app/token", views.ByToken.as_view()),
    path("app/jwt", views.ByJwt.as_view()),
    path("app/anybody", views.ByNobody.as_view()),
    path("app/unmarked", views.Unmarked.as_view()),
    path("app/obtain", outside_unit(TokenObtainPairView.as_view())),
    path("app/session", views.by_session),
    path("app/impersonate", views.impersonating),
    path("app/async", views.asynchronously),
]
handler400 = handler403 = handler404 = "config.problems.client_error"
handler500 = "config.problems.server_error"
