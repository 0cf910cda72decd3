"""What Django starts: the recorder of `tenants` is filled in here, and the boot checks are registered."""

from __future__ import annotations

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """The process itself."""

    name = "config"

    def ready(self) -> None:
        """Connect the rooms that may not import each other."""
        from config import checks, recorder, walls  # noqa: F401, PLC0415 - models are loaded now
        from subscriptions import captured, lifecycle, moving  # noqa: F401, PLC0415
        from tenants import provisioning, recording, transfer  # noqa: PLC0415

        recording.fill(recorder.record)
        walls.fill()
        provisioning.on_created.append(lifecycle.begin)
        transfer.register(moving.Subscription())
