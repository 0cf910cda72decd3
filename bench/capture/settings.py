"""The project's settings, and the application whose model is captured among those of the tenants."""

from __future__ import annotations

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS as _INSTALLED
from config.settings import TENANT_APPS as _TENANTS

TENANT_APPS = [*_TENANTS, "bench.capture.docs"]
INSTALLED_APPS = [*_INSTALLED, "bench.capture.docs"]
