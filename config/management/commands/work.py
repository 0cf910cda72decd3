"""`manage.py work`: run what runs in the background in a process of its own, for servers with BACKGROUND_JOBS=off."""

from __future__ import annotations

import threading
from typing import Any

from config import jobs
from tenants.management.base import PlainCommand


class Command(PlainCommand):
    """Run the jobs of the schedule."""

    help = "Run background jobs (positions, words, exports) until SIGTERM. Any number of these may run."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Run until a signal ends the process."""
        engine = jobs.Engine(jobs.schedule())
        engine.start()
        self.stdout.write("Running. Ctrl-C or SIGTERM ends it.")
        try:
            threading.Event().wait()
        finally:
            engine.stop()
