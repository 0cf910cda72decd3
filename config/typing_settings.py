"""The settings that the type checker's plug-in reads: it imports them, and connects to nothing."""

import os

os.environ.setdefault("DATABASE_URL", "postgresql://app:none@localhost/none")
os.environ.setdefault("MIGRATION_DATABASE_URL", "postgresql://owner:none@localhost/none")
os.environ.setdefault("SECRET_KEY", "only for the type checker, which signs nothing")
os.environ.setdefault("ALLOWED_HOSTS", "localhost")

from config.settings import *  # noqa: F403
