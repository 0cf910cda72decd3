"""Before Django starts: `python -m config.database wait NAME` and `python -m config.database roles`.

`wait` returns once the PostgreSQL of the URL in NAME takes connections, whoever asks; after DATABASE_WAIT seconds
(60) it gives up. `roles` is an administrator's work: it makes roles and database, and gives both logins the
passwords that their URLs hold. It may be run again, and so also sets new passwords.
"""

from __future__ import annotations

import sys
import time

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from config import env
from tenants.bootstrap import bootstrap

_ADMIN = "ADMIN_DATABASE_URL"
_PAUSE = 0.5


def address(name: str) -> str:
    """Return the connection string of the URL in a setting. Raises BadSetting."""
    said = env.database(name)
    where = {"host": said["HOST"], "port": said["PORT"], "user": said["USER"], "password": said["PASSWORD"]}
    options = said["OPTIONS"]
    assert isinstance(options, dict)  # noqa: S101 - as `env.database` says
    return make_conninfo(
        dbname=str(said["NAME"]), **{key: str(value) for key, value in where.items() if value}, **options
    )


def wait(name: str) -> None:
    """Wait until the server takes connections. Raises BadSetting, also where it does not within DATABASE_WAIT."""
    conninfo, patience = address(name).encode(), env.whole("DATABASE_WAIT", 60)
    deadline = time.monotonic() + patience
    while PGconn.ping(conninfo) != Ping.OK:
        if time.monotonic() >= deadline:
            raise env.BadSetting(
                f"The PostgreSQL that {name} names took no connection within {patience} s: see that it runs and that "
                "the address is right, or raise DATABASE_WAIT."
            )
        time.sleep(_PAUSE)


def roles() -> None:
    """Make roles and database, and set the passwords of both logins. Raises BadSetting, psycopg.Error."""
    prefix = env.text("DATABASE_ROLE_PREFIX", "daybook")
    owner, app = _login("MIGRATION_DATABASE_URL", f"{prefix}_owner"), _login("DATABASE_URL", f"{prefix}_app")
    if owner["NAME"] != app["NAME"]:
        raise env.BadSetting("DATABASE_URL and MIGRATION_DATABASE_URL name different databases: they share one.")
    made = bootstrap(
        address(_ADMIN),
        database=app["NAME"],
        owner_password=owner["PASSWORD"],
        app_password=app["PASSWORD"],
        prefix=prefix,
    )
    with psycopg.connect(address(_ADMIN), autocommit=True) as connection:
        for login in (owner, app):
            # Hashed here: the server and its log never see the password itself.
            connection.pgconn.change_password(login["USER"].encode(), login["PASSWORD"].encode())
    sys.stdout.write(
        f"The database {app['NAME']} {'was made' if made else 'is there'}, its logins have their passwords.\n"
    )


def _login(name: str, user: str) -> dict[str, str]:
    """Return the parts of a login's URL. Raises BadSetting where it is another login's, or has no password."""
    said = {key: str(value) for key, value in env.database(name).items()}
    if said["USER"] != user:
        raise env.BadSetting(f"{name} names the login {said['USER']!r}, but this one is called {user}.")
    if not said["PASSWORD"]:
        raise env.BadSetting(f"{name} holds no password: its login could not be given one.")
    return said


def main(arguments: list[str]) -> None:
    """Run one verb; what has to be put right ends it with one line."""
    try:
        match arguments:
            case ["wait", name]:
                wait(name)
            case ["roles"]:
                roles()
            case _:
                sys.exit("usage: python -m config.database wait NAME | roles")
    except (env.BadSetting, psycopg.Error) as error:
        sys.exit(" ".join(str(error).split()))


if __name__ == "__main__":
    main(sys.argv[1:])
