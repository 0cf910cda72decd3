"""`manage.py work`: run what runs in the background in a process of its own, for servers with BACKGROUND_JOBS=off."""

from __future__ import annotations

import signal
import threading
from typing import Any

from config import jobs
from tenants.management.base import PlainCommand


class Command(PlainCommand):
    """Run the jobs of the schedule."""

    help = "Run background jobs (positions, words, exports) until SIGTERM. Any number of these may run."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Run until a signal ends the process."""
        over = threading.Event()
        # Also where whoever started it ignores Ctrl-C, as a shell does for what runs in its background.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda _number, _frame: over.set())
        engine = jobs.Engine(jobs.schedule())
        engine.start()
        self.stdout.write("Running. Ctrl-C or SIGTERM ends it.")
        over.wait()
        engine.stop()
