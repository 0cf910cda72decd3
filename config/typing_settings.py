"""The settings that the type checker's plug-in reads: it imports them, and connects to nothing."""

import os
import sys
from pathlib import Path

os.environ.setdefault("DATABASE_URL", "postgresql://app:none@localhost/none")
os.environ.setdefault("MIGRATION_DATABASE_URL", "postgresql://owner:none@localhost/none")
os.environ.setdefault("SECRET_KEY", "only for the type checker, which signs nothing")
os.environ.setdefault("ALLOWED_HOSTS", "localhost")
# The host application of the tests has models too.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from hostapp.settings import *  # noqa: F403
