"""Connections by login: a pool for each database login, and connections that do not grow for ever.

A connection of PostgreSQL keeps what it has learnt of each table that it ever touched, about 100 KB for each
tenant. So one that has served many tenants is ended when it comes back, and the pool makes a new one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from django.conf import settings
from psycopg.pq import TransactionStatus

from tenants.backend.connection import UnitConnection

# Called with the number of tenants that a connection has served, and whether it is ended, when it comes back.
on_return: list[Callable[[int, bool], object]] = []
# Called with the scope of each unit of work that has ended, and whether it was committed.
on_end: list[Callable[[Any, bool], object]] = []


def password_of(login: str, app_password: str) -> str:
    """Return the password of a tenants' login: derived, so that there is one secret to keep, the application's."""
    return hmac.new(app_password.encode(), f"daybook login {login}".encode(), hashlib.sha256).hexdigest()


def parameters(login: str | None, params: dict[str, Any]) -> dict[str, Any]:
    """Return connection parameters (user, password, ...) for a login; None is the alias's own."""
    if login is None:
        return params
    password = params.get("password")
    # Without a password the server knows logins by other means (a certificate, the socket's peer).
    return {**params, "user": login, **({"password": password_of(login, password)} if password else {})}


def options(login: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """Return a pool's options: those of tenants' logins hold no idle connections, since there may be many of them."""
    return given if login is None else {**given, "min_size": 0, "max_idle": 60.0, "num_workers": 1}


def retire(connection: UnitConnection) -> None:
    """Mark a connection that comes back as ended, if it has served enough tenants."""
    served = len(connection.tenants)
    idle = connection.pgconn.transaction_status == TransactionStatus.IDLE
    full = idle and served >= settings.CONNECTION_MAX_TENANTS
    if full:
        # The pool ends what has outlived its time, and makes another.
        connection._expire_at = 0.0  # noqa: SLF001
    for hook in on_return:
        hook(served, full)
