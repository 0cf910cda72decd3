#!/usr/bin/env python
"""Entry point. Starts the embedded PostgreSQL when DATABASE_URL is unset, and stops it afterwards.

What a person has to put right (a setting, a database that is down) ends the command with one line, without a
traceback. So does Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import sys

_INTERRUPTED = 130


def main() -> None:
    """Run a management command, to its end or to Ctrl-C."""
    try:
        run()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def run() -> None:
    """Run the command with a database."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda number, _frame: sys.exit(128 + number))
    import psycopg  # noqa: PLC0415 - before Django reads its settings
    from django.db import OperationalError  # noqa: PLC0415

    from config import embedded, env, local  # noqa: PLC0415
    from tenants.errors import DomainError  # noqa: PLC0415

    server = None
    try:
        if not any(name in os.environ for name in ("DATABASE_URL", "DATABASE_URL_FILE")):
            server = local.prepare(local.folder())
        from django.core.management import execute_from_command_line  # noqa: PLC0415

        execute_from_command_line(sys.argv)
    except (env.BadSetting, embedded.EmbeddedError, DomainError) as error:
        sys.exit(str(error))
    except (OperationalError, psycopg.OperationalError) as error:
        reason = " ".join(str(error).split())
        sys.exit(f"The database cannot be used: {reason} See that it runs and that DATABASE_URL is right.")
    finally:
        if server is not None:
            embedded.stop(server)


if __name__ == "__main__":
    main()
