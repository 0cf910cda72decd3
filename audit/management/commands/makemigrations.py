"""`manage.py makemigrations`: Django's, which also writes what is captured of each model."""

from __future__ import annotations

from django.core.checks import Tags
from django.core.management.commands import makemigrations

from audit.capture.detection import Autodetector


class Command(makemigrations.Command):
    """Django's command with the autodetector that knows of capture."""

    autodetector = Autodetector
    # Not the one that says that this command should be run.
    requires_system_checks = [Tags.models]
