"""The application's name and label."""

from __future__ import annotations

from django.apps import AppConfig


class DocsConfig(AppConfig):
    """Its migrations are made by each worker, for each package adds its own part."""

    name = "bench.capture.peers"
    label = "docs"
    # What django-partitioned-audit reads; no other package knows the name.
    trigger_audit_models = ("Doc",)
