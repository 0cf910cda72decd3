"""The application's name and label."""

from __future__ import annotations

from django.apps import AppConfig


class DocsConfig(AppConfig):
    """The label comes from the module: `docs`."""

    name = "bench.capture.docs"
