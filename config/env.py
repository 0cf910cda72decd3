"""Typed readers of environment variables.

Each reads NAME, or the file that NAME_FILE names (for secrets kept in files). A wrong or missing value
raises `BadSetting`, whose message names the variable and says how to set it; `manage.py` prints it and stops.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}
_MAIL_PORTS = {"smtp": 25, "smtp+tls": 587, "smtps": 465}


class BadSetting(Exception):
    """A setting is missing or wrong; the message says which and how to set it."""


def text(name: str, default: str | None = None, *, hint: str = "...") -> str:
    """Return NAME, the contents of NAME_FILE, or the default; without any of them, or empty, it is a BadSetting.

    `hint` shows what a value looks like. An empty value is accepted where there is a default.
    """
    value = _given(name)
    if value is None:
        value = default
    if value is None or (default is None and not value):
        said = "is empty" if value == "" else "is not set"
        raise BadSetting(f"{name} {said}: export {name}={hint}, or {name}_FILE=/path/of/a/file that holds it.")
    return value


def _given(name: str) -> str | None:
    """Return NAME or the contents of NAME_FILE; None without both."""
    path = os.environ.get(f"{name}_FILE")
    if name in os.environ or not path:
        return os.environ.get(name)
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise BadSetting(f"{name}_FILE names {path!r}, which is no text in UTF-8.") from error
    except OSError as error:
        raise BadSetting(f"{name}_FILE names {path!r}, which cannot be read: {error.strerror}.") from error


def flag(name: str, *, default: bool) -> bool:
    """Return NAME as a boolean: 1/true/yes/on or 0/false/no/off."""
    value = text(name, str(default)).lower()
    if value not in _TRUE | _FALSE:
        raise BadSetting(f"{name}={value!r} is neither true nor false: set it to 1 or 0.")
    return value in _TRUE


def whole(name: str, default: int, *, least: int = 0, most: int = 2**31 - 1) -> int:
    """Return NAME as a whole number from `least` to `most`."""
    value = text(name, str(default))
    if not (value.isascii() and value.isdigit()) or not least <= int(value) <= most:
        raise BadSetting(f"{name}={value!r} is not a whole number from {least} to {most}: set it to one.")
    return int(value)


def choice(name: str, default: str, *, of: tuple[str, ...]) -> str:
    """Return NAME, which is one of these words in upper case; it may be written in any case."""
    value = text(name, default).upper()
    if value not in of:
        raise BadSetting(f"{name}={value!r} is unknown: set it to one of {', '.join(of)}.")
    return value


def words(name: str, default: str | None = None, *, hint: str = "...") -> list[str]:
    """Return NAME as a list, split at commas; without a default at least one word has to be said."""
    found = [word.strip() for word in text(name, default, hint=hint).split(",") if word.strip()]
    if not found and default is None:
        raise BadSetting(f"{name} names nothing: export {name}={hint}.")
    return found


def database(name: str) -> dict[str, object]:
    """Return NAME, a URL `postgresql://login:password@host:port/database?option=value`, as Django's settings.

    A host that begins with `/` (or `?host=/...`) is a folder of Unix sockets. The value is not repeated in
    messages: it holds a password.
    """
    form = "postgresql://login:password@host:5432/database"
    wrong = BadSetting(f"{name} is not of the form {form}; special characters in it are written as %40 and so on.")
    try:
        url = urlsplit(text(name, hint=form))
        port = url.port
    except ValueError:
        raise wrong from None
    options = dict(parse_qsl(url.query))
    said = options.pop("port", "")
    if url.scheme not in {"postgresql", "postgres"} or not url.username or not url.path.strip("/"):
        raise wrong
    if said and not (said.isascii() and said.isdigit()):
        raise BadSetting(f"{name}: the port {said!r} is not a number.")
    return {
        "NAME": unquote(url.path.strip("/")),
        "USER": unquote(url.username),
        "PASSWORD": unquote(url.password or ""),
        "HOST": options.pop("host", unquote(url.hostname or "")),
        "PORT": str(port or said),
        "OPTIONS": options,
    }


@dataclass(frozen=True, slots=True)
class Mail:
    """How e-mail leaves: Django's backend, and the server of SMTP."""

    backend: str
    host: str = ""
    port: int = 25
    user: str = ""
    password: str = field(default="", repr=False)
    starttls: bool = False
    tls: bool = False


def mail(name: str, default: str) -> Mail:
    """Return NAME: `console:` (printed), `dummy:` (dropped), or `smtp://login:password@host:port`, the login optional.

    `smtp+tls://` begins TLS by STARTTLS, `smtps://` speaks it from the start. The value is not repeated in messages.
    """
    form = "smtp+tls://login:password@host:587"
    wrong = BadSetting(f"{name} is neither console: nor dummy: nor of the form {form}, with %40 for @ in a login.")
    try:
        url = urlsplit(text(name, default))
        port = url.port
    except ValueError:
        raise wrong from None
    backends = "django.core.mail.backends"
    if url.scheme in {"console", "dummy"}:
        return Mail(f"{backends}.{url.scheme}.EmailBackend")
    if url.scheme not in _MAIL_PORTS or not url.hostname or url.path.strip("/"):
        raise wrong
    return Mail(
        backend=f"{backends}.smtp.EmailBackend",
        host=url.hostname,
        port=port or _MAIL_PORTS[url.scheme],
        user=unquote(url.username or ""),
        password=unquote(url.password or ""),
        starttls=url.scheme == "smtp+tls",
        tls=url.scheme == "smtps",
    )
