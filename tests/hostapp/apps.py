"""The host's application."""

from django.apps import AppConfig, apps


class HostappConfig(AppConfig):
    """Where a package's models are captured: once all models are there."""

    name = "hostapp"

    def ready(self) -> None:
        """Capture the tokens of a third-party package; the migrations that install it are the host's."""
        from audit.capture import register

        token = apps.get_model("authtoken", "Token")
        register(token, resource_type="token", resource_id="user", mask=("key",), app="hostapp")
