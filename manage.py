#!/usr/bin/env python
"""Entry point. Starts the embedded PostgreSQL when DATABASE_URL is unset, and stops it afterwards."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Run a management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from config.embedded import EmbeddedError, stop  # noqa: PLC0415 - before Django reads its settings
    from config.env import BadSetting  # noqa: PLC0415
    from config.local import prepare  # noqa: PLC0415

    server = None
    try:
        if not any(name in os.environ for name in ("DATABASE_URL", "DATABASE_URL_FILE")):
            server = prepare(Path(__file__).resolve().parent / "var")
        from django.core.management import execute_from_command_line  # noqa: PLC0415

        execute_from_command_line(sys.argv)
    except (BadSetting, EmbeddedError) as error:
        sys.exit(str(error))
    finally:
        if server is not None:
            stop(server)


if __name__ == "__main__":
    main()
