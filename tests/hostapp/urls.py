"""A tenant's host: Daybook's pages and the host's own."""

from config.urls_tenant import urlpatterns as daybooks
from django.urls import path

urlpatterns = [*daybooks]
