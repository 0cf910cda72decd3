"""`manage.py clearsessions`: forget sessions that have expired, through the gate."""

from __future__ import annotations

from typing import Any

from tenants import gate
from tenants.management.base import PlainCommand


class Command(PlainCommand):
    """Forget expired sessions."""

    help = "Delete sessions that have expired. Run it daily."

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete them."""
        gate.clear_sessions()
