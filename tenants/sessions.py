"""Django's sessions through the gate. The cookie's secret is stored nowhere: what names a session here is its digest.

A view runs in its tenant's unit of work, where the gate is closed. So a change is noted, and written when
the middleware saves the session, after the unit of work.
"""

from __future__ import annotations

import hashlib
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import VALID_KEY_CHARS, SessionBase, UpdateError
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.crypto import get_random_string

from tenants import gate
from tenants.context import Realm, scope_or_none

_KEY = 40


class SessionStore(SessionBase):
    """A session kept by `gate.*`. Its `session_key` is a digest of `secret`, which the browser alone keeps."""

    def __init__(self, session_key: str | None = None) -> None:
        self._ended: list[str] = []
        self._loaded = False
        self.secret: str | None = None
        super().__init__(session_key)

    @classmethod
    def of(cls, secret: str | None) -> SessionStore:
        """Return the session of a browser that sent this cookie."""
        store = cls(_key_of(secret) if secret else None)
        store.secret = secret
        return store

    def load(self) -> dict[str, Any]:
        """Return the session's data; an unknown or expired key starts a new session."""
        data = gate.load_session(self.session_key) if self.session_key else None
        if data is None:
            self._session_key = None
            return {}
        self._loaded = True
        return dict(self.decode(data))

    def exists(self, session_key: str) -> bool:
        """Tell whether there is such a session that has not expired."""
        return gate.load_session(session_key) is not None

    def create(self) -> None:
        """Begin a session under a new key, written by `save`."""
        self._begin()
        self.modified = True
        self._session_cache: dict[str, Any] = {}

    def _begin(self) -> None:
        # 165 random bits: no key is ever drawn twice.
        self.secret = get_random_string(32, VALID_KEY_CHARS)
        self._session_key = _key_of(self.secret)
        self._loaded = False

    def save(self, must_create: bool = False) -> None:
        """Write the session. Raises UpdateError for one that was ended since it was read."""
        data = self._get_session(no_load=must_create)  # type: ignore[attr-defined]
        if self.session_key is None:
            self._begin()
        if not gate.save_session(
            str(self.session_key), self.encode(data), self.get_expiry_date(), fresh=not self._loaded
        ):
            raise UpdateError
        self._loaded = True

    def delete(self, session_key: str | None = None) -> None:
        """End a session: now within a unit of work of accounts, else later.

        It was signed out, revoked, or replaced at a sign-in.
        """
        if not (key := session_key or self.session_key):
            return
        scope = scope_or_none()
        if scope and scope.realm is Realm.ACCOUNT:
            gate.end_session(key)
        else:
            self._ended.append(key)

    def end_noted(self) -> None:
        """End the sessions noted by `delete`; called by the gate's middleware, outside units of work."""
        while self._ended:
            gate.end_session(self._ended.pop())

    @classmethod
    def clear_expired(cls) -> None:
        """Forget expired sessions (`manage.py clearsessions`)."""
        gate.clear_sessions()


class Sessions(SessionMiddleware):
    """Django's middleware; the cookie holds the session's secret instead of its key."""

    def process_request(self, request: HttpRequest) -> None:
        """Put the session on the request."""
        request.session = SessionStore.of(request.COOKIES.get(settings.SESSION_COOKIE_NAME))

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:  # type: ignore[override]
        """Save the session, and tell the browser its secret."""
        answer: HttpResponseBase = super().process_response(request, response)  # type: ignore[arg-type]
        store: Any = request.session
        cookie = answer.cookies.get(settings.SESSION_COOKIE_NAME)
        if cookie and store.secret and cookie.value == store.session_key:
            cookie.set(cookie.key, store.secret, store.secret)
        return answer


def _key_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()[:_KEY]
