"""`manage.py serve`: the server for production, on HOST and PORT. Needs DATABASE_URL, and not the owner's login."""

from __future__ import annotations

from typing import Any

from config import env, server
from tenants import gate
from tenants.management.base import PlainCommand


class Command(PlainCommand):
    """Serve the application."""

    help = "Serve on HOST (default: this machine alone, 127.0.0.1 and ::1) and PORT (default: 8000) until SIGTERM."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Check that the database answers and is migrated, then serve."""
        sockets = server.bind(server.port(), tuple(env.words("HOST", ",".join(server.LOOPBACK))))
        server.check()
        if not gate.ready():
            raise env.BadSetting("The database is not migrated: run `manage.py upgrade` as its owner first.")
        server.serve(sockets)
