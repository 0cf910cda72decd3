"""Typed readers of environment variables.

Each reads NAME, or the file that NAME_FILE names (for secrets kept in files). A wrong or missing value
raises `BadSetting`, whose message names the variable and says how to set it; `manage.py` prints it and stops.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


class BadSetting(Exception):  # noqa: N818 - it is read as a sentence
    """A setting is missing or wrong; the message says which and how to set it."""


def text(name: str, default: str | None = None) -> str:
    """Return NAME, the contents of NAME_FILE, or the default; without any of them it is a BadSetting."""
    if name in os.environ:
        return os.environ[name]
    if path := os.environ.get(f"{name}_FILE"):
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise BadSetting(f"{name}_FILE names {path!r}, which cannot be read: {error.strerror}.") from error
    if default is None:
        raise BadSetting(f"{name} is not set: export {name}=..., or {name}_FILE=/path/of/a/file that holds it.")
    return default


def flag(name: str, *, default: bool) -> bool:
    """Return NAME as a boolean: 1/true/yes/on or 0/false/no/off."""
    value = text(name, str(default)).lower()
    if value not in _TRUE | _FALSE:
        raise BadSetting(f"{name}={value!r} is neither true nor false: set it to 1 or 0.")
    return value in _TRUE


def whole(name: str, default: int, *, least: int = 0) -> int:
    """Return NAME as a whole number of at least `least`."""
    value = text(name, str(default))
    if not value.isdigit() or int(value) < least:
        raise BadSetting(f"{name}={value!r} is not a whole number of at least {least}.")
    return int(value)


def words(name: str, default: str = "") -> list[str]:
    """Return NAME as a list, split at commas."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def database(name: str) -> dict[str, object]:
    """Return NAME, a URL `postgresql://login:password@host:port/database?option=value`, as Django's settings.

    A host that begins with `/` (or `?host=/...`) is a folder of Unix sockets.
    """
    url = urlsplit(text(name))
    options = dict(parse_qsl(url.query))
    if url.scheme not in {"postgresql", "postgres"} or not url.username or not url.path.strip("/"):
        raise BadSetting(f"{name} is not of the form postgresql://login:password@host:5432/database.")
    try:
        port = str(url.port or options.pop("port", ""))
    except ValueError as error:
        raise BadSetting(f"{name}: the port is not a number.") from error
    return {
        "NAME": unquote(url.path.strip("/")),
        "USER": unquote(url.username),
        "PASSWORD": unquote(url.password or ""),
        "HOST": options.pop("host", unquote(url.hostname or "")),
        "PORT": port,
        "OPTIONS": options,
    }
