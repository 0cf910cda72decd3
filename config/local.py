"""A development installation under `var/`: embedded PostgreSQL, roles, secrets; nothing to configure.

Used when DATABASE_URL is unset. It only fills in environment variables that are not set, so that settings
are read in one way everywhere. DAYBOOK_VAR names another folder than `var`.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from config import embedded, env
from tenants.bootstrap import bootstrap
from tenants.owner.access import OWNER

DATABASE = "daybook"
HOSTS = "localhost,127.0.0.1,.localhost"
# What `manage.py tenants harden` reads: a superuser's address.
SUPERUSER = "SUPERUSER_DATABASE_URL"


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
        # Not a default: it must be this server's, whatever the environment of the caller says of another one.
        os.environ[SUPERUSER] = server.dsn(database=database)
        os.environ.setdefault("SECRET_KEY", secret_key(folder))
        os.environ.setdefault("ALLOWED_HOSTS", HOSTS)
    except BaseException:
        embedded.stop(server)
        raise
    return server


def migrate() -> None:
    """Bring all tables up to date, and harden the database where a superuser is known, as here."""
    from django.core.management import call_command  # noqa: PLC0415 - Django is started by now

    with open_for_migrations():
        call_command("migrate_schemas", shared=True, verbosity=0)
        call_command("migrate_schemas", tenant=True, verbosity=0)


@contextmanager
def open_for_migrations(say: Callable[[str], object] = lambda _line: None) -> Iterator[None]:
    """Within the block migrations may run; afterwards the database is hardened. Nothing without a superuser's address.

    One that is hardened already is relaxed first if migrations are pending: they may change trails. It is hardened
    again even if the block raises. `say` is told in a line what was done.
    """
    from tenants import hardening, migrator  # noqa: PLC0415 - Django is started by now

    superuser = env.text(SUPERUSER, "")
    version = hardening.version(superuser) if superuser else None
    relaxed = bool(version and any(migrator.plan()))
    if relaxed:
        hardening.relax(superuser, reason="Migrations are pending.")
        say("Relaxed the database: migrations are pending, which may change trails.")
    failed = True
    try:
        yield
        failed = False
    finally:
        if relaxed or (superuser and not failed and version != hardening.own_version()):
            hardening.harden(superuser)
            say("Hardened the database.")


def forget_rights() -> None:
    """Take from this process the logins that serving does not need: the superuser's and the owner's.

    Its workers have neither in their environment, and no way to the owner's connection. For good.
    """
    from django.conf import settings  # noqa: PLC0415 - Django is started by now
    from django.db import connections  # noqa: PLC0415

    for name in (SUPERUSER, "MIGRATION_DATABASE_URL"):
        os.environ.pop(name, None)
        os.environ.pop(f"{name}_FILE", None)
    if OWNER in settings.DATABASES:
        connections[OWNER].close()
        del connections[OWNER]
        del settings.DATABASES[OWNER]
