"""A cache whose values hold in all processes within a unit of work of accounts, else in this process alone.

django-allauth counts attempts and remembers used codes in Django's default cache. By row: `add` waits for the unit of
work that has added the same key, so attempts at one address are counted one after the other.
"""

from __future__ import annotations

import json
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.locmem import LocMemCache
from django.db import connection

from tenants.context import Realm, scope_or_none

_ADD = """
INSERT INTO tenants_attempt AS a (key, value, expires_at)
VALUES (%s, %s::jsonb, clock_timestamp() + make_interval(secs => %s))
ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
"""
_IF_EXPIRED = " WHERE a.expires_at <= clock_timestamp()"
# Whoever writes takes a few of what has expired with him, so that nothing else has to.
_CLEAN = """
DELETE FROM tenants_attempt WHERE key IN (
  SELECT key FROM tenants_attempt WHERE expires_at < clock_timestamp() - interval '1 minute'
   ORDER BY expires_at LIMIT 10 FOR UPDATE SKIP LOCKED)
"""


class Cache(LocMemCache):
    """Django's cache in memory; within a unit of accounts the table `tenants_attempt`, of JSON values."""

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Set a value unless there is one; return whether it was set."""
        if not _shared():
            return bool(super().add(key, value, timeout, version))
        return _run(_ADD + _IF_EXPIRED, key, json.dumps(value), self._seconds(timeout)) == 1

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """Return a value, or the default."""
        if not _shared():
            return super().get(key, default, version)
        with connection.cursor() as cursor:
            cursor.execute("SELECT value FROM tenants_attempt WHERE key = %s AND expires_at > clock_timestamp()", [key])
            row = cursor.fetchone()
        return json.loads(row[0]) if row else default

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        """Set a value for so many seconds."""
        if not _shared():
            super().set(key, value, timeout, version)
            return
        _run(_ADD, key, json.dumps(value), self._seconds(timeout))
        _run(_CLEAN)

    def delete(self, key: Any, version: int | None = None) -> bool:
        """Forget a value; return whether there was one."""
        if not _shared():
            return bool(super().delete(key, version))
        return _run("DELETE FROM tenants_attempt WHERE key = %s", key) == 1

    def _seconds(self, timeout: Any) -> float:
        return float(self.default_timeout or 0) if timeout is DEFAULT_TIMEOUT else float(timeout)


def _shared() -> bool:
    scope = scope_or_none()
    return scope is not None and scope.realm is Realm.ACCOUNT


def _run(statement: str, *arguments: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        return int(cursor.rowcount)
