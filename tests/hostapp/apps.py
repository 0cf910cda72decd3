"""The host's application."""

from django.apps import AppConfig


class HostappConfig(AppConfig):
    """Where a package's models are captured: once all models are there."""

    name = "hostapp"

    def ready(self) -> None:
        """Capture the tokens of a third-party package; the migrations that install it are the host's."""
        from audit.capture import register

        register(
            self.apps.get_model("authtoken", "Token"),
            resource_type="token",
            resource_id="user",
            mask=("key",),
            app="hostapp",
        )  # type: ignore[union-attr]
