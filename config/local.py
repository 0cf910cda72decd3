"""A development installation under `var/`: embedded PostgreSQL, roles, secrets; nothing to configure.

Used when DATABASE_URL is unset. It only fills in environment variables that are not set, so that settings
are read in one way everywhere. DAYBOOK_VAR names another folder than `var`.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from config import embedded
from tenants.bootstrap import bootstrap

DATABASE = "daybook"
HOSTS = "localhost,127.0.0.1,.localhost"


def folder() -> Path:
    """Return the folder of the installation: DAYBOOK_VAR, or `var` in the project."""
    named = os.environ.get("DAYBOOK_VAR")
    return Path(named).resolve() if named else Path(__file__).resolve().parent.parent / "var"


def secret_key(folder: Path) -> str:
    """Return the installation's secret key, made on first use and readable by its owner alone."""
    path = folder / "secret_key"
    if not path.exists() or not path.stat().st_size:
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(50), encoding="utf-8")
    return path.read_text(encoding="utf-8")


def prepare(folder: Path, *, database: str = DATABASE, settings: Mapping[str, str] | None = None) -> embedded.Server:
    """Start the embedded server under `folder`, prepare roles and database, and set the environment."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "postgres").exists():
        sys.stderr.write(f"Making a PostgreSQL server in {folder / 'postgres'} (once, some seconds)\n")
    server = embedded.start(folder / "postgres", settings=settings)
    try:
        owner, app = server.secrets["owner"], server.secrets["app"]
        bootstrap(server.dsn(), database=database, owner_password=owner, app_password=app)
        os.environ.setdefault("DATABASE_URL", server.dsn("daybook_app", app, database))
        os.environ.setdefault("MIGRATION_DATABASE_URL", server.dsn("daybook_owner", owner, database))
        os.environ.setdefault("SECRET_KEY", secret_key(folder))
        os.environ.setdefault("ALLOWED_HOSTS", HOSTS)
    except BaseException:
        embedded.stop(server)
        raise
    return server
