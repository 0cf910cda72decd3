"""The host's settings: Daybook's, with the host's own applications and a third-party one in each tenant's schema."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS as DAYBOOKS
from config.settings import SHARED_APPS, TENANT_APPS

TENANT_APPS = [*TENANT_APPS, "hostapp", "rest_framework.authtoken"]
INSTALLED_APPS = [*DAYBOOKS, "hostapp", "rest_framework.authtoken"]
assert not set(SHARED_APPS) & set(TENANT_APPS)
TENANT_URLCONF = "hostapp.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
