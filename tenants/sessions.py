"""Django's sessions through the gate. Only a digest of the session's key is stored.

A view runs in its tenant's unit of work, where the gate is closed. So a change is noted, and written when
SessionMiddleware saves the session, after the unit of work.
"""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends.base import SessionBase, UpdateError

from tenants import gate


class SessionStore(SessionBase):
    """A session kept by `gate.*`."""

    def __init__(self, session_key: str | None = None) -> None:
        self._ended: list[str] = []
        self._loaded = False
        super().__init__(session_key)

    def load(self) -> dict[str, Any]:
        """Return the session's data; an unknown or expired key starts a new session."""
        data = gate.load_session(self.session_key) if self.session_key else None
        if data is None:
            self._session_key = None
            return {}
        self._loaded = True
        return dict(self.decode(data))

    def exists(self, session_key: str) -> bool:
        """Tell that a new random key is free: it has 160 bits."""
        return False

    def create(self) -> None:
        """Begin a session under a new key, written by `save`."""
        self._session_key = self._get_new_session_key()  # type: ignore[attr-defined]
        self._loaded = False
        self.modified = True
        self._session_cache: dict[str, Any] = {}

    def save(self, must_create: bool = False) -> None:
        """Write the session. Raises UpdateError for one that was ended since it was read."""
        data = self._get_session(no_load=must_create)  # type: ignore[attr-defined]
        if self.session_key is None:
            self._session_key, self._loaded = self._get_new_session_key(), False  # type: ignore[attr-defined]
        if not gate.save_session(
            str(self.session_key), self.encode(data), self.get_expiry_date(), fresh=not self._loaded
        ):
            raise UpdateError
        self._loaded = True

    def delete(self, session_key: str | None = None) -> None:
        """Note a session as ended (signed out, or replaced at a sign-in)."""
        if key := session_key or self.session_key:
            self._ended.append(key)

    def end_noted(self) -> None:
        """End the sessions noted by `delete`; called by the gate's middleware, outside units of work."""
        while self._ended:
            gate.end_session(self._ended.pop())

    @classmethod
    def clear_expired(cls) -> None:
        """Forget expired sessions (`manage.py clearsessions`)."""
        gate.clear_sessions()
