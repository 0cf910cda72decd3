"""`manage.py demo`: migrate, make two demo tenants, serve, and play their history by HTTP. What `make run` runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from config import local, server
from config.demo import company


class Command(BaseCommand):
    """Serve Daybook for trying it out."""

    help = "Migrate, make demo data unless --no-demo, and serve on http://localhost:$PORT until Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --no-demo."""
        parser.add_argument("--no-demo", action="store_true", help="make no demo tenants and play no history")

    def handle(self, *, no_demo: bool, **_options: Any) -> None:
        """Set up step by step, then serve until a signal."""
        port = server.port()
        sockets = server.bind(port)
        server.check()
        self._step("Tables", local.migrate)
        if no_demo:
            server.serve(
                sockets, lambda: self.stdout.write(f"Daybook serves on http://localhost:{port}. Ctrl-C stops it.")
            )
        else:
            self._demo(port, sockets)

    def _demo(self, port: int, sockets: list[Any]) -> None:
        file = local.folder() / "demo.json"
        document = self._step("Demo tenants, people and keys", lambda: company.install(file, port))
        given = {"port": port, "document": document, "people": company.persons(), "file": str(file)}
        player = _Player(json.dumps(given))
        try:
            server.serve(sockets, player.start)
        finally:
            player.stop()

    def _step(self, name: str, work: Any) -> Any:
        """Do one step of the set-up and say how long it took."""
        self.stdout.write(f"{name} ... ", ending="")
        self.stdout.flush()
        began = time.monotonic()
        result = work()
        self.stdout.write(f"{time.monotonic() - began:.1f} s")
        self.stdout.flush()
        return result


class _Player:
    """The program that plays the story. In a session of its own, so that Ctrl-C reaches it through `stop` alone."""

    def __init__(self, given: str) -> None:
        self._given = given
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it; the server listens by now."""
        command = [sys.executable, "-m", "config.demo.play"]
        self._process = subprocess.Popen(
            command, cwd=settings.BASE_DIR, stdin=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        self._process.stdin.write(self._given)
        self._process.stdin.close()

    def stop(self) -> None:
        """End it, if it still runs."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
